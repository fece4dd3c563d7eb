"""What does not move: pinned work, session state, and rows partly delivered; and what never leaks into the next
checkout.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from support.stage import INSERT, Stage, failure
from support.waiting import eventually

from clustersql import ConfigError, OutcomeUnknown, TransactionLost

PINS: dict[str, dict[str, Any]] = {
    "node": {"node": "a"},
    "move": {"move": False},
    "role and move": {"role": "primary", "move": False},
}
before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@pytest.mark.parametrize("pin", PINS)
@before_or_after
def test_pinned_work_is_an_error_and_nothing_is_retried(stage: Stage, pin: str, before: bool) -> None:
    """The first statement would move, if it were not pinned."""
    with stage.db.connection(**PINS[pin]) as conn:
        stage.cut(stage.key_bytes, before)
        error = failure(stage.insert, conn)
        conn.rollback()
    assert isinstance(error, stage.errors.Error)
    assert stage.count() == 0
    assert stage.recoveries == 0


@before_or_after
def test_pinned_read_is_the_driver_s_error(stage: Stage, before: bool) -> None:
    """Even a proven read stays where it was pinned."""
    db = stage.db.options(node="a", read_only=True)
    stage.cut(stage.key_bytes, before)
    error = failure(db.execute, "SELECT name FROM events WHERE name = %s", (stage.key,))
    assert isinstance(error, stage.errors.Error)
    assert type(error).__module__.split(".")[0] != "clustersql"


def test_pin_to_a_node_that_is_not_there(stage: Stage) -> None:
    """The nearest name is told."""
    assert "did you mean a?" in str(failure(stage.db.connection, node="aa"))
    assert isinstance(failure(stage.db.options, node="nowhere"), ConfigError)


STATE = {
    "SET": "SET search_path TO pg_catalog, public; SET work_mem = '1MB'",
    "set_config": "SELECT set_config('work_mem', 1 || 'MB', false)",
    "SET ROLE": "SET ROLE pg_monitor",
    "temporary table": "CREATE TEMPORARY TABLE mine (a int)",
    "advisory lock": "SELECT pg_advisory_lock(42)",
    "LISTEN": "LISTEN news",
    "PREPARE": "PREPARE p AS SELECT 1",
}


@pytest.mark.parametrize("state", STATE)
@before_or_after
def test_connection_with_state_does_not_move(psycopg_stage: Stage, state: str, before: bool) -> None:
    """Losing it is reported, and the error says what was lost; nothing goes on without it."""
    stage = psycopg_stage
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute(STATE[state])
        conn.commit()
        assert conn.pins
        stage.cut(stage.key_bytes, before)
        assert isinstance(
            failure(cursor.execute, "INSERT INTO public.events (name) VALUES (%s)", (stage.key,)), TransactionLost
        )
        conn.rollback()
        error = failure(cursor.execute, INSERT, (stage.key,))
        assert isinstance(error, TransactionLost)
        assert STATE[state].split()[0] in str(error)
    assert stage.count() == 0


@pytest.mark.parametrize("state", STATE)
def test_state_does_not_leak_into_the_next_checkout(psycopg_stage: Stage, state: str) -> None:
    """The same session, if it is kept at all, is as new."""
    stage = psycopg_stage
    asked = """SELECT current_setting('search_path'), current_setting('work_mem'), current_user::text,
               to_regclass('pg_temp.mine') IS NULL, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
               ARRAY(SELECT pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements WHERE name = 'p')"""
    with stage.db.connection() as conn, conn.cursor() as cursor:
        before = cursor.execute(asked).fetchall()
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute(STATE[state])
        conn.commit()
        assert cursor.execute(asked).fetchall() != before
    with stage.db.connection() as conn, conn.cursor() as cursor:
        assert cursor.execute(asked).fetchall() == before


ATTRIBUTES = {
    "autocommit": True,
    "row_factory": psycopg.rows.dict_row,
    "isolation_level": psycopg.IsolationLevel.SERIALIZABLE,
    "read_only": True,
    "prepare_threshold": 0,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_of_the_driver_do_not_leak(psycopg_stage: Stage, name: str) -> None:
    """What the tenant set on the driver's connection is gone at the next checkout."""
    stage = psycopg_stage
    with stage.db.connection() as conn:
        before = getattr(conn, name)
        stage.set(conn, name, ATTRIBUTES[name])
        assert getattr(conn, name) != before
        stage.read(conn)
    for _ in range(2):
        with stage.db.connection() as conn:
            assert getattr(conn, name) == before


def test_state_of_mariadb_does_not_leak(mariadb_stage: Stage) -> None:
    """User variables, SET, locks and temporary tables."""
    stage = mariadb_stage
    for statement in (
        "SET @tenant = 'one'",
        "SET SESSION sql_mode = 'ANSI'",
        "CREATE TEMPORARY TABLE mine (a int)",
        "SELECT GET_LOCK('mine', 1)",
    ):
        with stage.db.connection() as conn, conn.cursor() as cursor:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
    assert eventually(lambda: stage.ask("SELECT IS_FREE_LOCK('mine')") == [(1,)])  # the session's end takes its time
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT @tenant, @@sql_mode LIKE '%ANSI%', IS_FREE_LOCK('mine')")
        assert [tuple(row) for row in cursor.fetchall()] == [(None, 0, 1)]
        assert failure(cursor.execute, "SELECT * FROM mine") is not None


