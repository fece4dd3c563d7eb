"""The server behind a pooler dies, the pooler dies, or the pooler is only full: what goes on, where, and what is left
alone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from servers.pgbouncer.conftest import DRIVERS
from support.waiting import eventually

from clustersql import OutcomeUnknown
from clustersql.testing import PgBouncer, PostgresCluster

INSERT = "INSERT INTO pooled.notes (tenant, name) VALUES (%s, %s)"
QUICK = {"stall_after": 0.4, "probe_interval": 0.2, "connect_timeout": 2.0}


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


one_of_each_api = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


def insert(conn: Any, driver: str, name: str) -> None:
    with conn.cursor() as cursor:
        cursor.execute(INSERT, (driver, name))


def written(postgres: PostgresCluster, node: str = "n1") -> set[tuple[str, str]]:
    rows = postgres.execute(node, "SELECT tenant, name FROM pooled.notes")
    assert len(rows) == len(set(rows)), "nothing happened twice"
    return {(tenant, name) for tenant, name in rows}


@pytest.fixture
def empty(postgres: PostgresCluster) -> Iterator[PostgresCluster]:
    """No row is there, before or after."""
    postgres.execute("n1", "TRUNCATE pooled.notes")
    yield postgres
    postgres.heal()
    postgres.execute("n1", "TRUNCATE pooled.notes")


@pytest.fixture
def holder(narrow: PgBouncer) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's client, which can keep the only session of the server to itself."""
    with psycopg.connect(narrow.dsn("n1"), prepare_threshold=None) as conn:
        yield conn


def test_the_pooler_dies_and_then_the_server_behind_the_other(
    empty: PostgresCluster, bouncer: Callable[..., PgBouncer], opened: Callable[..., Any]
) -> None:
    """Every driver goes on by way of the other pooler of the same server, and then on the new primary."""
    first, second = bouncer(), bouncer(settings={"query_wait_timeout": "3"})
    ports = {"a": first.port("n1"), "b": second.port("n1"), "c": second.port("n2")}
    clusters = {driver: opened(driver, ports, timeout=60.0) for driver in DRIVERS}
    databases = {driver: cluster.open() for driver, cluster in clusters.items()}

    def all_write(name: str) -> None:
        for driver, db in databases.items():
            db.run(insert, driver, name)

    def all_read() -> None:
        for db in databases.values():
            assert db.options(read_only=True).execute("SELECT 1").fetchall()

    all_write("1 before")
    held = {driver: db.connection() for driver, db in databases.items()}
    for driver, conn in held.items():
        insert(conn, driver, "never")
    first.kill("n1")
    all_write("2 the pooler is dead")
    all_read()
    for driver, conn in held.items():
        with pytest.raises(Exception, match=r"TransactionLost|it did not happen|run it again"):
            insert(conn, driver, "never")
        conn.rollback()
        conn.close()
    empty.kill("n1")
    empty.promote("n2")
    all_write("3 the server is dead")
    all_read()
    names = ("1 before", "2 the pooler is dead", "3 the server is dead")
    assert written(empty, "n2") == {(driver, name) for driver in DRIVERS for name in names}
    for cluster in clusters.values():
        states = {node["name"]: node["state"] for node in cluster.snapshot().as_dict()["nodes"]}
        assert states["a"] == "down"
        assert states["c"] == "up"


@one_of_each_api
def test_a_full_pool_is_no_dead_node(
    driver: str, narrow: PgBouncer, opened: Callable[..., Any], holder: psycopg.Connection[Any]
) -> None:
    """Our statement waits in pgbouncer's queue, and the monitor's question behind it; then it is slow itself.  It is
    left alone.
    """
    cluster = opened(driver, {"a": narrow.port("n1")}, **QUICK)
    db = cluster.open()
    db.execute("SELECT 1")
    holder.execute("SELECT 1")
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(db.execute("SELECT 'slow' FROM pg_sleep(1)").fetchall()))
    thread.start()

    def state() -> tuple[str, str, str]:
        [node] = cluster.snapshot().as_dict()["nodes"]
        return node["state"], node["role"], node["readiness"]

    assert eventually(lambda: state() == ("up", "primary", "overloaded"))
    [obstacle] = cluster.snapshot().as_dict()["nodes"][0]["kept_out"]
    assert "pgbouncer let us in" in obstacle["why"]
    holder.rollback()
    thread.join(30)
    assert [tuple(row) for row in done[0]] == [("slow",)]
    assert cluster.metrics()["Pool"]["Hung"] == 0
    assert eventually(lambda: state() == ("up", "primary", "ready"))


