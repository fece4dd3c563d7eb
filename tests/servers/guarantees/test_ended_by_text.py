"""A transaction that was lost ends by ROLLBACK or COMMIT as text, as it does by the methods; BEGIN as text begins to
count anew.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from support.stage import INSERT, Stage, execute, failure

import clustersql
from clustersql import TransactionLost
from clustersql.testing import FaultProxy, PostgresCluster


def lose(stage: Stage, conn: Any) -> None:
    """Lose the transaction of ``conn`` in its second statement."""
    stage.insert(conn)
    stage.cut(f"{stage.key}-later".encode(), True)
    assert isinstance(failure(stage.insert, conn, f"{stage.key}-later"), TransactionLost)


@pytest.mark.parametrize("text", ["ROLLBACK", "rollback work ;", "/* done */ ROLLBACK -- now"])
def test_rollback_as_text_ends_what_is_lost(stage: Stage, text: str) -> None:
    """No error; there is no result; the connection goes on."""
    with stage.db.connection() as conn:
        lose(stage, conn)
        cursor = execute(conn, text)
        assert cursor.description is None
        assert cursor.rowcount == -1
        cursor.execute(INSERT, (f"{stage.key}-after",))
        cursor.close()
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


FORMS = [
    ("psycopg", "bytes"),
    ("psycopg", "psycopg.sql"),
    ("psycopg2", "bytes"),
    ("psycopg2", "psycopg2.sql"),
    ("psycopg-aio", "psycopg.sql"),
    ("mysqlclient", "bytes"),
    ("mysql-connector", "bytes"),
]
"""What else than str a driver takes for a statement: bytes, and what is composed."""


@pytest.mark.parametrize(("stage", "form"), FORMS, indirect=["stage"])
@pytest.mark.parametrize("text", ["ROLLBACK", "COMMIT"])
def test_in_another_form_than_str(stage: Stage, form: str, text: str) -> None:
    """ROLLBACK is no error, COMMIT raises once, and the connection goes on."""
    statement = text.encode() if form == "bytes" else import_module(form).SQL(text)
    with stage.db.connection() as conn:
        lose(stage, conn)
        raised = failure(execute, conn, statement)
        assert isinstance(raised, TransactionLost if text == "COMMIT" else type(None))
        stage.insert(conn, f"{stage.key}-after")
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


def test_rollback_as_text_on_the_cursor_that_was_in_use(stage: Stage) -> None:
    """The same by a cursor of before, whose rows are gone with it."""
    with stage.db.connection() as conn:
        cursor = conn.cursor()
        cursor.execute(INSERT, (stage.key,))
        stage.cut(f"{stage.key}-later".encode(), True)
        assert isinstance(failure(cursor.execute, INSERT, (f"{stage.key}-later",)), TransactionLost)
        cursor.execute("ROLLBACK")
        assert failure(cursor.fetchone) is not None
        cursor.execute("SELECT 1")
        assert tuple(cursor.fetchone()) == (1,)
        cursor.close()


def test_commit_as_text_raises_once(stage: Stage) -> None:
    """As the method does; then another transaction can begin."""
    with stage.db.connection() as conn:
        lose(stage, conn)
        assert isinstance(failure(execute, conn, "COMMIT"), TransactionLost)
        stage.insert(conn, f"{stage.key}-after")
        conn.commit()
        stage.insert(conn, f"{stage.key}-more")
    assert [stage.count(f"{stage.key}{end}") for end in ("", "-later", "-after", "-more")] == [0, 0, 1, 1]


@pytest.mark.parametrize("text", ["ROLLBACK TO SAVEPOINT s", "ROLLBACK AND CHAIN", "BEGIN", "SELECT 1"])
def test_nothing_else_ends_it(stage: Stage, text: str) -> None:
    """What would go on in the lost transaction, or begin one, is TransactionLost still."""
    with stage.db.connection() as conn:
        lose(stage, conn)
        for _ in range(2):
            assert isinstance(failure(execute, conn, text), TransactionLost)
        conn.rollback()
        stage.insert(conn)
    assert stage.count() == 1


@pytest.mark.parametrize("text", ["ROLLBACK", "COMMIT"])
def test_within_run_it_does_not_hide_the_loss(stage: Stage, text: str) -> None:
    """A function that goes on after COMMIT as text has raised is run again whole; one that has rolled back knows what
    it does.
    """
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        if len(attempts) == 1:
            stage.cut(f"{stage.key}-later".encode(), True)
            failure(stage.insert, conn, f"{stage.key}-later")
            failure(execute, conn, text)
        stage.insert(conn, f"{stage.key}-more")

    stage.db.run(work)
    whole = text == "COMMIT"
    assert (stage.count(), stage.count(f"{stage.key}-more")) == (1 if whole else 0, 1)
    assert len(attempts) == (2 if whole else 1)


def test_commit_as_text_of_a_failed_transaction(postgres_stage: Stage) -> None:
    """PostgreSQL answers it with a silent rollback: TransactionLost, as by the method, and the connection goes on."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        assert failure(execute, conn, "SELECT 1 / 0") is not None
        assert isinstance(failure(execute, conn, "COMMIT"), TransactionLost)
        stage.insert(conn, f"{stage.key}-after")
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


def autocommitting(stage: Stage) -> Any:
    """A connection outside the pool in autocommit mode."""
    conn = stage.cluster.connect()
    if stage.loop is not None:
        conn.set_autocommit(True)
    else:
        stage.set(conn, "autocommit", True)
    return conn


@pytest.mark.parametrize("before", ["SELECT 1", "INSERT"])
def test_begin_as_text_begins_to_count_anew(stage: Stage, before: str) -> None:
    """What was executed before it, alone, is no part of the transaction: a loss in it is TransactionLost, and ROLLBACK
    as text ends it.
    """
    conn: Any = autocommitting(stage)
    execute(conn, INSERT, (f"{stage.key}-alone",)) if before == "INSERT" else execute(conn, before).fetchall()
    execute(conn, "BEGIN")
    lose(stage, conn)
    execute(conn, "ROLLBACK")
    execute(conn, INSERT, (f"{stage.key}-after",))
    conn.close()
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_connection_s_own_execute_of_asyncio(postgres: PostgresCluster, driver: str) -> None:
    """By ``conn.execute``, which on asyncpg is the driver's own and returns the status."""

    async def main(proxy: FaultProxy) -> Any:
        cluster = clustersql.Cluster("text", async_driver=driver)
        cluster.add_node("a", host="127.0.0.1", port=proxy.port, user="app", password="secret", database="app")
        async with cluster.aopen() as db, db.connection() as conn:
            await conn.execute("SELECT 1")
            proxy.cut_on(b"SELECT 2", before=True)
            with pytest.raises(TransactionLost):
                await conn.execute("SELECT 2")
            status = await conn.execute("ROLLBACK")
            await conn.execute("SELECT 3")
            return status

    with FaultProxy(postgres.port("n1")) as proxy:
        status = asyncio.run(main(proxy))
        assert status == "ROLLBACK" or driver == "psycopg"
