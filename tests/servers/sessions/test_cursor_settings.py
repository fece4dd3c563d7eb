"""What is set on a cursor holds on whichever node serves it."""

from __future__ import annotations

from typing import Any

from support.stage import SELECT, Stage, failure, rows

from clustersql import PoolClosed

FACTORIES: dict[str, Any] = {
    "psycopg": lambda cursor: lambda values: list(values),
    "psycopg-aio": lambda cursor: lambda values: list(values),
}


def test_set_before_the_session_is_lost(stage: Stage) -> None:
    """The driver's new cursor is given it, and shows it."""
    for _ in range(3):
        stage.db.execute("INSERT INTO events (name) VALUES (%s)", (stage.key,))
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        cursor.arraysize = 2
        if stage.driver in FACTORIES:
            cursor.row_factory = FACTORIES[stage.driver]
        conn.rollback()
        stage.cut(stage.key_bytes, True)
        cursor.execute(SELECT, (stage.key,))
        assert conn.node == "b"
        first = cursor.fetchmany()
        assert (len(first), cursor.arraysize) == (2, 2)
        assert stage.driver not in FACTORIES or first == [[stage.key]] * 2
        assert len(rows(cursor)) == 1


def test_set_after_it(stage: Stage) -> None:
    """Also what is set while there is no session, and the latest value counts."""
    stage.db.execute("INSERT INTO events (name) VALUES (%s)", (stage.key,))
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        cursor.arraysize = 5
        conn.rollback()
        stage.a.reset()
        conn.rollback()
        cursor.arraysize = 7
        cursor.execute("SELECT 1")
        assert cursor.arraysize == 7
        cursor.fetchall()


def test_set_on_a_cursor_that_was_given_back(stage: Stage) -> None:
    """It would be set on nothing."""
    with stage.db.connection() as conn:
        cursor = conn.cursor()
    assert isinstance(failure(setattr, cursor, "arraysize", 2), PoolClosed)
