"""Results that follow the first one, and an error among them: never lost, whoever reads them, and no session is pooled
with one unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import Stage, execute, failure, rows

from clustersql import OutcomeUnknown
from clustersql.testing import MariaDBServer

PAY = """CREATE OR REPLACE PROCEDURE pay(fails boolean, name text) SQL SECURITY INVOKER BEGIN
  SELECT 'started';
  INSERT INTO events (name) VALUES (name);
  SELECT 'one' UNION SELECT 'row more';
  IF fails THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1062, MESSAGE_TEXT = 'the second one'; END IF;
END"""


@pytest.fixture(scope="module", autouse=True)
def procedure(_mariadb: MariaDBServer) -> None:
    _mariadb.execute("n1", PAY)


@pytest.fixture
def stage(mariadb_stage: Stage) -> Iterator[Stage]:
    """A stage for each driver of MariaDB: those of PostgreSQL have read everything when `execute` returns."""
    yield mariadb_stage
    with (
        mariadb_stage.db.connection() as conn
    ):  # on what the test has given back: no rows of its are read here, and nothing of it is open
        assert rows(execute(conn, "SELECT 4711")) == [(4711,)]
        conn.rollback()


def fails(stage: Stage, error: BaseException | None) -> bool:
    """Whether it is the procedure's own error, as the driver raises it."""
    return isinstance(error, stage.errors.IntegrityError) and "the second one" in str(error)


def call(stage: Stage, conn: Any, bad: bool = True) -> Any:
    """Call the procedure, with a cursor that has read its first result."""
    cursor = conn.cursor(**({"buffered": True} if stage.driver == "mysql-connector" else {}))
    cursor.execute(f"CALL pay({bad}, '{stage.key}')")
    return cursor


def test_execute_of_the_database(stage: Stage) -> None:
    """All results are read; the first is the caller's, and an error in another one too."""
    assert rows(stage.db.execute(f"CALL pay(false, '{stage.key}')")) == [("started",)]
    assert fails(stage, failure(stage.db.execute, f"CALL pay(true, '{stage.key}')"))


def test_execute_loses_its_node_in_a_later_result(stage: Stage) -> None:
    """What it has done by then is not known, whatever the first result said."""
    stage.ask("CREATE OR REPLACE PROCEDURE late() BEGIN SELECT 1; SELECT REPEAT('x', 100000); END")
    stage.db.execute("SELECT 1")
    stage.a.cut_after(5000)
    error = failure(stage.db.execute, "CALL late()")
    assert isinstance(error, OutcomeUnknown)


def test_commit_raises_it(stage: Stage) -> None:
    """It was not read by the caller: nothing is committed, by the method or by leaving the block."""
    with stage.db.connection() as conn:
        call(stage, conn)
        assert fails(stage, failure(conn.commit))
        conn.rollback()
    assert fails(stage, failure(leave, stage))
    assert stage.count() == 0


def leave(stage: Stage) -> None:
    with stage.db.connection() as conn:
        call(stage, conn)


def test_run_raises_it(stage: Stage) -> None:
    attempts: list[int] = []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        call(stage, conn)

    assert fails(stage, failure(stage.db.run, work))
    assert (attempts, stage.count()) == ([1], 0)


def test_closing_the_cursor_raises_it(stage: Stage) -> None:
    """Then it is the statement's own error: the caller may still commit what was done before."""
    with stage.db.connection() as conn:
        cursor = call(stage, conn)
        assert fails(stage, failure(cursor.close))
        conn.rollback()
    assert stage.count() == 0


def test_commit_as_a_statement(stage: Stage) -> None:
    with stage.db.connection() as conn:
        kept = call(stage, conn)
        assert fails(stage, failure(execute, conn, "COMMIT"))
        conn.rollback()
        del kept
    assert stage.count() == 0


def test_rollback_and_what_is_left(stage: Stage) -> None:
    """A ROLLBACK undoes it with the rest: no error, and the connection is good."""
    with stage.db.connection() as conn:
        kept = call(stage, conn)
        conn.rollback()
        assert rows(execute(conn, "SELECT 1")) == [(1,)]
        del kept
    assert stage.count() == 0


def test_good_results_that_nobody_reads(stage: Stage) -> None:
    """They keep nothing from being committed."""
    with stage.db.connection() as conn:
        call(stage, conn, bad=False)
    assert stage.count() == 1


def test_the_next_statement_has_its_own_answer(stage: Stage) -> None:
    """Also by the same cursor, of a text that was seen before; mysql-connector alone would give it what was left."""
    with stage.db.connection() as conn:
        execute(conn, "SELECT 42").fetchall()
        cursor = call(stage, conn, bad=False)
        for _ in range(2):
            cursor.execute("SELECT 42")
            assert rows(cursor) == [(42,)]
        conn.rollback()


def test_given_back_unread(stage: Stage) -> None:
    """The session is closed, not read: the next caller has another one."""
    conn = stage.db.connection()
    kept = call(stage, conn)
    raw = stage.raw(conn)
    conn.close()
    with stage.db.connection() as again:
        assert stage.raw(again) is not raw
    del kept
    assert stage.count() == 0
