"""``conn.transaction()``: psycopg's block, on every driver and in both APIs, without a cost; asyncpg's arguments."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from servers.sessions.test_reconnecting import lose
from support.stage import Stage, execute, failure, rows


def broken(stage: Stage, conn: Any) -> None:
    """A block that ends with an error."""
    with conn.transaction():
        stage.insert(conn)
        raise KeyError


def test_it_commits_and_rolls_back(stage: Stage) -> None:
    """A savepoint inside another, whose failure leaves the rest."""
    with stage.db.connection() as conn:
        with conn.transaction():
            stage.insert(conn)
            assert isinstance(failure(broken, stage, conn), KeyError)
            with conn.transaction("Named", force_rollback=True):
                stage.insert(conn)
        assert stage.count() == 1
        assert isinstance(failure(broken, stage, conn), KeyError)
        assert conn.pins == ()
    assert stage.count() == 1


def test_in_autocommit_mode_it_begins(stage: Stage) -> None:
    """And ends there."""
    with stage.db.connection() as conn:
        stage.set(conn, "autocommit", True)
        assert isinstance(failure(broken, stage, conn), KeyError)
        with conn.transaction():
            stage.insert(conn)
            assert stage.count() == 0
        assert stage.count() == 1


def test_run_runs_a_lost_block_again(stage: Stage) -> None:
    """Nothing of it was committed."""

    def work(conn: Any) -> None:
        with conn.transaction():
            stage.insert(conn)
            if conn.attempt == 1:
                lose(stage, conn)
                execute(conn, "SELECT 1")

    stage.db.run(work)
    assert stage.count() == 1


def test_psycopg_s_rollback_does_not_pass(psycopg_stage: Stage) -> None:
    """Of the block that it names, or of the innermost one."""
    stage = psycopg_stage
    with stage.db.connection() as conn:
        with conn.transaction():
            stage.insert(conn)
            with conn.transaction():
                stage.insert(conn)
                raise psycopg.Rollback
        with conn.transaction() as outer:
            stage.insert(conn)
            with conn.transaction():
                raise psycopg.Rollback(getattr(outer, "_inner", outer))
    assert stage.count() == 1
    assert failure(conn.commit) is not None


def test_a_block_that_begins_inside_another_is_part_of_it(stage: Stage) -> None:
    """Also before the first statement, when no transaction is open yet: what it commits alone the other could not take
    back.
    """

    def outer(conn: Any) -> None:
        with conn.transaction():
            with conn.transaction():
                stage.insert(conn)
            raise KeyError

    with stage.db.connection() as conn:
        assert isinstance(failure(outer, conn), KeyError)
        with conn.transaction(force_rollback=True), conn.transaction():
            stage.insert(conn)
        assert conn.pins == ()
    assert stage.count() == 0
    with stage.db.connection() as conn:
        assert isinstance(failure(conn.transaction, isolated="serializable"), TypeError)


def settings(conn: Any) -> list[Any]:
    names = ("isolation", "read_only", "deferrable")
    return [rows(execute(conn, f"SELECT current_setting('transaction_{name}')"))[0][0] for name in names]


@pytest.mark.parametrize("autocommit", [False, True], ids=["transaction", "autocommit"])
def test_asyncpg_s_arguments(asyncpg_stage: Stage, autocommit: bool) -> None:
    """Its own, in a block that is ours: nothing passes by us, so that it is recovered, and run again by ``run``."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        stage.set(conn, "autocommit", autocommit)
        with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
            assert settings(conn) == ["serializable", "on", "on"]
            with conn.transaction(isolation="serializable"):
                assert stage.count() == 0
            refused = failure(conn.transaction(isolation="read_committed").__enter__)
            assert "different isolation level" in str(refused)
        assert settings(conn) == ["read committed", "off", "off"]
        assert isinstance(failure(conn.transaction, isolation="snapshot"), ValueError)
        assert isinstance(failure(conn.transaction, isolated="serializable"), TypeError)
        assert conn.pins == ()


def test_start_and_commit_without_with(asyncpg_stage: Stage) -> None:
    """Asyncpg's other idiom."""
    with asyncpg_stage.db.connection() as conn:
        for end, left in (("commit", 1), ("rollback", 1)):
            block = conn.transaction(isolation="repeatable_read")
            block.start()
            asyncpg_stage.insert(conn)
            getattr(block, end)()
            assert asyncpg_stage.count() == left


def test_run_runs_a_lost_block_of_asyncpg_again(asyncpg_stage: Stage) -> None:
    """With its arguments too."""

    def work(conn: Any) -> None:
        with conn.transaction(isolation="serializable"):
            asyncpg_stage.insert(conn)
            if conn.attempt == 1:
                lose(asyncpg_stage, conn)
                execute(conn, "SELECT 1")
            assert settings(conn)[0] == "serializable"

    asyncpg_stage.db.run(work)
    assert asyncpg_stage.count() == 1
