"""The autocommit mode, turned on within a transaction: MySQL commits what is open, so that is a COMMIT with all that
belongs to one.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.stage import Stage, execute, failure

from clustersql import TransactionLost

WAYS = ["the driver's", "SET autocommit = 1", "SET @@session.autocommit = ON"]


def turn_on(stage: Stage, conn: Any, way: str) -> None:
    if way == "the driver's":
        stage.set(conn, "autocommit", True)
    else:
        execute(conn, way)


@pytest.mark.parametrize("way", WAYS)
def test_it_commits(mariadb_stage: Stage, way: str) -> None:
    """What is registered for the commit is called, and what follows stands alone."""
    stage, called = mariadb_stage, list[int]()
    with stage.db.connection() as conn:
        stage.insert(conn)
        conn.on_commit(lambda: called.append(1))
        turn_on(stage, conn, way)
        assert called == [1]
        assert stage.count() == 1
        stage.insert(conn)
        assert stage.count() == 2
        conn.rollback()
        assert called == [1]
    assert stage.count() == 2


@pytest.mark.parametrize("way", WAYS)
def test_run_calls_nothing_again_after_it(mariadb_stage: Stage, way: str) -> None:
    """A refusal afterwards is the driver's error: the first row is there, and once."""
    stage, attempts = mariadb_stage, list[int]()

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        turn_on(stage, conn, way)
        with conn.cursor() as cursor:
            cursor.execute("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'")

    assert failure(stage.db.run, work) is not None
    assert attempts == [1]
    assert stage.count() == 1


@pytest.mark.parametrize("way", WAYS)
def test_it_does_not_commit_the_rest_of_what_is_lost(mariadb_stage: Stage, way: str) -> None:
    """By the gate before every COMMIT: TransactionLost, once."""
    stage = mariadb_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.cut(f"{stage.key}-later".encode(), True)
        assert isinstance(failure(stage.insert, conn, f"{stage.key}-later"), TransactionLost)
        assert isinstance(failure(turn_on, stage, conn, way), TransactionLost)
        conn.rollback()
        stage.insert(conn, f"{stage.key}-after")
    assert [stage.count(f"{stage.key}{end}") for end in ("", "-later", "-after")] == [0, 0, 1]


def test_on_postgresql_it_is_refused_or_the_transaction_goes_on(postgres_stage: Stage) -> None:
    """The driver refuses; or sends no BEGIN any more, and what was begun ends by commit() or rollback() as ever."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        error = failure(stage.set, conn, "autocommit", True)
        assert (error is None) is (stage.driver in ("pg8000", "asyncpg")), error
        stage.insert(conn)
        assert stage.count() == 0
        conn.rollback()
        assert stage.count() == 0
        stage.set(conn, "autocommit", True)
        stage.insert(conn)
        assert stage.count() == 1


def test_a_loss_in_what_goes_on_is_that_of_the_whole(postgres_stage: Stage) -> None:
    """What came before is gone with it, so nothing of it is run elsewhere alone."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        failure(stage.set, conn, "autocommit", True)
        stage.close_raw(stage.raw(conn))
        assert isinstance(failure(stage.insert, conn), TransactionLost)
        conn.rollback()
    assert stage.count() == 0
