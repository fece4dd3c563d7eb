"""Credentials that change under load: a provider is asked at every dial, and once more where the login is refused."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from support import face
from support.load import load
from support.waiting import eventually

from clustersql import Credentials
from clustersql.testing import MariaDBServer, PostgresCluster

POSTGRES, MARIADB = ("psycopg", "asyncpg"), ("pymysql", "asyncmy")


class Vault:
    """Gives the user and password that it knows, and the new ones only when it is told that those are refused."""

    def __init__(self, lease: float | None = None) -> None:
        self.lease, self.nodes, self.refusals = lease, [], 0
        self.known, self.latest = ("rotated_1", "one"), ("rotated_1", "one")

    def __call__(self, node: Any, refused: bool) -> Credentials:
        self.nodes.append(node)
        if refused:
            self.refusals += 1
            self.known = self.latest
        return Credentials(*self.known, None if self.lease is None else time.time() + self.lease)


def rotate(server: Any, vault: Vault, number: int, password: str) -> None:
    """The user and the password become others, and the old user's sessions are ended."""
    vault.latest = (f"rotated_{number}", password)
    if isinstance(server, PostgresCluster):
        server.execute("n1", f"DROP ROLE IF EXISTS rotated_{number}")
        server.execute("n1", f"CREATE ROLE rotated_{number} LOGIN PASSWORD '{password}'")
        server.execute("n1", "ALTER ROLE rotated_1 NOLOGIN" if number > 1 else "SELECT 1")
    else:
        server.execute("n1", f"CREATE OR REPLACE USER rotated_{number} IDENTIFIED BY '{password}'")
        server.execute("n1", "ALTER USER rotated_1 ACCOUNT LOCK" if number > 1 else "SELECT 1")
    if number > 1:
        server.terminate_sessions("n1")


def at(server: Any, vault: Any) -> dict[str, Any]:
    host, port = re.search(r"@([\d.]+):(\d+)/", server.dsn("n1")).groups()  # type: ignore[union-attr]
    database = "app" if isinstance(server, PostgresCluster) else "information_schema"
    return {"host": host, "port": int(port), "database": database, "credentials": vault}


@pytest.mark.parametrize("driver", [*POSTGRES, *MARIADB])
def test_a_rotation_under_load(postgres: PostgresCluster, mariadb_server: MariaDBServer, driver: str) -> None:
    server: Any = postgres if driver in POSTGRES else mariadb_server
    vault = Vault()
    rotate(server, vault, 1, "one")
    with face.cluster_of(driver, "vault", timeout=20.0, probe_interval=0.2) as cluster:
        cluster.add_node("n1", **at(server, vault))
        reader = cluster.open().options(read_only=True)
        with load(lambda thread, serial: reader.execute("SELECT 1"), threads=8) as reads:
            reads.more(50)
            rotate(server, vault, 2, "two")
            reads.more(50)
        assert reads.failed == []
        assert reader.execute("SELECT current_user").fetchone()[0].partition("@")[0] == "rotated_2"
    assert vault.refusals
    asked = vault.nodes[0]
    assert (asked.name, asked.host, asked.port) == ("n1", at(server, vault)["host"], at(server, vault)["port"])


@pytest.mark.parametrize("driver", POSTGRES)
def test_a_session_is_retired_before_its_lease_ends(postgres: PostgresCluster, driver: str) -> None:
    vault = Vault(lease=1.5)
    rotate(postgres, vault, 1, "one")
    with face.cluster_of(driver, "vault", timeout=20.0) as cluster:
        cluster.add_node("n1", **at(postgres, vault))
        reader = cluster.open().options(read_only=True)
        pid = "SELECT pg_backend_pid()"
        first = reader.execute(pid).fetchone()[0]
        assert eventually(lambda: reader.execute(pid).fetchone()[0] != first)


@pytest.mark.parametrize("driver", POSTGRES)
def test_a_provider_that_raises_or_returns_nonsense_is_no_news_about_the_node(
    postgres: PostgresCluster, driver: str
) -> None:
    """The connections that are open work on; a new one is refused by what the provider said."""
    vault = Vault()
    rotate(postgres, vault, 1, "one")
    answers: list[Any] = [vault]

    def provider(node: Any, refused: bool) -> Any:
        return answers[-1](node, refused)

    def locked(node: Any, refused: bool) -> Any:
        raise PermissionError("the vault is sealed")

    with face.cluster_of(driver, "vault", timeout=30.0) as cluster:
        cluster.add_node("n1", **at(postgres, provider))
        db = cluster.open()
        reader, brief = db.options(read_only=True), db.options(timeout=0.5)
        reader.execute("SELECT 1")
        for wrong, told in (
            (locked, "the vault is sealed"),
            (lambda node, refused: "secret", "must return Credentials"),
        ):
            answers.append(wrong)
            assert reader.execute("SELECT 1").fetchone()[0] == 1
            with db.connection(read_only=True), pytest.raises(Exception, match=told) as raised, brief.connection():
                pass
            assert "secret" not in str(raised.value)
