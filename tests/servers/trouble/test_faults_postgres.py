"""A primary and two standbys under load, while nodes are killed, removed, demoted and promoted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.crowd import check_lost
from support.load import load
from support.stage import execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql import OutcomeUnknown
from clustersql.testing import PostgresCluster

Make = Callable[..., clustersql.Cluster]


@pytest.fixture
def make(postgres: PostgresCluster, driver: str) -> Iterator[Make]:
    """Make a cluster over all nodes of the healthy PostgreSQL cluster; closed after the test."""
    clusters: list[clustersql.Cluster] = []
    stack = ExitStack()

    def made(nodes: str = "n1 n2 n3", **knobs: Any) -> clustersql.Cluster:
        cluster = stack.enter_context(face.cluster_of(driver, f"faults{len(clusters)}", **knobs))
        for name in nodes.split():
            cluster.add_node(name, postgres.dsn(name))
        clusters.append(cluster)
        return cluster

    postgres.execute("n1", "TRUNCATE events")
    with stack:
        yield made


class Counted:
    """Inserts one row per operation by ``run``; knows which were acknowledged and which are unknown."""

    def __init__(self, db: clustersql.Database) -> None:
        self.db = db
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []

    def __call__(self, thread: int, serial: int) -> None:
        name = f"{thread}-{serial}"
        try:
            self.db.run(self._insert, name)
        except OutcomeUnknown:
            self.unknown.append(name)
        else:
            self.acknowledged.append(name)

    @staticmethod
    def _insert(conn: Any, name: str) -> None:
        execute(conn, "INSERT INTO events (name) VALUES (%s)", (name,))
        execute(conn, "SELECT 1")

    def check(self, postgres: PostgresCluster, lost: bool = False) -> None:
        """Acknowledged: there once.  Unknown: there at most once.  Nothing else is there.  ``lost``: see
        `check_lost`.
        """
        there = [name for (name,) in postgres.execute(postgres.primary, "SELECT name FROM events")]
        assert len(there) == len(set(there))
        check_lost(self.acknowledged, set(there), lost)
        assert set(there) <= set(self.acknowledged) | set(self.unknown)


def test_kill_of_a_standby_under_load(postgres: PostgresCluster, make: Make) -> None:
    """No error on reads; the node gets work again when it is back."""
    cluster = make(breaker_base=0.2, breaker_cap=0.5, slow_start=1.0)
    db = cluster.open().options(read_only=True)
    with load(lambda thread, serial: db.execute("SELECT count(*) FROM events")) as seen:
        assert eventually(lambda: all(node["Connections"] for node in cluster.metrics()["Nodes"].values()))
        seen.more(200)
        postgres.kill("n2")
        seen.more(300)
        assert eventually(lambda: cluster.view.by_name["n2"].reach.value == "down")
        postgres.start("n2")
        assert eventually(lambda: cluster.view.by_name["n2"].usable)
        seen.more(300)
    print(f"slowest read: {seen.slowest * 1000:.0f} ms")
    assert seen.failed == []


def test_kill_of_the_primary_under_load(postgres: PostgresCluster, make: Make) -> None:
    """Reads see no error; what ``run`` acknowledged is there once; writers wait for the promotion."""
    cluster = make(breaker_base=0.2, breaker_cap=0.5, max_size=20)
    db = cluster.open()
    reader, counted = db.options(read_only=True), Counted(db)
    with (
        load(counted, threads=8) as writes,
        load(lambda thread, serial: reader.execute("SELECT 1"), threads=4) as reads,
    ):
        writes.more(200)
        # The queue to the standbys is not lost with the server, as it is with asynchronous replication by a kill.
        postgres.kill("n1")
        killed = time.monotonic()
        postgres.promote("n2")
        promoted = time.monotonic()
        writes.more(200)
        recovered = min(moment for moment in writes.done if moment > promoted)
    print(f"promotion {promoted - killed:.2f} s, the next write {(recovered - promoted) * 1000:.0f} ms after it")
    print(f"{len(counted.acknowledged)} acknowledged, {len(counted.unknown)} unknown")
    assert reads.failed == []
    assert writes.failed == []
    assert len(counted.unknown) <= 8  # one per thread at most: it was at COMMIT
    counted.check(postgres, lost=True)
    assert cluster.view.by_name["n2"].role.value == "primary"


def test_removal_and_addition_of_a_node_under_load(postgres: PostgresCluster, make: Make) -> None:
    """No error at all; the new node gets traffic, the removed one loses its sessions when they are given back."""
    cluster = make("n1 n2", max_size=16)
    db = cluster.open()
    reader, counted = db.options(read_only=True), Counted(db)
    with (
        load(counted, threads=4) as writes,
        load(lambda thread, serial: reader.execute("SELECT pg_sleep(0.005)"), threads=8) as reads,
    ):
        reads.more(100)
        cluster.add_node("n3", postgres.dsn("n3"))
        assert eventually(lambda: db.stats()["nodes"]["n3"]["open"] > 0)
        reads.more(100)
        cluster.remove_node("n2")
        reads.more(100)
        writes.more(20)
        asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
        assert eventually(lambda: postgres.execute("n2", asked) == [(0,)])
    assert (reads.failed, writes.failed, counted.unknown) == ([], [], [])
    counted.check(postgres)
    assert cluster.nodes == ["n1", "n3"]
    assert "n2" not in cluster.metrics()["Nodes"]


def test_demotion_and_promotion(postgres: PostgresCluster, make: Make) -> None:
    """The old primary takes no writes any more: pools leave it, and the next write succeeds on the new primary."""
    cluster = make(probe_interval=0.2)
    db = cluster.open()
    with db.connection(node="n1"), db.connection(node="n1"):
        pass
    db.execute("INSERT INTO events (name) VALUES ('before')")
    assert db.stats()["nodes"]["n1"]["idle"] >= 2
    postgres.set_read_only("n1")
    postgres.promote("n2")
    promoted = time.monotonic()
    db.execute("INSERT INTO events (name) VALUES ('after')")
    print(f"the next write {(time.monotonic() - promoted) * 1000:.0f} ms after the promotion")
    assert postgres.execute("n2", "SELECT name FROM events ORDER BY id") == [("before",), ("after",)]
    assert postgres.execute("n1", "SELECT name FROM events ORDER BY id") == [("before",)]
    assert eventually(lambda: cluster.view.by_name["n1"].role.value == "replica")
    assert eventually(lambda: db.stats()["nodes"]["n1"]["idle"] == 0)  # they would cling to the old primary
    for _ in range(5):
        with db.connection() as conn:
            assert conn.node == "n2"


def test_demotion_under_load(postgres: PostgresCluster, make: Make) -> None:
    """Writers see no error while the role moves; every acknowledged row is on the new primary, once."""
    counted = Counted(make(probe_interval=0.2).open())
    with load(counted) as writes:
        writes.more(100)
        postgres.set_read_only("n1")
        # Transactions that began before go on: they are over when the last of them is.
        busy = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle' AND backend_xid IS NOT NULL"
        assert eventually(lambda: not postgres.execute("n1", busy))
        [(end,)] = postgres.execute("n1", "SELECT pg_current_wal_lsn()")
        caught_up = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        assert eventually(lambda: postgres.execute("n2", caught_up, (end,)) == [(True,)])
        postgres.promote("n2")
        writes.more(100)
    assert writes.failed == []
    there = {name for (name,) in postgres.execute("n2", "SELECT name FROM events")}
    assert set(counted.acknowledged) <= there


def test_terminated_session_does_not_take_the_primary_out(postgres: PostgresCluster, make: Make) -> None:
    """Suspect, then up again; other work goes on without an error, and no acknowledged row is lost."""
    cluster = make()
    counted = Counted(cluster.open())
    states = set()
    one = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'app' AND (query LIKE 'INSERT%' OR upper(query) = 'COMMIT') LIMIT 1"""
    with load(counted) as writes:
        for _ in range(5):
            writes.more(50)
            # More than one look: all of the sessions may be between two of those statements.
            assert eventually(lambda: postgres.execute("n1", one) == [(True,)])
            states.add(cluster.view.by_name["n1"].reach.value)
        writes.more(50)
    assert writes.failed == []
    assert "down" not in states
    assert cluster.view.by_name["n1"].usable
    counted.check(postgres)


