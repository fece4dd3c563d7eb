"""One address, and several servers behind it: a Kubernetes Service, HAProxy, a virtual IP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from support import face
from support.load import load
from support.stage import execute, failure, in_step
from support.waiting import eventually

from clustersql.nodes.dial import Order
from clustersql.testing import FaultProxy, PostgresCluster

INSERT = "INSERT INTO events (name) VALUES (%s)"
KNOBS = {"probe_interval": 0.2, "breaker_base": 0.1, "breaker_cap": 0.5}
DRIVERS = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


@pytest.fixture
def address(postgres: PostgresCluster) -> Iterator[FaultProxy]:
    """An address that leads to n1."""
    with FaultProxy(postgres.port("n1")) as proxy:
        yield proxy


def at(postgres: PostgresCluster, address: FaultProxy) -> str:
    return postgres.dsn("n1").replace(f":{postgres.port('n1')}/", f":{address.port}/")


def ports(cluster: Any) -> dict[str, str]:
    """The port of the server that each node stands for."""
    return {node.name: node.server.rpartition(":")[2] for node in cluster.view}


def sessions(postgres: PostgresCluster, name: str) -> int:
    """How many of the program's own connections are open on a node."""
    found = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'"
    return int(postgres.execute(name, found)[0][0])


@DRIVERS
def test_a_promotion_behind_the_address(postgres: PostgresCluster, address: FaultProxy, driver: str) -> None:
    """The old primary lives on, and keeps its sessions; the address leads to both for a while, then to the new one."""
    postgres.execute("n1", "TRUNCATE events")
    with face.cluster_of(driver, "one", timeout=30.0, **KNOBS) as cluster:
        cluster.add_node("rw", at(postgres, address))
        db = cluster.open()
        reader = db.options(read_only=True)
        with (
            load(lambda t, s: db.run(lambda conn: execute(conn, INSERT, (f"{t}-{s}",))), threads=4) as writes,
            load(lambda t, s: reader.execute("SELECT 1"), threads=4) as reads,
        ):
            writes.more(20)
            postgres.set_read_only("n1")
            # What began to write before goes on; replication is asynchronous, and must have brought it to n2.
            [(since,)] = postgres.execute("n1", "SELECT clock_timestamp()::text")
            older = f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND xact_start <= '{since}'"
            assert eventually(lambda: postgres.execute("n1", older) == [(0,)])
            in_step(postgres)
            postgres.promote("n2")
            address.balance(postgres.port("n1"), postgres.port("n2"))
            writes.more(50)
            address.target_port = postgres.port("n2")
            writes.more(50)
            reads.more(50)
            # The monitor's own, by which it would hear that the server is promoted again.
            assert eventually(lambda: sessions(postgres, "n1") <= 1), cluster.view
        assert (writes.failed, reads.failed) == ([], [])
        old, new = str(postgres.port("n1")), str(postgres.port("n2"))
        assert set(ports(cluster).values()) == {old, new}
        assert [
            port for name, port in ports(cluster).items() if cluster.view.by_name[name].role.value == "primary"
        ] == [new]
        assert cluster.nodes == ["rw"], "the others were not configured"
        [behind] = [node for node in cluster.snapshot().nodes if node.behind]
        figures = cluster.metrics()["Nodes"]
        assert figures[behind.name]["Server"] == behind.server
        assert (behind.behind, set(figures)) == ("rw", set(ports(cluster)))
        told = postgres.execute("n2", "SELECT count(*), count(DISTINCT name) FROM events")
        before = postgres.execute("n1", "SELECT count(*) FROM events")[0][0]
        assert told == [(len(writes.done), len(writes.done))], f"{before} of them were on the old primary"


