"""Trouble while connecting and waiting: closed at once, deaf, all down, wrong passwords, queues; nothing leaks and
nobody hangs.
"""

from __future__ import annotations

import gc
import re
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import face
from support.stage import Stage, failure
from support.waiting import eventually

import clustersql
from clustersql import NoNodeAvailable, PoolClosed, PoolTimeout

SESSIONS = {
    True: "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'",
    False: "SELECT count(*) FROM information_schema.processlist WHERE user = 'app'",
}
REFUSED = r"(?i)refused|can't (?:create a connection|connect)"


def no_sessions(stage: Stage) -> bool:
    """Whether the server has no session of ours any more, when all clusters are closed."""
    stage.close()
    return eventually(lambda: stage.ask(SESSIONS[stage.postgres]) == [(0,)])


def test_node_that_accepts_and_at_once_closes(stage: Stage) -> None:
    """The other serves; no error; the node is dialled by the breaker, not by user traffic."""
    stage.a.close_on_accept()
    stage.a.reset()  # also what a probe has opened there: in need it is lent
    for _ in range(50):
        stage.db.execute("SELECT 1")
        with stage.db.connection() as conn:
            assert conn.node == "b"
    assert stage.cluster.view.by_name["a"].reach.value == "down"
    assert stage.a.accepted <= 4
    stage.a.heal()
    assert eventually(lambda: stage.cluster.view.by_name["a"].usable)


def test_node_that_is_deaf_at_connect_costs_the_stagger(stage: Stage) -> None:
    """The next node is dialled after it; the late winner is kept or closed, never leaked."""
    cluster = stage.make(connect_timeout=40.0, stall_after=40.0)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    stage.a.deaf()
    began = time.monotonic()
    with db.connection(read_only=True) as conn:  # a write has one node, until that is known to be down
        assert conn.node == "b"
        assert 0.2 < time.monotonic() - began < 20  # long before any deadline
    stage.a.deaf(False)  # the late winner arrives
    assert eventually(lambda: not stage.dials(cluster))
    stats = db.stats()
    assert stats["size"] == stats["idle"] == stats["nodes"]["a"]["open"] + stats["nodes"]["b"]["open"]
    assert no_sessions(stage)
    assert eventually(lambda: stage.a.connections == stage.b.connections == 0)


def test_a_process_that_begins_beside_a_deaf_node_writes_after_the_stagger(stage: Stage) -> None:
    """The first node may be the writer, and has said nothing: it gets the stagger, not its deadline."""
    stage.a.deaf()
    db = stage.make(connect_timeout=40.0).open()
    began = time.monotonic()
    with db.connection() as conn:
        assert conn.node == "b"
        assert 0.2 < time.monotonic() - began < 20  # before the probe of "a" has ended
    stage.a.deaf(False)
    assert no_sessions(stage)


def test_deaf_node_for_ever_is_abandoned(stage: Stage) -> None:
    """The connect deadline is forced on the driver: its thread ends, the node is down, the others serve."""
    cluster = stage.make(connect_timeout=0.5)
    stage.a.deaf()
    db = cluster.open()
    db.execute("SELECT 1")
    assert eventually(lambda: cluster.view.by_name["a"].reach.value == "down")
    stage.a.stop()
    assert no_sessions(stage)


def test_race_closes_or_keeps_the_losers(psycopg_stage: Stage) -> None:
    """All candidates are dialled at once; what is not used does not stay open at the end."""
    stage = psycopg_stage
    stage.a.delay(0.05)
    cluster = stage.make(policy="race")
    db = cluster.open()
    with db.connection() as conn:
        assert conn.node == "b"
    assert eventually(lambda: not stage.dials(cluster))
    assert stage.a.accepted >= 1
    stats = db.stats()
    assert stats["size"] == stats["idle"]
    assert no_sessions(stage)