def test_read_only_session_is_refused_by_the_server(make: Make) -> None:
    """``read_only=True`` is the server's business, on primary and standby alike, in and out of a transaction."""
    cluster = make()
    db = cluster.open()
    for node in ("n1", "n2"):
        with db.connection(node=node, read_only=True) as conn:
            error = failure(execute, conn, "INSERT INTO events (name) VALUES ('never')")
            assert cluster.driver.facts(error, None).sqlstate == "25006"
            conn.rollback()
    for _ in range(3):
        error = failure(db.options(read_only=True).execute, "INSERT INTO events (name) VALUES ('never')")
        assert cluster.driver.facts(error, None).sqlstate == "25006"
    db.execute("INSERT INTO events (name) VALUES ('written')")
    assert rows(db.execute("SELECT name FROM events")) == [("written",)]


def test_roles(make: Make) -> None:
    """Writes go to the primary, ``role="replica"`` to standbys, ``read_only`` to all of them."""
    db = make().open()
    asked = "SELECT pg_is_in_recovery()"
    assert {db.execute(asked).fetchone()[0] for _ in range(5)} == {False}
    assert {db.options(role="replica", read_only=True).execute(asked).fetchone()[0] for _ in range(5)} == {True}
    seen = set()

    def ask(thread: int, serial: int) -> None:
        with db.connection(read_only=True) as conn:
            execute(conn, "SELECT pg_sleep(0.002)")
            seen.add(conn.node)

    with load(ask, threads=6) as reads:
        reads.more(100)
        assert eventually(lambda: seen == {"n1", "n2", "n3"})
    assert reads.failed == []


# Who comes first is decided without a driver (tests/pure/core/policies): here one for threads, and one of asyncio.
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"], indirect=True)
@pytest.mark.parametrize(
    "policy",
    ["least-latency", "race", "least-connections", "round-robin", "random", lambda loads, now, random: list(loads)],
    ids=lambda policy: policy if isinstance(policy, str) else "function",
)
def test_every_policy(make: Make, policy: Any) -> None:
    """Each serves reads and writes, and survives the loss of the sessions."""
    cluster = make(policy=policy)
    db = cluster.open()
    reader, counted = db.options(read_only=True), Counted(db)
    with load(counted, threads=2) as writes, load(lambda t, s: reader.execute("SELECT 1"), threads=4) as reads:
        writes.more(20)
        reads.more(100)
        if policy in ("race", "round-robin", "random"):
            assert eventually(lambda: all(node["open"] for node in db.stats()["nodes"].values()))
    assert (reads.failed, writes.failed) == ([], [])
    stats = db.stats()
    assert stats["size"] - stats["in_flight"] <= stats["max_size"]
    assert stats["in_flight"] == 0
