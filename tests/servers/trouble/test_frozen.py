"""A node that is frozen (SIGSTOP) accepts connections and answers nothing: callers are woken, and slow statements
elsewhere go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import Stage
from support.waiting import eventually

import clustersql
from clustersql.testing import PostgresCluster

# pg8000 leaves the socket of a handshake that broke off to the garbage collector; it is no leak of ours.
_LEAKS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
DRIVERS = ("psycopg", "psycopg2", pytest.param("pg8000", marks=_LEAKS), "psycopg-aio", "asyncpg")
TUNED = {"stall_after": 0.5, "probe_interval": 0.2, "connect_timeout": 3.0}


@pytest.fixture(params=DRIVERS)
def database(postgres: PostgresCluster, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster that notices quickly, and whose reads go to the nodes in turn, so that each has some."""
    with face.cluster_of(request.param, "frozen", policy="round-robin", **TUNED) as cluster:
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        yield cluster.open()
    postgres.heal()


def wait_for_every_node(db: Any) -> None:
    """Until reads are spread, or the frozen node would get none."""
    reader, seen, deadline = db.options(read_only=True), set(), time.monotonic() + 20
    while len(seen) < 3:
        assert time.monotonic() < deadline, seen
        connections = [reader.connection() for _ in range(6)]
        seen |= {conn.node for conn in connections}
        for conn in connections:
            conn.close()


def test_a_frozen_standby_costs_no_read(database: Any, postgres: PostgresCluster) -> None:
    """Every read that hangs on it is answered by another node, without an error, and a slow statement on a live node is
    left alone.
    """
    wait_for_every_node(database)
    reader, slept = database.options(read_only=True), []
    sleeper = threading.Thread(target=lambda: slept.append(database.execute("SELECT pg_sleep(4)").rowcount))
    with load(lambda thread, serial: reader.execute("SELECT 1"), threads=6) as reads:
        sleeper.start()
        reads.more(50)
        postgres.freeze("n2")
        deadline = time.monotonic() + 15
        while not database.stats()["hung"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        reads.more(300)
        sleeper.join(30)
    assert reads.failed == []
    assert reads.slowest < 10  # without the wake-up it would be for ever; the figures are in the benchmarks, not here
    assert slept == [1]
    postgres.thaw("n2")


def test_a_frozen_primary_is_waited_for(database: Any, postgres: PostgresCluster) -> None:
    """A write that was sent is of unknown outcome; what comes after waits for a primary, and happens exactly once."""
    database.execute("DELETE FROM events")
    postgres.freeze("n1")
    with pytest.raises(clustersql.OutcomeUnknown):
        database.execute("INSERT INTO events (name) VALUES ('sent')")
    thaw = threading.Timer(1.0, lambda: postgres.thaw("n1"))
    thaw.start()
    database.run(insert, "once")
    thaw.join()
    assert database.execute("SELECT count(*) FROM events WHERE name = 'once'").fetchone()[0] == 1
    assert database.execute("SELECT count(*) FROM events WHERE name = 'sent'").fetchone()[0] in (0, 1)


def test_the_end_does_not_wait_for_a_frozen_node(database: Any, postgres: PostgresCluster) -> None:
    """Its connections, in the pool and under a probe, are closed without its word; psycopg's asyncio API would wait 10
    s for a cancelled probe.
    """
    wait_for_every_node(database)
    postgres.freeze("n2")
    topology = database._cluster._topology if hasattr(database, "_cluster") else database._pool.topology
    assert eventually(lambda: not topology.view.by_name["n2"].usable)
    began = time.monotonic()
    database.close()
    assert time.monotonic() - began < 5


def test_a_read_on_a_way_that_fell_silent_is_answered_by_the_other(stage: Stage) -> None:
    """To the client that is what a frozen host is: its kernel acknowledges, and nothing answers, a probe neither.
    Every driver is woken.
    """
    cluster = stage.make(stagger=20.0, **TUNED)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    with db.connection(read_only=True) as conn:
        assert (stage.read(conn), conn.node) == ([], "a")
        conn.commit()
        stage.a.deaf()
        assert (stage.read(conn), conn.node) == ([], "b")
    assert sum(node["Recoveries"] for node in cluster.metrics()["Nodes"].values()) == 1
    assert eventually(lambda: cluster.view.by_name["a"].reach.value == "down")  # a probe from before may be told after
    stage.a.deaf(False)


def insert(conn: Any, name: str) -> None:
    conn.cursor().execute("INSERT INTO events (name) VALUES (%s)", (name,))
