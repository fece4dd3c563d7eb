"""A migration changes a table, or a type, under statements that are prepared: no program sees an error of that, where
nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import INSERT, Stage, failure, rows

SELECT = "SELECT * FROM migrated"
WRITE = "INSERT INTO migrated (n) VALUES (2) RETURNING *"
OFTEN = 7
"""psycopg prepares what it executes for the sixth time; asyncpg does at once."""


@pytest.fixture
def migrating(postgres_stage: Stage) -> Iterator[Stage]:
    """With a table of one row."""
    stage = postgres_stage
    for statement in (
        "DROP TABLE IF EXISTS migrated",
        "CREATE TABLE migrated (n int)",
        "INSERT INTO migrated VALUES (1)",
        "GRANT ALL ON migrated TO app",
    ):
        stage.server.execute("n1", statement)
    yield stage
    stage.server.execute("n1", "DROP TABLE migrated")


def migrate(stage: Stage, change: str = "ADD COLUMN m int") -> None:
    stage.server.execute("n1", f"ALTER TABLE migrated {change}")


def asked(conn: Any, statement: str = SELECT) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(statement)
        return rows(cursor)


def prepared(stage: Stage, conn: Any, statement: str = SELECT, autocommit: bool = False) -> None:
    """Have the driver prepare it, each time in a transaction of its own."""
    if autocommit:
        stage.set(conn, "autocommit", True)
    for _ in range(OFTEN):
        asked(conn, statement)
        if not autocommit:
            conn.commit()


@pytest.mark.parametrize("autocommit", [False, True], ids=["transaction", "autocommit"])
def test_it_is_prepared_anew(migrating: Stage, autocommit: bool) -> None:
    """A read, and a write that then has happened once; on the connection that was held all the time, whose node is not
    blamed.
    """
    with migrating.db.connection() as conn:
        prepared(migrating, conn, autocommit=autocommit)
        held = migrating.raw(conn)
        migrate(migrating)
        assert asked(conn) == [(1, None)]
        assert migrating.raw(conn) is held
    with migrating.db.connection() as conn:
        prepared(migrating, conn, WRITE, autocommit=autocommit)
        migrate(migrating, "DROP COLUMN m")
        assert asked(conn, WRITE) == [(2,)]
    assert migrating.ask("SELECT count(*) FROM migrated") == [(1 + OFTEN + 1,)]
    assert migrating.cluster.metrics()["Nodes"]["a"]["State"] == "up"


def test_a_session_that_cannot_move_too(migrating: Stage) -> None:
    """Its temporary table stays, for it is the same connection."""
    with migrating.db.connection() as conn:
        prepared(migrating, conn, autocommit=True)
        asked_for = "CREATE TEMP TABLE kept (n int)"
        with conn.cursor() as cursor:
            cursor.execute(asked_for)
        migrate(migrating)
        assert asked(conn) == [(1, None)]
        assert asked(conn, "SELECT * FROM kept") == []


def test_later_in_a_transaction_the_error_passes_and_run_runs_again(migrating: Stage) -> None:
    """PostgreSQL has failed the transaction; the second attempt is whole."""
    stage = migrating
    seen: list[Any] = []

    def work(conn: Any) -> None:
        with conn.cursor() as cursor:
            cursor.execute(INSERT, (stage.key,))
        seen.append(failure(asked, conn))
        if seen[-1] is not None:
            raise seen[-1]

    with stage.db.connection() as conn:
        prepared(stage, conn)
    migrate(stage)
    stage.db.run(work)
    refused = stage.driver in ("psycopg", "psycopg-aio", "asyncpg")
    assert [error is not None for error in seen] == ([True, False] if refused else [False])
    assert stage.count() == 1


def test_the_caller_s_own_prepared_statement_is_the_caller_s(migrating: Stage) -> None:
    """PREPARE as text: the error passes, and what else was prepared so is there still."""
    with migrating.db.connection() as conn:
        migrating.set(conn, "autocommit", True)
        for statement in (f"PREPARE mine AS {SELECT}", "PREPARE other AS SELECT 5"):
            with conn.cursor() as cursor:
                cursor.execute(statement)
        assert asked(conn, "EXECUTE mine") == [(1,)]
        migrate(migrating)
        assert failure(asked, conn, "EXECUTE mine") is not None
        assert asked(conn, "EXECUTE other") == [(5,)]


@pytest.mark.parametrize("autocommit", [False, True], ids=["transaction", "autocommit"])
def test_types_that_were_changed(postgres_stage: Stage, autocommit: bool) -> None:
    """What asyncpg keeps of a composite type is compared with the answer only: what has happened by then is not done
    twice.
    """
    stage = postgres_stage
    stage.server.execute("n1", "DROP TABLE IF EXISTS typed")
    stage.server.execute("n1", "DROP TYPE IF EXISTS pair")
    stage.server.execute("n1", "CREATE TYPE pair AS (a int, b int)")
    stage.server.execute("n1", "CREATE TABLE typed (p pair)")
    stage.server.execute("n1", "GRANT ALL ON typed TO app")
    write = "INSERT INTO typed VALUES (ROW(1, 2)) RETURNING p"
    with stage.db.connection() as conn:
        prepared(stage, conn, write, autocommit)
        stage.server.execute("n1", "ALTER TYPE pair ADD ATTRIBUTE c int")
        error = failure(asked, conn, write.replace("2", "2, 3"))
        assert (error is None) is not (stage.driver == "asyncpg" and autocommit), error
        assert error is None or isinstance(error, stage.errors.Error)
        error = failure(asked, conn, write.replace("2", "2, 3"))
        assert error is None
    assert stage.ask("SELECT count(*) FROM typed") == [(OFTEN + 2,)]
    stage.server.execute("n1", "DROP TABLE typed")
    stage.server.execute("n1", "DROP TYPE pair")


@pytest.mark.parametrize("name", ["fetch", "fetchrow", "fetchval"])
def test_asyncpg_s_own_methods(migrating: Stage, name: str) -> None:
    """As our cursor."""
    stage = migrating
    if stage.driver != "asyncpg":
        assert stage.db.execute(SELECT).fetchall()
        return

    with stage.db.connection() as conn:
        ask = getattr(conn, name)
        for _ in range(2):
            ask(SELECT)
            conn.commit()
        migrate(stage)
        assert ask(SELECT) is not None
