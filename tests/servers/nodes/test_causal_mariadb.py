"""Causal reads in MariaDB's replication: a replica that is late is waited for, and what a failover has lost is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pymysql.cursors
import pytest
from support import face
from support.replication import Pair, replication
from support.stage import MARIADB, execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql.dialects import by_name
from clustersql.testing import MariaDBServer

KNOBS: dict[str, Any] = {"probe_interval": 0.2, "breaker_base": 0.2, "breaker_cap": 0.5}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replication(replica_settings=("--log-bin=binlog", "--log-slave-updates")) as servers:
        servers[0].execute("n1", "CREATE TABLE app.counting (n INT)")
        servers[0].execute("n1", "INSERT INTO app.counting VALUES (0)")
        yield servers


@pytest.fixture
def make(pair: Pair) -> Iterator[Callable[..., Any]]:
    """Make a cluster of a driver over both servers."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def made(driver: str, **knobs: Any) -> Any:
            cluster = stack.enter_context(face.cluster_of(driver, f"causal{driver}", **(KNOBS | knobs)))
            for name, server in zip(("source", "replica"), pair, strict=True):
                cluster.add_node(name, server.dsn("n1"))
            return cluster

        yield made


def add(s: Any) -> int:
    def work(conn: Any) -> int:
        execute(conn, "UPDATE counting SET n = n + 1")
        return int(rows(execute(conn, "SELECT n FROM counting"))[0][0])

    return int(s.run(work))


def shown(db: Any) -> int:
    return int(db.execute("SELECT n FROM counting").fetchall()[0][0])


@pytest.mark.parametrize("driver", MARIADB)
def test_a_replica_is_waited_for_and_then_left_for_the_primary(pair: Pair, make: Any, driver: str) -> None:
    cluster = make(driver, causal_wait=20)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view) or add(db) < 0)
    s = db.causal()
    for _ in range(5):
        assert add(s) == shown(s.options(read_only=True, role="replica"))
    pair[1].execute("n1", "STOP SLAVE SQL_THREAD")
    written = add(s)
    later = threading.Timer(0.2, pair[1].execute, ("n1", "START SLAVE SQL_THREAD"))
    later.start()
    assert shown(s.options(read_only=True)) == written
    later.join()
    assert cluster.metrics()["CausalReads"] == {"known": 0, "waited": 6, "primary": 0, "refused": 0}
    cluster.reconfigure(causal_wait=0.02)
    pair[1].execute("n1", "STOP SLAVE SQL_THREAD")
    try:
        written = add(s)
        bookmark = s.bookmark
        assert shown(s.options(read_only=True)) == written
        assert shown(db.options(read_only=True, after=bookmark)) == written
        error = failure(shown, db.options(read_only=True, role="replica", after=bookmark, timeout=0.3))
        assert isinstance(error, clustersql.NoNodeAvailable)
        assert "replica: behind the bookmark" in str(error)
    finally:
        pair[1].execute("n1", "START SLAVE SQL_THREAD")
    assert type(failure(shown, db.options(read_only=True, after="1~b~0-77-1"))) is clustersql.CausalityLost
    assert type(failure(shown, db.options(read_only=True, after="1~p~1~1~1"))) is clustersql.CausalityLost


def test_a_commit_that_was_settled_is_not_applied_from_the_relay_log(pair: Pair) -> None:
    """Promoted before it has applied what it has received, the replica says that nothing happened; what it has received
    then fails, and loudly.
    """
    source, replica = pair
    guard = by_name("mysql").guard
    assert guard is not None
    names, key = ("app.clustersql_commit", "app.clustersql_key"), uuid4().hex
    for statement in (*guard.create(*names), "CREATE TABLE IF NOT EXISTS app.settled (name varchar(40))"):
        source.execute("n1", statement)
    assert eventually(lambda: replica.execute("n1", "SHOW TABLES FROM app LIKE 'settled'"))
    replica.execute("n1", "STOP SLAVE SQL_THREAD")
    try:
        with face.cluster_of("pymysql", "before", commit_guard=True) as cluster:
            cluster.add_node("source", source.dsn("n1"))
            with cluster.open().connection() as conn:
                text = conn.commit_id
                execute(conn, "INSERT INTO settled VALUES (%s)", (key,))
                conn.commit()
        written = source.execute("n1", "SHOW MASTER STATUS")[0][:2]
        assert eventually(lambda: received(replica) == written)
        replica.set_read_only("n1", False)
        with face.cluster_of("pymysql", "after", commit_guard=True) as cluster:
            cluster.add_node("replica", replica.dsn("n1"))
            assert cluster.open().settle(text) == "void"
        replica.execute("n1", "START SLAVE SQL_THREAD")
        assert eventually(lambda: status(replica)["Last_SQL_Errno"] == 1062)
        found = "SELECT count(*) FROM settled WHERE name = %s"
        assert (source.execute("n1", found, (key,)), replica.execute("n1", found, (key,))) == ([(1,)], [(0,)])
    finally:
        replica.set_read_only("n1")
        replica.execute("n1", "STOP SLAVE SQL_THREAD")
        replica.execute("n1", "SET GLOBAL sql_slave_skip_counter = 1")
        replica.execute("n1", "START SLAVE SQL_THREAD")


def status(replica: MariaDBServer) -> dict[str, Any]:
    made = pymysql.connect(host="127.0.0.1", port=replica.port("n1"), user="root")
    with closing(made) as conn, conn.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW SLAVE STATUS")
        return dict(cursor.fetchone())


def received(replica: MariaDBServer) -> tuple[Any, ...]:
    """How far it has received the source's log."""
    told = status(replica)
    return told["Master_Log_File"], told["Read_Master_Log_Pos"]


def test_after_a_failover_what_survived_is_read_and_what_did_not_is_lost(pair: Pair, make: Any) -> None:
    """The new source counts on from a number that the lost write has too, so that a replica's number would say that it
    is there.
    """
    source, replica = pair
    clusters = {driver: make(driver) for driver in ("pymysql", "asyncmy")}
    survived, lost, untold = {}, {}, {}
    for driver, cluster in clusters.items():
        s = cluster.open().causal()
        count = add(s)
        survived[driver] = s.bookmark
        shown(s.options(read_only=True, role="replica"))
    replica.execute("n1", "STOP SLAVE")
    for driver, cluster in clusters.items():
        s, untold[driver] = cluster.open().causal(), cluster.open().causal()
        add(s)
        lost[driver] = s.bookmark
        add(untold[driver])
    source.kill("n1")
    replica.set_read_only("n1", False)
    try:
        for _ in range(10):
            replica.execute("n1", "UPDATE app.counting SET n = n")
        for driver, cluster in clusters.items():
            db = cluster.open()
            assert eventually(lambda cluster=cluster: cluster.view.by_name["replica"].role.value == "primary")
            assert shown(db.options(read_only=True, after=survived[driver])) >= count
            error = failure(shown, db.options(read_only=True, after=lost[driver]))
            assert type(error) is clustersql.CausalityLost
            assert "is not in its history, which ends at" in str(error)
            assert type(failure(shown, untold[driver].options(read_only=True))) is clustersql.CausalityLost
            s = db.causal(after=survived[driver])
            assert add(s) == shown(s.options(read_only=True))
    finally:
        replica.set_read_only("n1", True)
        source.start("n1")
