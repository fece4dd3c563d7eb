"""Certificates and authorities that are replaced on disk are used at the next dial, on every driver."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.face import cluster_of
from support.stage import DRIVERS, POSTGRES
from support.waiting import eventually

from clustersql import NoNodeAvailable
from clustersql.testing import MariaDBServer, PostgresCluster
from clustersql.testing.certificates import make_certificates
from clustersql.testing.processes import Account

CLIENT = ("ca.pem", "client.pem", "client.key")
SESSION = {True: "SELECT pg_backend_pid()", False: "SELECT CONNECTION_ID()"}


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders, each with an authority, a server's certificate of its, and a client's that is its own authority."""
    folders = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp("files") / name
        make_certificates(folder, Account())
        client = ["-keyout", folder / "client.key", "-out", folder / "client.pem", "-subj", "/CN=app", "-days", "2"]
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run(["openssl", "req", "-x509", *new_key, *client], check=True, capture_output=True)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresCluster]:
    with PostgresCluster(1, tls=True) as cluster:
        rules = cluster.directory / "n1" / "pg_hba.conf"
        rules.write_text(f"hostssl all app all scram-sha-256 clientcert=verify-ca\n{rules.read_text()}")
        cluster.execute("n1", f"ALTER SYSTEM SET ssl_ca_file = '{cluster.directory}/tls/ca.pem'")
        yield cluster


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True) as server:
        server.execute("n1", "ALTER USER app REQUIRE X509")
        yield server


def given_to_server(server: Any, generation: Path) -> None:
    """From now on the server shows this certificate, and lets in who has the client's."""
    files = Path(server.ca_file).parent
    for name, its in (("server.pem", "server.pem"), ("server.key", "server.key"), ("client.pem", "ca.pem")):
        (files / its).write_bytes((generation / name).read_bytes())
    server.execute("n1", "SELECT pg_reload_conf()" if isinstance(server, PostgresCluster) else "FLUSH SSL")


def given_to_client(folder: Path, generation: Path) -> None:
    for name in CLIENT:
        shutil.copy(generation / name, folder / name)  # with its mode: libpq refuses a key that others can read


def fields(driver: str, folder: Path) -> dict[str, Any]:
    """The driver's own arguments for these files."""
    ca, certificate, key = (str(folder / name) for name in CLIENT)
    if driver == "pg8000":

        def context() -> ssl.SSLContext:
            made = ssl.create_default_context(cafile=ca)
            made.load_cert_chain(certificate, key)
            return made

        return {"ssl_context": context}
    if driver in POSTGRES:
        return {"sslmode": "verify-ca", "sslrootcert": ca, "sslcert": certificate, "sslkey": key}
    mode = {"ssl_mode": "VERIFY_CA"} if driver == "mysqlclient" else {"ssl_verify_cert": True}
    return {"ssl_ca": ca, "ssl_cert": certificate, "ssl_key": key, **mode}


def is_refused(dial: Callable[[], object]) -> bool:
    try:
        dial()
    except NoNodeAvailable:
        return True
    return False


@pytest.mark.parametrize("driver", DRIVERS)
def test_replaced_files_are_used_at_the_next_dial(
    driver: str, generations: list[Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres" if driver in POSTGRES else "mariadb")
    old, new = generations
    given_to_server(server, old)
    given_to_client(tmp_path, old)
    with cluster_of(driver, "replaced", timeout=20.0, max_size=100, breaker_base=0.05, probe_interval=30.0) as cluster:
        login = {"user": "app", "password": "secret", "database": "app"}
        cluster.add_node("n1", host="127.0.0.1", port=server.port("n1"), **login, **fields(driver, tmp_path))
        db = cluster.open()
        with db.connection() as conn:
            cursor = conn.cursor()
            cursor.execute(SESSION[driver in POSTGRES])
            before = cursor.fetchone()[0]
            given_to_server(server, new)
            held: list[Any] = []
            assert eventually(lambda: is_refused(lambda: held.append(db.connection(timeout=0.2))))
            given_to_client(tmp_path, new)
            with db.connection() as other:
                cursor = other.cursor()
                cursor.execute(SESSION[driver in POSTGRES])
                assert cursor.fetchone()[0] != before
        for each in held:  # PostgreSQL takes the new files a moment after it was told to
            each.close()
