"""Who writes on Galera, and what happens to whom when a node does not want work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from servers.galera.conftest import ONE_OF_EACH
from servers.galera.workload import in_step

from clustersql import Cluster
from clustersql.core.view.node import Reach, Readiness, Role
from clustersql.sync.connection import Connection
from clustersql.sync.database import Database
from clustersql.testing import GaleraCluster
from clustersql.testing.processes import wait_until


def writer(db: Database) -> str | None:
    """The node that serves work that may write."""
    with db.connection() as conn:
        return conn.node


def moves_to(dbs: list[Database], name: str) -> None:
    wait_until(lambda: {writer(db) for db in dbs} == {name}, f"all clients write to {name}", timeout=20)


def opened(cluster: Cluster) -> Database:
    """The database, when every node has been probed once: until then work goes to those that were dialled first."""
    db = cluster.open()
    wait_until(lambda: all(node.reach is Reach.UP for node in cluster.view), "all nodes are up", timeout=10)
    return db


def served(db: Database, **wants: Any) -> set[str | None]:
    """The nodes that serve several callers at the same time."""
    with ExitStack() as stack:
        return {stack.enter_context(db.connection(**wants)).node for _ in range(6)}


def test_single_writer_is_the_first_ready_node_for_every_client(
    galera: GaleraCluster, client: Callable[..., Cluster]
) -> None:
    dbs = [client().open() for _ in range(3)]
    assert [writer(db) for db in dbs] == ["n1"] * 3
    galera.kill("n1")
    assert [writer(db) for db in dbs] == ["n2"] * 3
    galera.start("n1")
    moves_to(dbs, "n1")
    galera.desync("n1")
    moves_to(dbs, "n2")
    galera.reject_queries("n2")
    moves_to(dbs, "n3")
    galera.desync("n1", False)
    moves_to(dbs, "n1")


def test_any_writer_spreads_the_writes(client: Callable[..., Cluster]) -> None:
    every = {"n1", "n2", "n3"}
    db = opened(client(writer="any", policy="round-robin"))
    wait_until(lambda: served(db) == every, "every node serves writers")  # a node that is slow to let in is passed over
    single = opened(client(policy="round-robin"))
    assert served(single) == {"n1"}
    wait_until(lambda: served(single, read_only=True) == every, "every node serves readers")


@pytest.mark.parametrize("fault", ["reject", "read_only"])
def test_a_node_that_does_not_want_work_is_rerouted_and_shown(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str, fault: str
) -> None:
    """The first statement after the change may be the one that finds out; it goes on elsewhere without an error."""
    _rerouted(galera, client, driver, fault)


@ONE_OF_EACH
def test_a_donor_is_rerouted_and_shown(galera: GaleraCluster, client: Callable[..., Cluster], driver: str) -> None:
    """It refuses nothing: only a probe finds out."""
    _rerouted(galera, client, driver, "desync")


def _rerouted(galera: GaleraCluster, client: Callable[..., Cluster], driver: str, fault: str) -> None:
    change, role, readiness, why = {
        "reject": (galera.reject_queries, Role.PRIMARY, Readiness.MAINTENANCE, "wsrep_reject_queries is ALL"),
        "desync": (galera.desync, Role.PRIMARY, Readiness.DONOR, "desynced by hand"),
        "read_only": (galera.set_read_only, Role.REPLICA, Readiness.READY, "read_only is on"),
    }[fault]
    cluster = client(driver, policy="round-robin")
    db = opened(cluster)
    db.execute("CREATE OR REPLACE TABLE refused (id INT PRIMARY KEY)")
    in_step(galera)
    change("n1")
    for number in range(20):
        db.execute("INSERT INTO refused VALUES (%s)", (number,))
        db.run(lambda conn, number=number: conn.cursor().execute("INSERT INTO refused VALUES (%s)", (100 + number,)))
        db.options(read_only=True).execute("SELECT COUNT(*) FROM refused")
    seen = lambda: cluster.view.by_name["n1"]  # noqa: E731
    wait_until(lambda: (seen().role, seen().readiness) == (role, readiness), f"n1 is {role}, {readiness}", timeout=10)
    assert seen().reach is Reach.UP
    shown = cluster.metrics()["Nodes"]["n1"]
    assert (shown["State"], shown["Role"], shown["Readiness"], shown["Why"]) == ("up", role.value, readiness.value, why)
    assert writer(db) == "n2"
    reading = {"n2", "n3"} | ({"n1"} if fault == "read_only" else set())
    assert served(db, read_only=True) <= reading
    wait_until(lambda: served(db, read_only=True) == reading, f"{', '.join(sorted(reading))} serve readers")
    assert db.execute("SELECT COUNT(*) FROM refused").fetchall() == [(40,)]
    change("n1", False)
    moves_to([db], "n1")


@ONE_OF_EACH
def test_callers_wait_for_the_quorum(galera: GaleraCluster, client: Callable[..., Cluster], driver: str) -> None:
    """Two of three nodes die; the third refuses (1047) until it is made a cluster of its own."""
    cluster = client(driver)
    db = cluster.open()
    db.execute("CREATE OR REPLACE TABLE quorum (id INT PRIMARY KEY)")
    galera.kill("n2")
    galera.kill("n3")
    wait_until(
        lambda: galera.status("n1").get("wsrep_cluster_status") == "non-Primary", "n1 lost the quorum", timeout=20
    )

    def insert(number: int) -> None:
        db.run(lambda conn: conn.cursor().execute("INSERT INTO quorum VALUES (%s)", (number,)))

    with ThreadPoolExecutor(8) as threads:
        callers = [threads.submit(insert, number) for number in range(8)]
        seen = lambda: cluster.view.by_name["n1"].readiness  # noqa: E731
        wait_until(lambda: seen() is Readiness.NOT_READY, "n1 is not ready", timeout=10)
        assert not any(caller.done() for caller in callers)
        galera.bootstrap("n1")
        for caller in callers:
            caller.result(30)
    assert db.execute("SELECT COUNT(*) FROM quorum").fetchall() == [(8,)]
    assert writer(db) == "n1"


def test_a_certification_conflict_at_commit_is_rerun(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    db = opened(client(driver, writer="any"))
    db.execute("CREATE OR REPLACE TABLE conflict (id INT PRIMARY KEY, n INT)")
    in_step(galera)  # what is written next may be on another node, where the table of the test before would still be
    db.execute("INSERT INTO conflict VALUES (1, 0)")
    in_step(galera)
    both_updated = threading.Barrier(2)
    attempts: list[int] = []

    def count(conn: Connection) -> None:
        attempts.append(conn.attempt)
        conn.cursor().execute("UPDATE conflict SET n = n + 1 WHERE id = 1")
        if conn.attempt == 1:
            both_updated.wait(20)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(db.options(node=node).run, count) for node in ("n1", "n2")]:
            done.result(30)
    assert max(attempts) > 1, "one of them was rolled back by certification"
    in_step(galera)
    for node in galera.nodes:
        assert db.options(node=node).execute("SELECT n FROM conflict").fetchall() == [(2,)]


def test_one_session_killed_does_not_take_its_node_out(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    cluster = client(driver)
    db = cluster.open()
    db.execute("CREATE OR REPLACE TABLE killed (id INT PRIMARY KEY)")
    in_step(galera)  # the new session may be another node's, where the table of the test before would still be there
    downs: list[object] = []
    db._pool.topology.listeners.append(
        lambda view: downs.extend(node for node in view if node.reach is Reach.DOWN or not node.role)
    )
    for number in range(5):
        with db.connection() as conn:
            [(session,)] = _rows(conn, "SELECT CONNECTION_ID()")
            node = conn.node
            conn.rollback()
            galera.execute(str(node), f"KILL {session}")
            conn.cursor().execute("INSERT INTO killed VALUES (%s)", (number,))  # goes on, in a new session
        moves_to([db], "n1")
    in_step(galera)
    assert db.execute("SELECT COUNT(*) FROM killed").fetchall() == [(5,)]
    assert downs == []


def _rows(conn: Connection, sql: str) -> list[tuple[int, ...]]:
    cursor = conn.cursor()
    cursor.execute(sql)
    return list(cursor.fetchall())


@ONE_OF_EACH
def test_a_node_that_cannot_keep_up_gets_no_work(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    """A table is locked on n2, so what the others commit waits there to be applied; n2 still calls itself synced."""
    cluster = client(driver, policy="round-robin", max_receive_queue=3, probe_interval=0.2)
    db = opened(cluster)
    db.execute("CREATE OR REPLACE TABLE queued (id INT PRIMARY KEY)")
    in_step(galera)
    seen = lambda: cluster.view.by_name["n2"]  # noqa: E731
    with galera._session("n2", 60) as session, session.cursor() as cursor:
        cursor.execute("FLUSH TABLES app.queued WITH READ LOCK")
        for number in range(8):  # far below the length at which Galera's flow control stops all writes
            db.execute("INSERT INTO queued VALUES (%s)", (number,))
        wait_until(lambda: seen().readiness is Readiness.OVERLOADED, "n2 is overloaded", timeout=20)
        assert galera.status("n2")["wsrep_local_state_comment"] == "Synced"
        assert (
            "write-sets wait to be applied, more than max_receive_queue (3)" in cluster.metrics()["Nodes"]["n2"]["Why"]
        )
        assert "n2" not in served(db, read_only=True)
        cursor.execute("UNLOCK TABLES")
    wait_until(lambda: served(db, read_only=True) == {"n1", "n2", "n3"}, "n2 has caught up", timeout=20)
    in_step(galera)
    assert db.options(node="n2").execute("SELECT COUNT(*) FROM queued").fetchall() == [(8,)]
