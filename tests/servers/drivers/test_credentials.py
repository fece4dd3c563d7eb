"""Passwords of any letters, none at all, and addresses that a driver takes for something else; on every driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.face import cluster_of
from support.stage import DRIVERS, MARIADB, POSTGRES

from clustersql import ConfigError, NoNodeAvailable
from clustersql.testing import MariaDBServer, PostgresCluster

LETTERS = "pässwörd-ключ-密"
PLAIN = "secret"


def asked(driver: str, sql: str, **fields: Any) -> Any:
    """What the server tells a connection that was dialled to these fields."""
    with cluster_of(driver, "credentials", timeout=10.0) as cluster:
        cluster.add_node("n1", **fields)
        raw, loop = cluster.dial(), getattr(cluster, "loop", None)
        call = loop.call if loop is not None else lambda function, *args: function(*args)
        try:
            [[row]] = call(cluster.driver.ask, raw, (sql,))
            return row[0]
        finally:
            call(cluster.driver.close, raw)


@pytest.fixture(scope="module")
def strangers(postgres_cluster: PostgresCluster, mariadb_server: MariaDBServer) -> Iterator[dict[str, Any]]:
    """A user ``stranger`` on each server, whose password is `LETTERS`."""
    postgres_cluster.heal()
    postgres_cluster.execute("n1", f"CREATE ROLE stranger LOGIN PASSWORD '{LETTERS}'")
    mariadb_server.execute("n1", f"CREATE USER stranger@'%' IDENTIFIED BY '{LETTERS}'")
    yield dict.fromkeys(POSTGRES, postgres_cluster) | dict.fromkeys(MARIADB, mariadb_server)
    postgres_cluster.execute("n1", "DROP ROLE stranger")
    mariadb_server.execute("n1", "DROP USER stranger@'%'")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_password_of_any_letters(driver: str, strangers: dict[str, Any]) -> None:
    database = {"database": "app"} if driver in POSTGRES else {}
    ask = "SELECT current_user" if driver in POSTGRES else "SELECT current_user()"
    port = strangers[driver].port("n1")
    fields = {"host": "127.0.0.1", "port": port, "user": "stranger", "password": LETTERS} | database
    assert str(asked(driver, ask, **fields)).startswith("stranger")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_no_password(driver: str, strangers: dict[str, Any]) -> None:
    """The error comes at once, and says what it is about."""
    with pytest.raises(NoNodeAvailable, match=r"(?i)password|28P01") as caught:
        asked(driver, "SELECT 1", host="127.0.0.1", port=strangers[driver].port("n1"), user="stranger", database="app")
    assert "within 10" not in str(caught.value)
    if driver == "pg8000":
        assert isinstance(caught.value.__cause__, ConfigError)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", None])
@pytest.mark.parametrize("driver", MARIADB)
def test_a_port_of_localhost_is_that_port(driver: str, host: str | None, mariadb_server: MariaDBServer) -> None:
    """The C library would take its Unix socket: another server, or none."""
    port = mariadb_server.port("n1")
    assert asked(driver, "SELECT @@port", host=host, port=port, user="app", password=PLAIN) == port


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "psycopg-aio", "asyncpg"])
def test_a_service(
    driver: str, postgres_cluster: PostgresCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an argument, and in a connection string."""
    port = postgres_cluster.port("n1")
    file = tmp_path / "services"
    file.write_text(f"[shop]\nhost=127.0.0.1\nport={port}\nuser=app\npassword={PLAIN}\ndbname=app\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert asked(driver, "SELECT inet_server_port()", service="shop") == port
    with cluster_of(driver, "service") as cluster:
        cluster.add_node("n1", "postgresql:///?service=shop")
        assert cluster.open().execute("SELECT inet_server_port()").fetchone()[0] == port
