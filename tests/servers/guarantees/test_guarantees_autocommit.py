"""Design section 3, the columns "autocommit": what was reported is what is in the database, and as often."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support.stage import INSERT, SELECT, UNSEEN, Stage, execute, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@pytest.mark.parametrize("text", [INSERT, UNSEEN], ids=["seen", "unseen"])
@before_or_after
def test_write_without_an_answer_is_unknown(stage: Stage, before: bool, text: str) -> None:
    """Sent, no answer, a write: OutcomeUnknown from the driver's error; it is there once, or not at all."""
    stage.cut(stage.key_bytes, before)
    error = failure(stage.db.execute, text, (stage.key,))
    assert isinstance(error, OutcomeUnknown)
    assert isinstance(error, stage.errors.OperationalError if stage.driver != "pg8000" else stage.errors.Error)
    assert isinstance(error.__cause__, stage.errors.Error)
    assert stage.count() == (0 if before else 1)
    stage.db.execute(INSERT, (f"{stage.key}-next",))
    assert stage.count() == (0 if before else 1)


@before_or_after
def test_idempotent_write_is_retried(stage: Stage, before: bool) -> None:
    """Sent, no answer, declared idempotent: run again elsewhere.  An INSERT shows how often: twice when the first was
    executed.
    """
    stage.cut(stage.key_bytes, before)
    stage.db.options(idempotent=True).execute(INSERT, (stage.key,))
    assert stage.count() == (1 if before else 2)
    assert stage.recoveries == 1


@before_or_after
def test_proven_read_is_retried(stage: Stage, before: bool) -> None:
    """Sent, no answer, a proven read: the caller sees its rows and no error."""
    stage.db.execute(INSERT, (stage.key,))
    stage.cut(stage.key_bytes, before)
    result = stage.db.options(read_only=True).execute(SELECT, (stage.key,))
    assert [tuple(row) for row in result] == [(stage.key,)]
    assert stage.recoveries == 1


@before_or_after
def test_select_alone_is_no_proof(stage: Stage, before: bool) -> None:
    """A SELECT on a session that may write can have effects by way of a function: a write, in doubt."""
    stage.cut(stage.key_bytes, before)
    assert isinstance(failure(stage.db.execute, SELECT, (stage.key,)), OutcomeUnknown)


def test_rows_partly_delivered_of_a_read_are_asked_for_again(stage: Stage) -> None:
    """A driver that buffers has delivered nothing yet: a proven read is still retried."""
    rows = [(f"{stage.key}-{i:0100}",) for i in range(200)]
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    db = stage.db.options(read_only=True)
    assert db.execute("SELECT 1").fetchall()
    stage.a.cut_after(5000)
    found = db.execute("SELECT name FROM events WHERE name LIKE %s ORDER BY name", (f"{stage.key}-%",)).fetchall()
    assert [tuple(row) for row in found] == rows


@pytest.mark.parametrize("driver_tells", [True, False], ids=["closed here", "dead while idle"])
def test_write_that_was_not_sent_is_retried(stage: Stage, driver_tells: bool) -> None:
    """Before we called the driver: the connection is found dead at checkout, and the write happens once, without an
    error.
    """
    stage.db.execute("SELECT 1")
    if driver_tells:
        for raw in stage.raws:
            stage.close_raw(raw)
    else:
        stage.a.reset()
        stage.b.reset()
    stage.db.execute(INSERT, (stage.key,))
    assert stage.count() == 1


def test_write_that_the_driver_refused_to_send_is_retried(postgres_stage: Stage) -> None:
    """The adapter proves that nothing was sent: closed between checkout and execute."""
    stage = postgres_stage
    with stage.db.connection() as conn, conn.cursor() as cursor:
        stage.set(conn, "autocommit", True)
        stage.close_raw(stage.raw(conn))
        cursor.execute(INSERT, (stage.key,))
    assert stage.count() == 1


def test_statement_that_the_server_ended_with_the_session(stage: Stage) -> None:
    """pg_terminate_backend or KILL in the middle of a write: it may have happened for all we know; it has not."""
    sleep = "pg_sleep(30)" if stage.postgres else "(SELECT SLEEP(30)) s"
    sql = f"INSERT INTO events (name) SELECT '{stage.key}' FROM {sleep}"
    errors: list[object] = []
    thread = threading.Thread(target=lambda: errors.append(failure(stage.db.execute, sql)))
    thread.start()
    running = (
        "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE %s"
        if stage.postgres
        else "SELECT 1 FROM information_schema.processlist WHERE id <> connection_id() AND info LIKE %s"
    )
    assert eventually(lambda: stage.ask(running, f"%{stage.key}%"))
    stage.server.terminate_sessions("n1")
    thread.join(20)
    assert isinstance(errors[0], OutcomeUnknown)
    assert stage.count() == 0
    assert stage.db.execute("SELECT 1").fetchall()  # one killed session does not take the node out


