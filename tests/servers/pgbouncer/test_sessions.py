"""A session of the server that many clients use in turn: read-only work is read-only, and nothing of one client reaches
another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from servers.pgbouncer.conftest import DRIVERS

from clustersql import ConfigError
from clustersql.core.faults import Fault
from clustersql.testing import PgBouncer, PostgresCluster

INSERT = "INSERT INTO pooled.notes (name) VALUES ('{}')"
MODE = "SELECT current_setting('default_transaction_read_only'), current_setting('transaction_read_only')"


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def failure(function: Callable[..., Any], *args: Any) -> Exception:
    try:
        function(*args)
    except Exception as exc:
        return exc.with_traceback(None)
    raise AssertionError("it raised nothing")


def rows(cursor: Any) -> list[Any]:
    return [tuple(row) for row in cursor.fetchall()]


def by_cursor(conn: Any, sql: str) -> list[Any]:
    with conn.cursor() as cursor:
        cursor.execute(sql)
        return rows(cursor) if cursor.description else []


def test_read_only_work_is_read_only_by_its_transactions(
    driver: str, narrow: PgBouncer, opened: Callable[..., Any], postgres: PostgresCluster
) -> None:
    """In every way to run a statement, again after a COMMIT, and never by a setting that would stay in the session."""
    cluster = opened(driver, {"a": narrow.port("n1")})
    db = cluster.open()
    reading = db.options(read_only=True)
    insert = INSERT.format("never")

    def refuses(function: Callable[..., Any], *args: Any) -> bool:
        error = failure(function, *args)
        return cluster.driver.facts(error, None).fault is Fault.READ_ONLY

    assert rows(reading.execute(MODE)) == [("off", "on")]
    assert refuses(reading.execute, insert)
    assert refuses(reading.run, by_cursor, insert)
    with reading.connection() as conn:
        assert by_cursor(conn, MODE) == [("off", "on")]
        conn.commit()
        assert refuses(by_cursor, conn, insert)
        conn.rollback()
        by_cursor(conn, "COMMIT")
        assert by_cursor(conn, MODE) == [("off", "on")]
    db.execute(INSERT.format("always"))
    assert rows(db.execute(MODE)) == [("off", "off")]
    with db.connection() as conn:
        assert by_cursor(conn, MODE) == [("off", "off")]
    assert postgres.execute("n1", "SELECT name FROM pooled.notes") == [("always",)]
    postgres.execute("n1", "TRUNCATE pooled.notes")


def test_no_transaction_is_left_open(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """It would keep the server's session from all others: with one session, a second client would wait for ever."""
    one, two = (opened(driver, {"a": narrow.port("n1")}, timeout=10.0).open() for _ in "12")
    for db in (one, two, one, two):
        assert rows(db.options(read_only=True).execute("SELECT 1")) == [(1,)]
        assert rows(db.execute("SELECT %s::text", ("x",))) == [("x",)]
        with db.connection() as conn:
            assert by_cursor(conn, "SELECT 2") == [(2,)]


def test_autocommit_mode_where_only_a_transaction_will_do(
    driver: str, narrow: PgBouncer, opened: Callable[..., Any]
) -> None:
    cluster = opened(driver, {"a": narrow.port("n1")})
    db = cluster.open()

    def autocommit(conn: Any) -> None:
        if hasattr(conn, "_loop"):
            conn.set_autocommit(True)
        else:
            conn.autocommit = True

    with db.connection(read_only=True) as conn:
        assert isinstance(failure(autocommit, conn), ConfigError)
        assert by_cursor(conn, MODE) == [("off", "on")]
    with db.connection() as conn:
        if driver == "pg8000":
            assert "in several parts" in str(failure(autocommit, conn))
        else:
            autocommit(conn)
            assert by_cursor(conn, "SELECT 1") == [(1,)]


