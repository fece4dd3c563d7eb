"""What an earlier statement has left in its session, LAST_INSERT_ID() for one, is told by that session or not
at all.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.stage import Stage, execute, failure, rows
from support.waiting import eventually

from clustersql import TransactionLost

ASKING = {
    "postgresql": ("SELECT lastval()", "SELECT currval('events_id_seq')"),
    "mysql": ("SELECT @@identity", "SELECT LAST_INSERT_ID()"),
}


def asking(stage: Stage) -> tuple[str, ...]:
    return ASKING["postgresql" if stage.postgres else "mysql"]


def serves(stage: Stage, **options: Any) -> Any:
    """A connection by way of "a", where the faults are."""
    assert eventually(lambda: all(node.usable for node in stage.cluster.view))
    conn = stage.db.connection(**options)
    assert conn.node == "a"
    return conn


def asked_last(stage: Stage, conn: Any, statement: str, before: bool) -> BaseException | None:
    """What asking raises when the connection is cut just before or after the server got it; its text is new, so that
    each driver sends it.
    """
    stage.cut(f"cut {stage.key}".encode(), before)
    return failure(value, conn, f"{statement} /* cut {stage.key} */")


def value(conn: Any, statement: str) -> Any:
    with conn.cursor() as cursor:
        cursor.execute(statement)
        [(found,)] = rows(cursor)
        return found


def newest(conn: Any) -> int:
    """Whoever asks is the only one who inserts."""
    return int(value(conn, "SELECT max(id) FROM events"))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_no_other_session_answers_it(stage: Stage, before: bool) -> None:
    """Not when the session is lost under it, nor in a later transaction, until there is something new to tell."""
    statement = asking(stage)[before]
    with serves(stage) as conn:
        stage.insert(conn)
        assert value(conn, statement) == newest(conn)
        assert conn.pins == (), "asking leaves nothing behind"
        conn.commit()
        assert isinstance(asked_last(stage, conn, statement, before), TransactionLost)
        conn.rollback()
        assert isinstance(failure(value, conn, statement), TransactionLost), "a new session was never told"
        conn.rollback()
        assert value(conn, "SELECT 1") == 1
        assert isinstance(failure(value, conn, statement), TransactionLost)
        conn.rollback()
        stage.insert(conn)
        assert value(conn, statement) == newest(conn)
        conn.rollback()


def test_a_move_between_two_statements_is_no_answer_either(stage: Stage) -> None:
    """The session is lost with another statement, which goes on elsewhere; what is asked for afterwards is gone all the
    same.
    """
    statement = asking(stage)[0]
    with serves(stage) as conn:
        stage.insert(conn)
        conn.commit()
        stage.cut(stage.key_bytes, True)
        assert len(stage.read(conn)) == 1
        assert isinstance(failure(value, conn, statement), TransactionLost)
        conn.rollback()


def test_a_write_that_goes_on_elsewhere_is_answered_there(stage: Stage) -> None:
    """The insertion itself was moved, so that its new session is the one that knows."""
    with serves(stage) as conn:
        stage.insert(conn)  # known by now: the next one takes the short way
        conn.commit()
        stage.cut(stage.key_bytes, True)
        stage.insert(conn)
        assert value(conn, asking(stage)[0]) == newest(conn)
        conn.commit()
    assert eventually(lambda: stage.recoveries >= 1)


@pytest.mark.parametrize("read_only", [False, True], ids=["may write", "read-only"])
def test_no_proven_read_in_autocommit_mode(stage: Stage, read_only: bool) -> None:
    """Not in a read-only session either, where each other SELECT goes on elsewhere."""
    statement = asking(stage)[0]
    with serves(stage, read_only=read_only) as conn:
        stage.set(conn, "autocommit", True)
        failure(value, conn, statement)  # PostgreSQL: not defined in this session yet
        assert asked_last(stage, conn, statement, True) is not None
        assert isinstance(failure(value, conn, statement), TransactionLost)


COUNTED = "INSERT INTO counters (name, n) VALUES (%s, 1)"
"""Generates nothing."""


def asked_in_vain(stage: Stage, conn: Any, statement: str) -> bool:
    """Whether ``statement`` has no answer; PostgreSQL refuses by itself what its session has not generated."""
    raised = failure(value, conn, statement)
    return isinstance(raised, (TransactionLost, stage.errors.Error))


def moved(stage: Stage, conn: Any) -> None:
    """``conn`` has inserted, and its session is lost while it asks."""
    stage.insert(conn)
    conn.commit()
    assert isinstance(asked_last(stage, conn, asking(stage)[0], True), TransactionLost)
    conn.rollback()


def test_only_what_generates_a_value_lets_it_be_asked_for(stage: Stage) -> None:
    """Nor is another caller's told, who had the session before; what may generate, a procedure too, has not therefore
    generated.
    """
    statement = asking(stage)[0]
    with stage.db.connection(node="b") as before:
        stage.insert(before)
    with serves(stage) as conn:
        moved(stage, conn)
        stage.a.stop()  # by now it may have answered a probe, and serve again
        assert asked_in_vain(stage, conn, statement)
        conn.rollback()
        execute(conn, COUNTED, (stage.key,))
        assert conn.node == "b"
        assert asked_in_vain(stage, conn, statement), "nothing was generated"
        conn.rollback()
        [(largest,)] = rows(execute(conn, "SELECT max(id) FROM events"))
        execute(conn, "INSERT INTO events (id, name) VALUES (%s, %s)", (largest + 1000, stage.key))
        assert asked_in_vain(stage, conn, statement), "it was given, and not generated"
        conn.rollback()
        execute(conn, "CALL nothing()")
        assert asked_in_vain(stage, conn, statement)
        conn.rollback()
        stage.insert(conn)
        [(inserted,)] = rows(
            execute(conn, "SELECT id FROM events WHERE name = %s ORDER BY id DESC LIMIT 1", (stage.key,))
        )
        assert value(conn, statement) == inserted
        conn.rollback()


def test_what_tells_of_the_last_statement_is_told_when_there_is_one(mariadb_stage: Stage) -> None:
    """ROW_COUNT() after any, FOUND_ROWS() after a query, the warnings after what uses a table; LAST_INSERT_ID() not for
    that.
    """
    with serves(mariadb_stage) as conn:
        moved(mariadb_stage, conn)
        told = ("SELECT ROW_COUNT()", "SELECT FOUND_ROWS()", "SHOW WARNINGS", "SELECT @@warning_count")
        assert [str(failure(execute, conn, each))[:28] for each in told] == ["the session was lost, and wi"] * 4
        execute(conn, "UPDATE counters SET n = 'x' WHERE name = 'nobody'")
        assert isinstance(failure(value, conn, "SELECT FOUND_ROWS()"), TransactionLost), "it was no query"
        assert value(conn, "SELECT ROW_COUNT()") == 0
        assert rows(execute(conn, "SHOW WARNINGS")) == []
        assert rows(execute(conn, "SELECT 1 UNION SELECT 2")) == [(1,), (2,)]
        assert value(conn, "SELECT FOUND_ROWS()") == 2
        assert isinstance(failure(value, conn, "SELECT LAST_INSERT_ID()"), TransactionLost)
        assert isinstance(failure(value, conn, "SELECT LAST_INSERT_ID(), ROW_COUNT()"), TransactionLost)
        conn.rollback()
