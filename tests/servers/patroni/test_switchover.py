"""A real Patroni hands over under load: one member is configured, the other is found, no read sees an error, and
writes go on at the new leader.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.load import load
from support.patroni_cluster import PatroniCluster
from support.waiting import eventually

import clustersql

DRIVERS = ("psycopg", "asyncpg")
"""One of each API; both work at the same time, over one handover."""


@pytest.fixture(scope="module")
def servers() -> Iterator[PatroniCluster]:
    with PatroniCluster() as servers:
        yield servers


@pytest.fixture
def clusters(servers: PatroniCluster) -> Iterator[dict[str, clustersql.Cluster]]:
    """A cluster of each driver, of which n1 is configured."""
    with ExitStack() as stack:
        made = {}
        for driver in DRIVERS:
            cluster = stack.enter_context(
                face.cluster_of(
                    driver,
                    f"patroni-{driver}",
                    discover="patroni",
                    patroni=[servers.api(name) for name in ("n1", "n2")],
                    address_map={"127.0.0.1": "127.0.0.1"},
                )
            )
            cluster.add_node("n1", servers.dsn("n1"))
            made[driver] = cluster
        yield made


def test_a_switchover_shows_no_error(servers: PatroniCluster, clusters: dict[str, clustersql.Cluster]) -> None:
    databases = {driver: cluster.open() for driver, cluster in clusters.items()}
    databases["psycopg"].execute("CREATE TABLE done (who text, serial int, PRIMARY KEY (who, serial))")
    n2 = f"127.0.0.1:{servers.port('n2')}"
    for cluster in clusters.values():
        assert eventually(lambda cluster=cluster: cluster.nodes == sorted(["n1", n2])), cluster.snapshot()
        assert eventually(lambda cluster=cluster: all(node.usable for node in cluster.view)), cluster.view

    def read(thread: int, serial: int) -> None:
        databases[DRIVERS[thread % 2]].options(read_only=True).execute("SELECT count(*) FROM done").fetchone()

    def write(thread: int, serial: int) -> None:
        driver = DRIVERS[thread % 2]
        databases[driver].run(insert, driver, f"{driver}{thread}", serial)

    with load(read, 4) as reads, load(write, 4) as writes:
        writes.more(20)
        servers.switchover("n2")
        for work in (reads, writes):
            work.more(40)
        served = [database.execute("SELECT inet_server_port()").fetchone()[0] for database in databases.values()]
    assert reads.failed == []
    # PostgreSQL is stopped for it, so a COMMIT that was under way may be one whose answer nobody got.
    assert [error for error in writes.failed if not isinstance(error, clustersql.OutcomeUnknown)] == []
    assert served == [servers.port("n2")] * 2
    [(rows,)] = databases["psycopg"].execute("SELECT count(*) FROM done").fetchall()
    assert len(writes.done) <= rows <= len(writes.done) + len(writes.failed)
    for cluster in clusters.values():
        roles = lambda cluster=cluster: [(node.role.value, node.usable) for node in cluster.view]  # noqa: E731
        assert eventually(lambda roles=roles: roles() == [("replica", True), ("primary", True)], 60), cluster.view
        assert eventually(lambda cluster=cluster: cluster.snapshot().discovery.complaints == ()), cluster.snapshot()


def insert(conn: Any, driver: str, who: str, serial: int) -> None:
    first, second = ("$1", "$2") if driver == "asyncpg" else ("%s", "%s")
    with conn.cursor() as cursor:
        cursor.execute(f"INSERT INTO done VALUES ({first}, {second})", (who, serial))