def test_autocommit_mode_is_restored_after_a_move(stage: Stage) -> None:
    """State that we restore does not pin: the statement goes on elsewhere in the same mode."""
    with stage.db.options(idempotent=True).connection() as conn:
        stage.set(conn, "autocommit", True)
        stage.cut(stage.key_bytes, True)
        stage.insert(conn)
        assert stage.count() == 1  # committed by itself: seen by another session at once


def test_read_only_session_stays_read_only_after_a_move(stage: Stage) -> None:
    """The server refuses writes on the new node too."""
    with stage.db.connection(read_only=True) as conn:
        stage.cut(stage.key_bytes, True)
        assert stage.read(conn) == []
        conn.rollback()
        assert isinstance(failure(stage.insert, conn), stage.errors.Error)
        conn.rollback()
    assert stage.count() == 0


def _rows(stage: Stage) -> None:
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.executemany(INSERT, [(f"{stage.key}-{i}-{'x' * 100}",) for i in range(500)])


def test_a_session_that_was_read_only_once_obeys_a_demotion(stage: Stage) -> None:
    """What makes it writable again must not outlive the server's own setting, or it alone goes on writing to the old
    primary.
    """
    cluster = stage.make(max_size=1, stagger=20.0)
    db = cluster.open().options(timeout=1.0)
    assert eventually(lambda: all(node.usable for node in cluster.view))  # or each of the two may be served by another
    which = "SELECT pg_backend_pid()" if stage.postgres else "SELECT connection_id()"
    reader = db.options(read_only=True).execute(which).fetchall()
    with db.connection() as conn:
        with conn.cursor() as cursor:
            cursor.execute(which)
            assert [tuple(row) for row in cursor.fetchall()] == [tuple(row) for row in reader], "the same session"
        conn.commit()
        stage.server.set_read_only("n1")
        try:
            error = failure(stage.insert, conn)
        finally:
            stage.server.set_read_only("n1", False)
        conn.rollback()
    assert error is not None
    assert stage.count() == 0


def test_rows_partly_delivered_by_a_server_side_cursor(psycopg_stage: Stage) -> None:
    """The caller has seen some: the driver's error, and the transaction is lost, not committed in part."""
    stage = psycopg_stage
    _rows(stage)
    with stage.db.connection() as conn:
        stage.insert(conn)
        cursor = conn.cursor("some")
        cursor.itersize = 10
        cursor.execute("SELECT name FROM events WHERE name LIKE %s", (f"{stage.key}-%",))
        assert len(cursor.fetchmany(10)) == 10
        stage.a.reset()
        error = failure(cursor.fetchall)
        assert isinstance(error, psycopg.OperationalError)
        assert type(error).__module__.startswith("psycopg")
        assert isinstance(failure(conn.commit), OutcomeUnknown | TransactionLost)
        cursor.close()
    assert stage.count() == 0


# PyMySQL's SSCursor reads what is left when it is collected, also when there is nothing to read from any more.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function (SSCursor|MySQLResult):pytest.PytestUnraisableExceptionWarning",
    "ignore:Previous unbuffered result was left incomplete:UserWarning",  # asyncmy's word at the COMMIT that follows
)
def test_rows_partly_delivered_by_an_unbuffered_cursor(mariadb_stage: Stage) -> None:
    """The same for PyMySQL's and mysqlclient's SSCursor, and their like."""
    stage = mariadb_stage
    _rows(stage)
    with stage.db.connection() as conn:
        stage.insert(conn)
        cursor = stage.unbuffered(conn)
        stage.a.cut_after(30_000)
        cursor.execute("SELECT name FROM events WHERE name LIKE %s", (f"{stage.key}-%",))
        assert len(cursor.fetchmany(10)) == 10
        error = failure(cursor.fetchall)
        if stage.driver == "mariadb":
            assert error is None  # it returns what came, as if that were all (docs/support.md)
        else:
            assert isinstance(error, stage.errors.Error)
            assert type(error).__module__.split(".")[0] != "clustersql"
        assert isinstance(failure(conn.commit), stage.errors.Error)
    del cursor
    assert stage.count() == 0


def test_proven_read_says_so_and_the_deny_list_holds(stage: Stage) -> None:
    """A read-only session still takes locks: a lost answer to that is not retried elsewhere as if it were a read."""
    lock = "SELECT pg_advisory_lock(7), %s" if stage.postgres else "SELECT GET_LOCK('seven', 1), %s"
    if stage.driver == "pg8000":
        lock = lock.replace("%s", "%s::text")
    stage.cut(stage.key_bytes, True)
    error = failure(stage.db.options(read_only=True).execute, lock, (stage.key,))
    assert isinstance(error, stage.errors.Error)
    assert stage.recoveries == 0
