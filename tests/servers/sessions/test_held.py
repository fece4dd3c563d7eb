"""What a session holds beyond its transaction is gone when its connection is given back, whatever took it, and with
every driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from support.stage import Stage, execute, rows
from support.waiting import eventually

HELD = {
    "FLUSH TABLES WITH READ LOCK": ("FLUSH TABLES WITH READ LOCK",),
    "FLUSH TABLE ... WITH READ LOCK": ("FLUSH TABLE held WITH READ LOCK",),
    "FLUSH TABLES ... FOR EXPORT": ("FLUSH TABLES held FOR EXPORT",),
    "FLUSH in a prepared text": ("EXECUTE IMMEDIATE 'FLUSH TABLES WITH READ LOCK'",),
    "BACKUP STAGE": tuple(f"BACKUP STAGE {stage}" for stage in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")),
    "BACKUP LOCK": ("BACKUP LOCK held",),
    "LOCK TABLES": ("LOCK TABLES held WRITE",),
    "HANDLER": ("HANDLER held OPEN", "HANDLER held READ FIRST"),
    "GET_LOCK": ("SELECT GET_LOCK('held', 1)",),
    "GET_LOCK in a procedure": ("CALL hold()",),
    "GET_LOCK in a function": ("SELECT holds()",),
    "DO GET_LOCK": ("DO GET_LOCK('held', 1)",),
    "GET_LOCK of an INSERT": ("INSERT INTO held SELECT GET_LOCK('held', 1)",),
}
FREE = (
    "SET STATEMENT lock_wait_timeout = 5, innodb_lock_wait_timeout = 5 FOR INSERT INTO app.held VALUES (1)",
    "SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE app.held COMMENT 'free'",
)
"""What all of them would hold up, or the lock by its name."""
LEFT = {
    "SET ROLE": ("SET ROLE other_role",),
    "SET ROLE in a procedure": ("CALL become()",),
    "SET ROLE in a function": ("SELECT becomes()",),
    "SET ROLE in a prepared text": ("EXECUTE IMMEDIATE 'SET ROLE other_role'",),
    "SET ROLE in a block": ("BEGIN NOT ATOMIC SET ROLE other_role; END",),
    "SET ROLE for a statement": ("SET STATEMENT max_statement_time = 5 FOR SET ROLE other_role",),
    "profiles": ("SET profiling = 1", "SELECT 'a secret'"),
    "profiles in a function": ("SELECT shows()", "SELECT 'a secret'"),
    "a temporary sequence": ("CREATE TEMPORARY SEQUENCE held_by_me",),
    "a temporary table": ("CREATE OR REPLACE TEMPORARY TABLE held_by_me (n int)",),
}
_SCHEMA = (
    "CREATE TABLE app.held (n int)",
    "CREATE ROLE other_role",
    "GRANT other_role TO app@'%'",
    "GRANT RELOAD ON *.* TO app@'%'",
    "CREATE PROCEDURE app.hold() DO GET_LOCK('held', 1)",
    "CREATE FUNCTION app.holds() RETURNS int RETURN GET_LOCK('held', 1)",
    "CREATE PROCEDURE app.become() SQL SECURITY INVOKER SET ROLE other_role",
    "CREATE FUNCTION app.becomes() RETURNS int SQL SECURITY INVOKER BEGIN SET ROLE other_role; RETURN 1; END",
    "CREATE FUNCTION app.shows() RETURNS int SQL SECURITY INVOKER BEGIN SET profiling = 1; RETURN 1; END",
)
_END = (
    *(f"DROP PROCEDURE app.{name}" for name in ("hold", "become")),
    *(f"DROP FUNCTION app.{name}" for name in ("holds", "becomes", "shows")),
    "DROP TABLE app.held",
    "REVOKE RELOAD ON *.* FROM app@'%'",
    "DROP ROLE other_role",
)


@pytest.fixture
def held(mariadb_stage: Stage) -> Iterator[tuple[Stage, Any]]:
    """A stage for each driver of MariaDB, and a database with one connection, whose user may take every lock."""
    stage = mariadb_stage
    for statement in _SCHEMA:
        stage.ask(statement)
    cluster = stage.make(max_size=1, on_connect=None)  # its sessions begin after the grants
    try:
        yield stage, cluster.open()
    finally:
        stage.close()
        for statement in _END:
            stage.ask(statement)


def test_locks_are_gone_after_the_return(held: tuple[Stage, Any]) -> None:
    """Nobody else waits for what the last caller of a connection has locked."""
    stage, db = held
    for name, statements in HELD.items():
        with db.connection() as conn:
            for statement in statements:
                rows_of(conn, statement)
            assert conn.pins, name
        for statement in FREE:
            stage.ask(statement)
        assert eventually(lambda: stage.ask("SELECT IS_FREE_LOCK('held')") == [(1,)]), name


def is_rolled_back(stage: Stage, transaction: str) -> bool:
    """Roll a prepared transaction back; False: its session has not ended yet for the server, and nobody else may."""
    try:
        stage.ask(f"XA ROLLBACK '{transaction}'")
    except pymysql.err.OperationalError as exc:
        if exc.args[0] != 1397:
            raise
        return False
    return True


def test_a_distributed_transaction_that_is_open_is_gone_and_a_prepared_one_stays(held: tuple[Stage, Any]) -> None:
    """XA PREPARE promises that it outlives its session, so that whoever prepared it must end it."""
    stage, db = held
    for last in ("XA START 'mine'", "XA END 'mine'", "XA PREPARE 'mine'"):
        conn = db.connection()
        for statement in ("XA START 'mine'", "INSERT INTO held VALUES (7)", "XA END 'mine'", "XA PREPARE 'mine'"):
            execute(conn, statement)
            if statement == last and statement != "XA START 'mine'":
                break
            if last == "XA START 'mine'" and statement.startswith("INSERT"):
                break
        assert conn.pins
        conn.close()
        if last == "XA PREPARE 'mine'":
            assert eventually(lambda: [row[3] for row in stage.ask("XA RECOVER")] in (["mine"], [b"mine"]))
            assert eventually(lambda: is_rolled_back(stage, "mine"))
        for statement in FREE:
            stage.ask(statement)
        assert stage.ask("SELECT * FROM app.held WHERE n = 7") == []


def test_nothing_of_a_session_reaches_the_next_caller(held: tuple[Stage, Any]) -> None:
    """A role above all, which MariaDB's reset leaves, also when a procedure, a function or a prepared text
    has set it.
    """
    _stage, db = held
    for name, statements in LEFT.items():
        with db.connection() as conn:
            for statement in statements:
                rows_of(conn, statement)
            assert conn.pins, name
        with db.connection() as conn:
            assert rows_of(conn, "SELECT CURRENT_ROLE()") == [(None,)], name
            assert rows_of(conn, "SHOW PROFILES") == [], name
            created = rows_of(conn, "CREATE TABLE IF NOT EXISTS held_by_me (n int)")
            assert created is None
            assert rows_of(conn, "SHOW CREATE TABLE held_by_me")[0][1].startswith("CREATE TABLE")
            rows_of(conn, "DROP TABLE held_by_me")


def test_a_reset_that_leaves_nothing_keeps_the_connection(held: tuple[Stage, Any]) -> None:
    """Only what a reset does not undo costs a connection."""
    stage, db = held
    seen = set()
    for _ in range(3):
        with db.connection() as conn:
            rows_of(conn, "SELECT GET_LOCK('held', 1)")
            seen |= set(rows_of(conn, "SELECT connection_id()"))
    assert len(seen) == (3 if stage.driver == "mysqlclient" else 1), "mysqlclient has no reset"


def rows_of(conn: Any, statement: str) -> Any:
    """Execute; its rows, or None where it has none."""
    with conn.cursor() as cursor:
        cursor.execute(statement)
        return rows(cursor) if cursor.description else None


POSTGRES_HELD = (
    "SELECT pg_advisory_lock(4711)",
    "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TEMP TABLE held_by_me (n int)",
    "EXPLAIN ANALYZE CREATE TEMP TABLE explained AS SELECT 1",
    "LISTEN held",
    "SET ROLE pg_monitor",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "PREPARE held AS SELECT 1",
    "DO $$ BEGIN PERFORM pg_advisory_lock(4712); PERFORM set_config('work_mem', '77kB', false); END $$",
)
NOTHING_HELD = """SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_cursors WHERE name = 'kept'),
    to_regclass('pg_temp.held_by_me')::text, to_regclass('pg_temp.explained')::text, (SELECT count(*) FROM pg_listening_channels()),
    current_user::text, current_setting('default_transaction_isolation'), current_setting('work_mem') = '77kB',
    (SELECT count(*) FROM pg_prepared_statements WHERE name = 'held')"""


def test_what_postgresql_keeps_in_a_session_is_gone(postgres_stage: Stage) -> None:
    """DISCARD ALL undoes each of these, on the same connection."""
    stage = postgres_stage
    db = stage.make(max_size=1, on_connect=None).open()
    for statement in POSTGRES_HELD:
        with db.connection() as conn:
            session = rows_of(conn, "SELECT pg_backend_pid()")
            execute(conn, statement)
            assert conn.pins or conn._state.unclean, statement
        with db.connection() as conn:
            expected = [(0, 0, None, None, 0, "app", "read committed", False, 0)]
            assert rows_of(conn, NOTHING_HELD) == expected, statement
            assert rows_of(conn, "SELECT pg_backend_pid()") == session


def test_what_discard_all_leaves_costs_the_connection(postgres_stage: Stage) -> None:
    """A seed, for one: whoever comes next could tell the numbers of the one before."""
    db = postgres_stage.make(max_size=1, on_connect=None).open()
    with db.connection() as conn:
        session = rows_of(conn, "SELECT pg_backend_pid()")
        execute(conn, "SELECT setseed(0.5)")
    with db.connection() as conn:
        assert rows_of(conn, "SELECT pg_backend_pid()") != session