def test_all_down_then_one_back_with_200_waiting_callers(psycopg_stage: Stage) -> None:
    """All are served, nobody hangs, and no node is ever dialled by more than two callers at once, nor in a storm."""
    stage = psycopg_stage
    cluster = stage.make(max_size=5, timeout=60)
    db = cluster.open()
    stage.a.stop()
    stage.b.stop()
    served: list[int] = []
    errors: list[BaseException] = []
    most = [0]

    def call(number: int) -> None:
        error = failure(lambda: db.run(lambda conn: conn.execute("SELECT pg_sleep(0.002)") and served.append(number)))
        errors.extend([error] if error else [])

    threads = [threading.Thread(target=call, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: db.stats()["waiting"] == 200)
    began, accepted = time.monotonic(), stage.b.accepted
    stage.b.restart()
    while any(thread.is_alive() for thread in threads) and time.monotonic() - began < 60:
        most[0] = max(most[0], *(node["dialling"] for node in db.stats()["nodes"].values()))
        time.sleep(0.001)
    for thread in threads:
        thread.join(1)
    print(f"200 callers served {time.monotonic() - began:.2f} s after the node was back")
    assert errors == []
    assert sorted(served) == list(range(200))
    assert most[0] <= 2
    assert stage.b.accepted - accepted < 40  # 5 for the pool, and what the prober asks
    assert db.stats()["size"] <= 5
    assert db.stats()["waiting"] == 0


def test_waiting_callers_are_served_in_order(psycopg_stage: Stage) -> None:
    """First come, first served."""
    stage = psycopg_stage
    db = stage.make(max_size=1).open()
    order: list[int] = []

    def call(number: int) -> None:
        with db.connection():
            order.append(number)

    with db.connection():
        threads = []
        for number in range(20):
            threads.append(threading.Thread(target=call, args=(number,)))
            threads[-1].start()
            assert eventually(lambda n=number: db.stats()["waiting"] == n + 1)
    for thread in threads:
        thread.join(20)
    assert order == list(range(20))


def test_no_node_carries_every_error(stage: Stage) -> None:
    """Raised from the latest node's error, and also the driver's OperationalError."""
    stage.a.stop()
    stage.b.close_on_accept()
    stage.b.reset()  # also what a probe has opened there: in need it is lent
    error = failure(stage.db.options(timeout=0.7).execute, "SELECT 1")
    assert isinstance(error, NoNodeAvailable)
    assert isinstance(error, stage.cluster.driver.operational_error)
    assert set(error.errors) == {"a", "b"}
    assert all(isinstance(each, (stage.cluster.driver.error, OSError)) for each in error.errors.values())
    assert error.__cause__ is list(error.errors.values())[-1]
    nodes = stage.cluster.metrics()["Nodes"]
    assert nodes["a"]["LastErrorMessage"].partition(": ")[2] in str(error)
    assert re.search(REFUSED, nodes["a"]["LastErrorMessage"])
    assert nodes["a"]["LastError"]
    assert nodes["b"]["Errors"] >= 1


def test_pool_timeout_is_another_error(psycopg_stage: Stage) -> None:
    """Nodes are well, but every connection is in use."""
    stage = psycopg_stage
    db = stage.make(max_size=2).open()
    with db.connection(), db.connection():
        error = failure(db.options(timeout=0.2).execute, "SELECT 1")
    assert isinstance(error, PoolTimeout)
    assert not isinstance(error, NoNodeAvailable)
    assert "2 of 2 in use" in str(error)
    db.execute("SELECT 1")


def _with_passwords(stage: Stage, a: str, b: str) -> clustersql.Cluster:
    cluster = face.cluster("passwords", stage.driver, stage.loop)
    for name, proxy, password in (("a", stage.a, a), ("b", stage.b, b)):
        cluster.add_node(name, **(stage.address(proxy.port) | {"password": password}))
    stage.clusters.append(cluster)
    return cluster


def test_wrong_password_on_one_node(stage: Stage) -> None:
    """That node is misconfigured, the other serves, and the error is in the metrics; the password is nowhere."""
    cluster = _with_passwords(stage, "Wr0ngPa55", "secret")
    db = cluster.open()
    for _ in range(5):
        with db.connection() as conn:
            assert conn.node == "b"
    assert eventually(lambda: cluster.view.by_name["a"].readiness.value == "misconfigured")
    node = cluster.metrics()["Nodes"]["a"]
    assert ("password authentication failed" if stage.postgres else "Access denied") in node["LastErrorMessage"]
    assert "Wr0ngPa55" not in f"{cluster.metrics()}{cluster!r}{db!r}{cluster.view}{cluster._topology.addresses}"


def test_wrong_password_on_all_nodes(stage: Stage) -> None:
    """At once, from the driver's error: waiting would not help."""
    cluster = _with_passwords(stage, "Wr0ngPa55", "Wr0ngPa55")
    began = time.monotonic()
    error = failure(cluster.open().execute, "SELECT 1")
    assert time.monotonic() - began < 10  # and not the 30 s of the default timeout
    assert isinstance(error, NoNodeAvailable)
    assert isinstance(error.__cause__, stage.cluster.driver.error)
    assert set(error.errors) == {"a", "b"}
    assert "Wr0ngPa55" not in f"{error}{error!r}{error.errors}"


def test_password_that_is_mended_heals_by_itself(stage: Stage) -> None:
    """A callable is asked at every dial."""
    password = ["Wr0ngPa55"]
    cluster = face.cluster("mended", stage.driver, stage.loop, breaker_base=0.1, breaker_cap=0.2)
    stage.clusters.append(cluster)
    cluster.add_node("a", **(stage.address(stage.a.port) | {"password": lambda: password[0]}))
    db = cluster.open()
    assert isinstance(failure(db.execute, "SELECT 1"), NoNodeAvailable)
    password[0] = "secret"
    assert eventually(lambda: cluster.view.by_name["a"].usable)
    db.execute("SELECT 1")


def test_use_after_close(psycopg_stage: Stage) -> None:
    """PoolClosed; also for those who wait; a connection in use may be given back."""
    stage = psycopg_stage
    cluster = stage.make(max_size=1)
    db = cluster.open()
    errors: list[Any] = []
    with db.connection() as conn:
        waiting = threading.Thread(target=lambda: errors.append(failure(db.execute, "SELECT 1")))
        waiting.start()
        assert eventually(lambda: db.stats()["waiting"] == 1)
        cluster.close()
        waiting.join(10)
        assert conn.execute("SELECT 1").fetchall() == [(1,)]
    assert isinstance(errors[0], PoolClosed)
    for use in (
        lambda: db.execute("SELECT 1"),
        db.connection,
        lambda: db.run(lambda conn: None),
        cluster.connect,
        cluster.dial,
    ):
        assert isinstance(failure(use), PoolClosed)
    cluster.close()
    assert eventually(lambda: not stage.dials(cluster))


def test_handle_and_cursor_used_after_the_return(psycopg_stage: Stage) -> None:
    """They would work on somebody else's session."""
    stage = psycopg_stage
    with stage.db.connection() as conn:
        cursor = conn.cursor()
        cursor.execute("SELECT 1")
    uses = [
        lambda: conn.execute("SELECT 1"),
        conn.cursor,
        conn.commit,
        conn.rollback,
        lambda: cursor.execute("SELECT 1"),
        lambda: cursor.executemany("SELECT 1", [()]),
        lambda: cursor.fetchone(),
        lambda: cursor.fetchall(),
        lambda: cursor.fetchmany(1),
        lambda: cursor.description,
        lambda: list(cursor),
        lambda: conn.driver_connection,
        lambda: conn.autocommit,
    ]
    for use in uses:
        error = failure(use)
        assert isinstance(error, PoolClosed), use
        assert isinstance(error, psycopg.Error)
    conn.close()
    cursor.close()


@pytest.mark.parametrize("after_an_error", [False, True], ids=["well", "after an error"])
def test_forgotten_connection_is_reclaimed(psycopg_stage: Stage, after_an_error: bool) -> None:
    """With a warning that says where it was checked out; its room is free again."""
    stage = psycopg_stage
    db = stage.make(max_size=1).open()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def forget() -> None:
            conn = db.connection()  # forgotten here
            stage.read(conn)
            if after_an_error:
                conn.rollback()
                stage.cut(stage.key_bytes, True)
                failure(stage.insert, conn)
                failure(conn.execute, "SELECT 1 / 0")

        forget()
        gc.collect()
        assert db.options(timeout=10).execute("SELECT 1").fetchall() == [(1,)]
    found = [w for w in caught if issubclass(w.category, ResourceWarning) and "checked out" in str(w.message)]
    file, mark = (__file__, "# forgotten here") if stage.loop is None else (face.__file__, "# checked out here")
    lines = Path(file).read_text().splitlines()
    [line] = [number for number, text in enumerate(lines, 1) if text.endswith(mark)]
    assert f"{file}:{line}" in str(found[0].message)


def test_lifetime_and_idle_time(psycopg_stage: Stage) -> None:
    """Old connections are replaced, idle ones are closed."""
    stage = psycopg_stage
    young = stage.make(max_lifetime=0.3)
    db = young.open()
    pids = set()
    assert eventually(lambda: pids.add(db.execute("SELECT pg_backend_pid()").fetchone()) or len(pids) >= 3)
    brief = stage.make(max_idle_time=0.2).open()
    brief.execute("SELECT 1")
    assert eventually(lambda: brief.stats()["size"] == 0)
    brief.execute("SELECT 1")


def test_min_idle_is_kept_and_refilled_elsewhere(psycopg_stage: Stage) -> None:
    """Connections are ready before they are asked for; when their node dies, on the other one."""
    stage = psycopg_stage
    db = stage.make(min_idle=3, breaker_base=5).open()
    assert eventually(lambda: db.stats()["nodes"]["a"]["idle"] >= 3)
    stage.a.stop()
    assert eventually(lambda: db.stats()["nodes"]["b"]["idle"] >= 3)
    assert db.stats()["nodes"]["a"]["open"] == 0
    db.execute("SELECT 1")


def test_dial_is_current_and_observe(psycopg_stage: Stage) -> None:
    """What another pool holds is judged without I/O."""
    stage = psycopg_stage
    raw = stage.cluster.dial()
    reader = stage.cluster.dial(read_only=True, application_name="mine")
    try:
        assert type(raw) is (psycopg.Connection if stage.loop is None else psycopg.AsyncConnection)
        assert reader.info.get_parameters()["application_name"] == "mine"
        assert stage.cluster.is_current(raw)
        assert failure(stage.call, reader.execute, "INSERT INTO events (name) VALUES ('never')") is not None
        stage.server.terminate_sessions("n1")
        error = failure(stage.call, raw.execute, "SELECT 1")
        assert error is not None
        seen = stage.cluster.observe(raw, error, during="transaction")
        assert (seen.lost, seen.outcome.value) == (True, "void")
        assert stage.cluster.observe(object(), error).outcome.value == "unknown"
        with pytest.raises(clustersql.ConfigError, match="during must be one of autocommit, transaction, commit"):
            stage.cluster.observe(raw, error, during="begin")
        assert not stage.cluster.is_current(raw)
    finally:
        stage.close_raw(raw)
        stage.close_raw(reader)