def test_refused_write_is_retried_when_the_failover_ends(stage: Stage) -> None:
    """Read-only: it did not happen, so the caller waits for a node that accepts it; exactly once."""
    stage.db.execute("SELECT 1")
    began = time.monotonic()
    with stage.read_only_for(0.4):
        stage.db.execute(INSERT, (stage.key,))
        waited = time.monotonic() - began
    assert stage.count() == 1
    assert waited < 15


def test_conflict_is_retried(postgres_stage: Stage) -> None:
    """The server says that it rolled back (40001): run again on the same connection, exactly once."""
    stage = postgres_stage
    stage.ask("ALTER SEQUENCE conflicts RESTART")
    stage.db.execute(INSERT, (f"conflict-{stage.key}",))
    assert stage.count(f"conflict-{stage.key}") == 1


def test_the_statement_s_own_error_is_the_driver_s(stage: Stage) -> None:
    """A duplicate key is untouched, and blames no node."""
    stage.db.execute("INSERT INTO counters (name, n) VALUES (%s, 1)", (stage.key,))
    error = failure(stage.db.execute, "INSERT INTO counters (name, n) VALUES (%s, 1)", (stage.key,))
    expected = stage.errors.IntegrityError if stage.driver != "pg8000" else stage.errors.DatabaseError
    assert isinstance(error, expected)
    assert type(error).__module__.split(".")[0] != "clustersql"
    assert stage.cluster.view.by_name["a"].reach.value == "up"


@before_or_after
def test_procedure_that_commits_inside_is_unknown(stage: Stage, before: bool) -> None:
    """CALL may commit by itself."""
    stage.cut(stage.key_bytes, before)
    error = failure(stage.db.execute, "CALL twice(%s)", (stage.key,))
    assert isinstance(error, OutcomeUnknown)
    assert stage.count() == (0 if before else 1)


@before_or_after
def test_executemany_in_autocommit_is_unknown(stage: Stage, before: bool) -> None:
    """Each row may have been committed by itself: nothing is rerun."""
    keys = [(f"{stage.key}-{i}",) for i in range(3)]
    with stage.db.connection() as conn:
        stage.set(conn, "autocommit", True)
        stage.cut(keys[1][0].encode(), before)
        with conn.cursor() as cursor:
            assert isinstance(failure(cursor.executemany, INSERT, keys), OutcomeUnknown)
    assert all(stage.count(key) <= 1 for (key,) in keys)


@before_or_after
def test_several_statements_in_one_string_are_unknown(postgres_stage: Stage, before: bool) -> None:
    """What came before the fault may have been committed."""
    stage = postgres_stage
    if stage.driver in ("pg8000", "asyncpg"):
        return  # they prepare what is executed with a cursor: one statement at a time
    sql = f"INSERT INTO events (name) VALUES ('{stage.key}'); COMMIT; INSERT INTO events (name) VALUES ('{stage.key}')"
    stage.cut(stage.key_bytes, before)
    assert isinstance(failure(stage.db.execute, sql), OutcomeUnknown)
    # The answer begins with a warning (there is no transaction to commit), and the server goes on when that has been sent.
    assert eventually(lambda: stage.count() == (0 if before else 2))


def test_refusal_in_the_middle_of_a_procedure_is_not_retried(mariadb_stage: Stage) -> None:
    """What came before the refusal may have been committed: the driver's error, nothing rerun."""
    stage = mariadb_stage
    stage.db.execute("SELECT 1")
    stage.server.set_read_only("n1")
    try:
        error = failure(stage.db.options(timeout=5).execute, "CALL twice(%s)", (stage.key,))
    finally:
        stage.server.set_read_only("n1", False)
    assert isinstance(error, stage.errors.Error)
    assert 1290 in (error.args[0], getattr(error, "errno", None))
    assert stage.count() == 0


@before_or_after
def test_a_connection_in_autocommit_mode_stays_in_it_when_it_moves(stage: Stage, before: bool) -> None:
    """Outside the pool too: what is executed on the other node would else be in a transaction that nobody commits."""
    conn: Any = stage.cluster.connect()
    conn.set_autocommit(True) if stage.loop is not None else stage.set(conn, "autocommit", True)
    stage.cut(stage.key_bytes, before)
    with conn.options(idempotent=True):
        execute(conn, INSERT, (stage.key,))
    conn.close()
    assert stage.count() == (1 if before else 2)


@pytest.mark.parametrize("stage", ["psycopg", "pg8000", "psycopg-aio", "asyncpg"], indirect=True)
def test_an_idle_session_that_the_server_has_ended_executed_nothing(stage: Stage) -> None:
    """A write to it is sent again, and happens once: the server says that it read nothing.  psycopg2 does not pass that
    on.
    """
    conn: Any = stage.cluster.connect()
    conn.set_autocommit(True) if stage.loop is not None else stage.set(conn, "autocommit", True)
    execute(conn, "SET idle_session_timeout = '100ms'")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'SET idle_session%'"
    assert eventually(lambda: stage.ask(idle) == [(0,)])
    execute(conn, INSERT, (stage.key,))
    conn.close()
    assert stage.count() == 1