@one_of_each_api
def test_a_frozen_pooler_is_a_dead_node(
    driver: str, bouncer: Callable[..., PgBouncer], opened: Callable[..., Any]
) -> None:
    """It lets nobody in: what waits there is woken, and a read has its answer by way of the other one."""
    first, second = bouncer(), bouncer()
    ports = {"a": first.port("n1"), "b": second.port("n1")}
    cluster = opened(driver, ports, stagger=20.0, **QUICK)
    db = cluster.open().options(read_only=True)
    db.execute("SELECT 1")
    assert eventually(lambda: all(node.usable for node in cluster.view))  # until then whoever has answered serves
    with db.connection() as conn:
        assert conn.node == "a"
        first.freeze("n1")
        with conn.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert [tuple(row) for row in cursor.fetchall()] == [(1,)]
        assert conn.node == "b"
    first.thaw("n1")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_statement_that_had_no_session_goes_elsewhere(
    driver: str,
    empty: PostgresCluster,
    bouncer: Callable[..., PgBouncer],
    opened: Callable[..., Any],
) -> None:
    """query_wait_timeout proves that nothing was sent: a write is done by way of the other pooler, once.

    psycopg2 shows only the end of the connection, so there nobody knows, and that is what is said.
    """
    impatient, other = bouncer(pool_size=1, settings={"query_wait_timeout": "1"}), bouncer()
    cluster = opened(driver, {"a": impatient.port("n1"), "b": other.port("n1")}, probe_interval=20.0, stall_after=20.0)
    db = cluster.open()
    db.execute("SELECT 1")
    with psycopg.connect(impatient.dsn("n1"), prepare_threshold=None) as holder:
        assert eventually(lambda: all(node.usable for node in cluster.view))
        holder.execute("SELECT 1")
        if driver == "psycopg2":
            with pytest.raises(OutcomeUnknown):
                db.execute(INSERT, (driver, "once"))
        else:
            db.execute(INSERT, (driver, "once"))
        holder.rollback()
    time.sleep(0.1)
    assert written(empty) == (set() if driver == "psycopg2" else {(driver, "once")})


def test_a_deadline_cancels_nobody(
    driver: str, empty: PostgresCluster, narrow: PgBouncer, opened: Callable[..., Any]
) -> None:
    """Ours ends in time; the next client's statement, in pgbouncer's only session, is not touched, nor is any session
    asked for by number.
    """
    one, two = (opened(driver, {"a": narrow.port("n1")}, **QUICK).open() for _ in "12")
    for db in (one, two):
        db.execute("SELECT 1")
    log = empty.directory / "n1.log"
    size = log.stat().st_size
    empty.execute("n1", "ALTER ROLE app SET log_statement = 'all'")
    try:
        narrow.execute("n1", "RECONNECT app")  # sessions that have the setting
        done: list[Any] = []
        began = time.monotonic()
        with pytest.raises(Exception, match=r"."):
            one.options(timeout=0.5).execute("SELECT 'mine' FROM pg_sleep(20)")
        assert time.monotonic() - began < 15
        thread = threading.Thread(target=lambda: done.append(two.execute("SELECT 'yours' FROM pg_sleep(1)").fetchall()))
        thread.start()
        thread.join(60)
        assert [tuple(row) for row in done[0]] == [("yours",)]
    finally:
        empty.execute("n1", "ALTER ROLE app RESET log_statement")
        narrow.execute("n1", "RECONNECT app")
    logged = log.read_bytes()[size:].decode()
    assert "pg_sleep(20)" in logged
    assert not re.search("pg_cancel_backend|pg_terminate_backend|pg_stat_activity WHERE pid", logged)


@one_of_each_api
def test_nobody_is_let_in_without_room_for_clients(
    driver: str, bouncer: Callable[..., PgBouncer], opened: Callable[..., Any]
) -> None:
    """max_client_conn: an answer, so the node lives; it is pushed back, and the others serve."""
    full, other = bouncer(settings={"max_client_conn": "1"}), bouncer()
    with ExitStack() as stack:
        stack.enter_context(psycopg.connect(full.dsn("n1"), prepare_threshold=None)).execute("SELECT 1")
        cluster = opened(driver, {"a": full.port("n1"), "b": other.port("n1")})
        assert cluster.open().execute("SELECT 1").fetchall()
        nodes = {node["name"]: node for node in cluster.snapshot().as_dict()["nodes"]}
        assert (nodes["a"]["state"], nodes["a"]["readiness"]) == ("up", "overloaded")
        assert nodes["b"]["readiness"] == "ready"
