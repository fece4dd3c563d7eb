"""Planned work on PostgreSQL: a node is drained first, and no caller sees an error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql.testing import PostgresCluster

Make = Callable[..., clustersql.Cluster]
INSERT = "INSERT INTO events (name) VALUES (%s)"


@pytest.fixture
def make(postgres: PostgresCluster, driver: str) -> Iterator[Make]:
    """Make a cluster over all nodes of the healthy PostgreSQL cluster; closed after the test."""
    stack, names = ExitStack(), itertools.count()

    def made(**knobs: Any) -> clustersql.Cluster:
        cluster = stack.enter_context(face.cluster_of(driver, f"drained{next(names)}", **knobs))
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        return cluster

    postgres.execute("n1", "TRUNCATE events")
    with stack:
        yield made


def sessions(postgres: PostgresCluster, node: str) -> int:
    """How many of our sessions the server itself has: the probe's is one of them."""
    rows = postgres.execute(node, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
    return int(rows[0][0])


def test_restart_of_a_drained_standby_under_load(postgres: PostgresCluster, make: Make) -> None:
    cluster = make(max_size=16, breaker_base=0.2, breaker_cap=0.5)
    db = cluster.open()
    reader = db.options(read_only=True)
    with load(lambda thread, serial: reader.execute("SELECT pg_sleep(0.002)")) as reads:
        assert eventually(lambda: db.stats()["nodes"]["n2"]["checkouts"] > 10)
        cluster.drain("n2")
        assert eventually(lambda: db.stats()["nodes"]["n2"]["open"] == 0)
        assert eventually(lambda: sessions(postgres, "n2") <= 1)
        checkouts = db.stats()["nodes"]["n2"]["checkouts"]
        postgres.stop("n2")
        reads.more(100)
        postgres.start("n2")
        reads.more(100)
        assert db.stats()["nodes"]["n2"]["checkouts"] == checkouts
        cluster.undrain("n2")
        assert eventually(lambda: db.stats()["nodes"]["n2"]["checkouts"] > checkouts)
    assert reads.failed == []


def test_planned_switchover_under_load(postgres: PostgresCluster, make: Make) -> None:
    """The primary is drained, ends its work, is stopped; another is promoted.  Writers wait, and none sees an error."""
    cluster = make(max_size=16)
    db = cluster.open()
    reader = db.options(read_only=True)
    acknowledged: list[str] = []

    def write(thread: int, serial: int) -> None:
        name = f"{thread}-{serial}"
        db.run(lambda conn: execute(conn, INSERT, (name,)))
        acknowledged.append(name)

    with load(write, threads=4) as writes, load(lambda t, s: reader.execute("SELECT 1"), threads=4) as reads:
        writes.more(50)
        cluster.drain("n1")
        assert eventually(lambda: db.stats()["nodes"]["n1"]["open"] == 0)
        postgres.stop("n1")  # in order: a standby gets all that was committed
        postgres.promote("n2")
        writes.more(50)
        reads.more(50)
    assert (writes.failed, reads.failed) == ([], [])
    there = [name for (name,) in postgres.execute("n2", "SELECT name FROM events")]
    assert sorted(there) == sorted(acknowledged)


def test_open_transaction_ends_by_itself(postgres: PostgresCluster, make: Make) -> None:
    cluster = make()
    db = cluster.open()
    with db.connection() as conn:
        execute(conn, INSERT, ("drained",))
        cluster.drain("n1")
        execute(conn, "SELECT 1")
        assert conn.node == "n1"
    assert postgres.execute("n1", "SELECT count(*) FROM events WHERE name = 'drained'") == [(1,)]
    assert eventually(lambda: db.stats()["nodes"]["n1"]["open"] == 0)
    error = failure(lambda: db.options(timeout=0.5).execute("SELECT 1"))
    assert isinstance(error, clustersql.NoNodeAvailable)  # n1 is the only primary
    cluster.undrain("n1")
    assert rows(db.execute("SELECT 1")) == [(1,)]


def test_what_outstays_its_grace_is_ended_and_recovered(postgres: PostgresCluster, make: Make) -> None:
    """A statement that goes on beyond the grace is ended: a read is run again elsewhere, an open transaction
    is lost.
    """
    cluster = make()
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    with db.connection(node="n2") as pinned:
        execute(pinned, "SELECT 1")
        reading = db.connection(read_only=True)
        execute(reading, "SELECT 1")
        reading.rollback()
        first = reading.node
        cluster.drain("n2", grace=30)
        if first != "n2":
            cluster.drain(str(first), grace=0)
        cluster.drain("n2", grace=0)  # the operator has thought again
        assert eventually(lambda: failure(lambda: execute(pinned, "SELECT 1")) is not None)
        pinned.rollback()
        execute(reading, "SELECT 1")
        assert reading.node not in ("n2", first)
        reading.close()
    assert eventually(lambda: db.stats()["nodes"]["n2"]["open"] == 0)


def test_bad_input(make: Make) -> None:
    cluster = make()
    with pytest.raises(clustersql.ConfigError, match="no node 'n4'; known: n1, n2, n3"):
        cluster.drain("n4")
    with pytest.raises(clustersql.ConfigError, match="no node"):
        cluster.undrain("n4")
    for grace in (-1, True, "1", float("inf"), float("nan")):
        with pytest.raises(clustersql.ConfigError, match="grace: must be a number of seconds"):
            cluster.drain("n1", grace=grace)  # type: ignore[arg-type]
    assert not cluster.view.by_name["n1"].draining
