"""``max_lag`` in MariaDB's replication: a replica that applies nothing, or receives nothing, falls behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.load import load
from support.replication import Pair, replication
from support.stage import MARIADB, failure
from support.waiting import eventually

import clustersql
from clustersql.testing import MariaDBServer

MAX_LAG = 1.0


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replication() as servers:
        source, _ = servers
        make_table(source)
        yield servers


def make_table(source: MariaDBServer) -> None:
    source.execute("n1", "CREATE TABLE app.lagging (id INT AUTO_INCREMENT PRIMARY KEY)")


@pytest.fixture(params=MARIADB)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(pair: Pair, driver: str) -> Iterator[Any]:
    """Both servers; the replica follows when the test is over."""
    with face.cluster_of(driver, "lagging", probe_interval=0.2, max_size=16, policy="round-robin") as made:
        for name, server in zip(("source", "replica"), pair, strict=True):
            made.add_node(name, server.dsn("n1"))
        yield made
    pair[1].execute("n1", "START SLAVE")


def serves(db: Any, times: int = 6) -> set[str | None]:
    """The nodes that serve several readers at once."""
    held = [db.connection() for _ in range(times)]
    try:
        return {conn.node for conn in held}
    finally:
        for conn in held:
            conn.close()


def ids(db: Any) -> int:
    [(found,)] = db.execute("SELECT coalesce(max(id), 0) FROM lagging").fetchall()
    return int(found)


def write(db: Any) -> int:
    def insert(conn: Any) -> int:
        with conn.cursor() as cursor:
            cursor.execute("INSERT INTO lagging VALUES ()")
            cursor.execute("SELECT last_insert_id()")
            return int(cursor.fetchone()[0])

    return int(db.run(insert))


def test_a_replica_that_applies_nothing_shows_nothing_older(pair: Pair, cluster: Any) -> None:
    """What was acknowledged more than ``max_lag`` before a read began is in its answer, whichever node serves."""
    db = cluster.open()
    fresh, any_age = db.options(read_only=True, max_lag=MAX_LAG), db.options(read_only=True)
    write(db)
    assert eventually(lambda: serves(fresh) == {"source", "replica"}), cluster.snapshot().as_dict()
    acknowledged: list[tuple[float, int]] = []
    missed: list[tuple[int, int]] = []

    def more(thread: int, serial: int) -> None:
        number = write(db)
        acknowledged.append((time.monotonic(), number))

    def read(thread: int, serial: int) -> None:
        began = time.monotonic()
        seen = ids(fresh)
        old = max((number for at, number in acknowledged if at < began - MAX_LAG), default=0)
        if seen < old:
            missed.append((seen, old))

    with load(more, threads=1) as writes, load(read, threads=3) as reads:
        reads.more(50)
        pair[1].execute("n1", "STOP SLAVE SQL_THREAD")
        lag = lambda: cluster.metrics()["Nodes"]["replica"]["Lag"]  # noqa: E731
        assert eventually(lambda: (lag() or 0) > 2 * MAX_LAG), (lag(), cluster.snapshot().as_dict(), writes)
        before = db.stats()["nodes"]["replica"]["checkouts"]
        reads.more(100)
        assert db.stats()["nodes"]["replica"]["checkouts"] == before
        assert serves(any_age.options(node="replica"), 1) == {"replica"}
        pair[1].execute("n1", "START SLAVE")
        assert eventually(lambda: serves(fresh) == {"source", "replica"})
        writes.more(5)
    assert (writes.failed, reads.failed, missed) == ([], [], [])


def test_a_replica_that_receives_nothing_is_not_fresh(pair: Pair, cluster: Any) -> None:
    """It has applied all that it received, and would call itself up to date."""
    source, replica = pair
    db = cluster.open()
    fresh = db.options(node="replica", read_only=True, max_lag=MAX_LAG, timeout=0.5)
    write(db)
    assert eventually(lambda: failure(lambda: fresh.execute("SELECT 1")) is None)
    replica.execute("n1", "STOP SLAVE IO_THREAD")
    write(db)
    assert eventually(lambda: isinstance(failure(lambda: fresh.execute("SELECT 1")), clustersql.NoNodeAvailable))
    assert "behind, more than max_lag (1 s)" in str(failure(lambda: fresh.execute("SELECT 1")))
    [(at,)] = source.execute("n1", "SELECT max(id) FROM app.lagging")
    assert ids(db.options(node="replica", read_only=True)) < at
