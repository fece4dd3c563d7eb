"""A password of any letters goes to MySQL as UTF-8 in each of its logins: scrambled, encrypted by the server's key,
plain over TLS.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from support.face import cluster_of

from clustersql.testing import MySQLCluster

LETTERS = "pässwörd-ключ-密"


def unverified() -> ssl.SSLContext:
    """TLS whose certificate nobody looks at: the server has made it itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
@pytest.mark.parametrize("driver", ["pymysql", "aiomysql", "asyncmy"])
def test_a_password_of_any_letters(driver: str, plugin: str, replication: MySQLCluster) -> None:
    """Those drivers encode it as Latin-1.  The first login is the whole one, the second the short one that the server
    has learned.
    """
    replication.execute("n1", "DROP USER IF EXISTS stranger")
    replication.execute("n1", f"CREATE USER stranger IDENTIFIED WITH {plugin} BY '{LETTERS}'")
    fields = {"host": "127.0.0.1", "port": replication.port("n1"), "user": "stranger", "password": LETTERS}
    off: dict[str, Any] = {"ssl_disabled": True} if driver == "pymysql" else {}
    for encryption in ({"ssl": unverified()}, off):
        replication.execute("n1", "FLUSH PRIVILEGES")  # forgets whom it has let in
        for _ in range(2):
            with cluster_of(driver, "letters", timeout=20.0) as cluster:
                cluster.add_node("n1", **fields, **encryption)
                assert cluster.open().execute("SELECT current_user()").fetchone()[0] == "stranger@%"