def test_two_tenants_on_one_session(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """Row-level security by a setting of the transaction: each sees its own, in turn, in the same session of the
    server.
    """
    databases = {tenant: opened(driver, {"a": narrow.port("n1")}).open() for tenant in ("one", "two")}

    def mine(conn: Any, tenant: str) -> list[Any]:
        by_cursor(conn, f"SELECT set_config('app.tenant', '{tenant}', true)")
        return by_cursor(conn, "SELECT name, pg_backend_pid() FROM pooled.private")

    pids = set()
    for tenant in ("one", "two", "one", "two"):
        db = databases[tenant]
        for view in (db, db.options(read_only=True)):
            [(name, pid)] = view.run(mine, tenant)
            assert name == f"of {tenant}"
            pids.add(pid)
            assert rows(view.execute("SELECT name FROM pooled.private")) == [], "nothing is left for the next one"
    assert len(pids) == 1, "they shared it"


LEAVING = {
    "SET app.tenant = 'one'": "SET",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": "SET",
    "SELECT set_config('app.tenant', 'one', false)": "set_config",
    "LISTEN news": "LISTEN",
    "PREPARE p AS SELECT 1": "PREPARE",
    "CREATE TEMP TABLE mine (a int)": "temporary table",
    "SELECT pg_advisory_lock(42)": "advisory lock",
    "DISCARD ALL": "DISCARD",
}


def test_what_would_stay_in_the_session_is_refused(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """Before it is sent: the transaction goes on as if nothing had been asked for."""
    db = opened(driver, {"a": narrow.port("n1")}).open()
    other = opened(driver, {"a": narrow.port("n1")}).open()
    for statement, told in LEAVING.items():
        assert isinstance(failure(db.execute, statement), ConfigError)
        with db.connection() as conn:
            assert by_cursor(conn, "SELECT 1") == [(1,)]
            error = failure(by_cursor, conn, statement)
            assert isinstance(error, ConfigError)
            assert told in str(error)
            assert "node 'a'" in str(error)
            assert by_cursor(conn, "SELECT 2") == [(2,)]
    left = """SELECT current_setting('app.tenant', true), current_setting('default_transaction_read_only'),
                     to_regclass('pg_temp.mine'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"""
    [(tenant, *others)] = rows(other.execute(left))
    assert (tenant or "", others) == ("", ["off", None, 0])


def test_several_statements_in_one_string_end_no_read_only_transaction(
    driver: str, narrow: PgBouncer, opened: Callable[..., Any]
) -> None:
    db = opened(driver, {"a": narrow.port("n1")}).open()
    trick = f"COMMIT; {INSERT.format('tricked')}"
    with db.connection(read_only=True) as conn:
        assert "one by one" in str(failure(by_cursor, conn, trick))
    assert "one by one" in str(failure(db.options(read_only=True).execute, trick))
    assert rows(db.execute("SELECT count(*) FROM pooled.notes")) == [(0,)]


def test_what_ends_with_its_transaction_is_not(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    db = opened(driver, {"a": narrow.port("n1")}).open()
    with db.connection() as conn:
        by_cursor(conn, "SET LOCAL work_mem = '1MB'")
        by_cursor(conn, "SELECT pg_advisory_xact_lock(42)")
        by_cursor(conn, "CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1")
        assert by_cursor(conn, "SHOW work_mem") == [("1MB",)]
    with db.connection() as conn:
        assert by_cursor(conn, "SHOW work_mem") != [("1MB",)]


def test_connections_outside_the_pool(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """`connect` of a cluster that is only read, and `dial`."""
    cluster = opened(driver, {"a": narrow.port("n1")}, read_only=True)
    with closing(cluster.connect()) as conn:
        assert by_cursor(conn, MODE) == [("off", "on")]
        conn.rollback()
        assert by_cursor(conn, MODE) == [("off", "on")]
    raw = cluster.dial(read_only=True)
    assert cluster.is_current(raw)
    if hasattr(cluster, "loop"):
        cluster.loop.call(raw.close)
    else:
        cursor = raw.cursor()
        cursor.execute(MODE)
        assert rows(cursor) == [("off", "on")]
        raw.close()


def test_nothing_is_prepared_by_a_name(driver: str, narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """The same statement many times, by two clients in turn, in autocommit mode and in transactions."""
    one, two = (opened(driver, {"a": narrow.port("n1")}).open() for _ in "12")
    for i in range(8):
        for db in (one, two):
            assert rows(db.execute("SELECT %s::int", (i,))) == [(i,)]
            with db.connection() as conn, conn.cursor() as cursor:
                cursor.execute("SELECT %s::int + 1", (i,))
                assert rows(cursor) == [(i + 1,)]
    assert rows(one.execute("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")) == [(0,)]


def test_the_methods_of_asyncpg(narrow: PgBouncer, opened: Callable[..., Any]) -> None:
    """Its own, and its own transaction with arguments, which begins by itself."""
    cluster = opened("asyncpg", {"a": narrow.port("n1")})
    db = cluster.open()

    async def work() -> tuple[Any, Any, Any]:
        async with cluster.aopen().connection(read_only=True) as conn:
            first = await conn.fetchval("SELECT $1::int", 1)
            mode = await conn.fetchval("SELECT current_setting('transaction_read_only')")
        async with cluster.aopen().connection(read_only=True) as conn, conn.transaction(isolation="serializable"):
            own = await conn.fetchval("SELECT current_setting('transaction_read_only')")
        return first, mode, own

    assert cluster.loop.call(work) == (1, "on", "on")
    assert db.stats()["in_flight"] == 0