@DRIVERS
def test_a_frozen_server_behind_the_address(postgres: PostgresCluster, address: FaultProxy, driver: str) -> None:
    """Its sessions are woken, and those to the others are left alone, a slow statement among them."""
    with face.cluster_of(driver, "one", timeout=30.0, stall_after=0.3, connect_timeout=0.5, **KNOBS) as cluster:
        cluster.add_node("ro", at(postgres, address))
        db = cluster.open()
        with ExitStack() as stack:
            there: dict[str, Any] = {}
            for name in postgres.nodes:
                address.target_port = postgres.port(name)
                # A checkout may be given a probe's connection, which leads to where the address led before.
                while str(postgres.port(name)) not in there:
                    conn = stack.enter_context(db.connection(read_only=True))
                    there[str(execute(conn, "SELECT inet_server_port()").fetchone()[0])] = conn
                    conn.rollback()  # what is sent next is a transaction's first statement, which may go on elsewhere
            address.balance(*(postgres.port(name) for name in postgres.nodes))
            name_of = {port: name for name, port in ports(cluster).items()}
            assert set(name_of) == set(there)
            frozen, slow = str(postgres.port("n2")), str(postgres.port("n3"))
            before = cluster.view.by_name[name_of[slow]].generation
            assert eventually(lambda: set(name_of.values()) <= set(db._pool._prober._kept.names))
            sleeper = threading.Thread(target=lambda: slept.append(execute(there[slow], "SELECT pg_sleep(2)")))
            slept: list[Any] = []
            sleeper.start()
            postgres.freeze("n2")
            try:
                assert str(execute(there[frozen], "SELECT inet_server_port()").fetchone()[0]) != frozen
            finally:
                sleeper.join()
                postgres.thaw("n2")
            assert slept
            assert cluster.view.by_name[name_of[slow]].generation == before


@DRIVERS
def test_an_order_reaches_its_own_server_only(postgres: PostgresCluster, address: FaultProxy, driver: str) -> None:
    """Behind one address, the number of a session may be a stranger's on another server."""
    with face.cluster_of(driver, "one", timeout=30.0, **KNOBS) as cluster, psycopg.connect(postgres.dsn("n1")) as mine:
        cluster.add_node("rw", at(postgres, address))
        db = cluster.open()
        db.execute("SELECT 1")
        form, pid = db._pool.reading.dialect.cancel, mine.info.backend_pid
        failures: list[Any] = []
        sleeper = threading.Thread(target=lambda: failures.append(failure(mine.execute, "SELECT pg_sleep(60)")))
        sleeper.start()
        asleep = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
        assert eventually(lambda: postgres.execute("n1", asleep) == [(1,)])
        identity, now = cluster.view.by_name["rw"].identity, time.monotonic()
        said = db._pool._prober.say
        # One after the other, on the same connection: what was for another server is passed over.
        face_call(cluster, lambda: said("rw", Order(form, pid, now, identity="another server since 1.5")))
        assert not eventually(lambda: failures, timeout=0.3)
        face_call(cluster, lambda: said("rw", Order(form, pid, now, identity=identity)))
        sleeper.join()
        assert isinstance(failures[0], psycopg.errors.QueryCanceled)


def test_another_database_behind_the_address(
    postgres: PostgresCluster, address: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """For a moment it is a stranger's; when nothing else has answered for ``lineage_after``, it is the cluster's."""
    caplog.set_level(logging.WARNING, "clustersql")
    postgres.execute("n1", "TRUNCATE events")
    with (
        PostgresCluster(1) as stranger,
        face.cluster_of("psycopg", "one", timeout=30.0, lineage_after=0.5, **KNOBS) as cluster,
    ):
        cluster.add_node("rw", at(postgres, address))
        db = cluster.open()
        db.execute(INSERT, ("a",))
        address.balance(postgres.port("n1"), stranger.port("n1"))
        for number in range(8):
            with db.connection() as one, db.connection() as other:
                for conn in (one, other):
                    execute(conn, INSERT, (f"{number}",))
        assert postgres.execute("n1", "SELECT count(*) FROM events") == [(17,)]
        assert "another database" not in caplog.text
        address.target_port = stranger.port("n1")
        postgres.terminate_sessions("n1")
        reader = db.options(read_only=True)
        assert reader.execute("SELECT inet_server_port()").fetchone()[0] == stranger.port("n1")
        assert "another database is the cluster's own from now on" in caplog.text


def face_call(cluster: Any, function: Any) -> Any:
    """Call ``function`` where the cluster lives: in its loop, if it has one."""
    loop = getattr(cluster, "loop", None)
    return function() if loop is None else loop.call(function)
