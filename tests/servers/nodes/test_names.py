"""A host name that leads elsewhere while connections are open."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.waiting import eventually

from clustersql.testing import PostgresCluster


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresCluster]:
    """One server that listens at two addresses, and tells by which it was reached."""
    with PostgresCluster(1, settings={"listen_addresses": "127.0.0.1,127.0.0.2"}) as cluster:
        yield cluster


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The records of a name server: Python's drivers, and the lookups of clustersql, ask it."""
    records = {"db.test": ["127.0.0.1"]}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        hosts = records.get(host.decode() if isinstance(host, bytes) else host, [host])
        return [found for each in hosts for found in real(each, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return records


# libpq itself looks names up for psycopg2, out of the reach of these records.
@pytest.mark.parametrize("driver", ["psycopg", "pg8000", "psycopg-aio", "asyncpg"])
def test_a_name_that_leads_elsewhere(server: PostgresCluster, records: dict[str, list[str]], driver: str) -> None:
    at = "SELECT host(inet_server_addr())"
    with face.cluster_of(driver, "named", probe_interval=0.1) as cluster:
        cluster.add_node("n1", server.dsn("n1").replace("127.0.0.1", "db.test"))
        db = cluster.open()
        assert db.execute(at).fetchone()[0] == "127.0.0.1"
        assert eventually(lambda: cluster.view.by_name["n1"].peers), cluster.view
        generation = cluster.view.by_name["n1"].generation
        records["db.test"] = ["127.0.0.2", "127.0.0.1"]  # one more address is no move
        assert not eventually(lambda: cluster.view.by_name["n1"].generation != generation, timeout=2.5)
        records["db.test"] = ["127.0.0.2"]
        assert eventually(lambda: cluster.view.by_name["n1"].generation == generation + 1), cluster.view
        # The idle connection to the old address is retired as soon as the pool has heard of it, a moment after the view.
        assert eventually(lambda: db.execute(at).fetchone()[0] == "127.0.0.2")
        assert eventually(lambda: cluster.view.by_name["n1"].peers == {f"127.0.0.2:{server.port('n1')}"}), cluster.view
