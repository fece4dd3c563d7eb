"""``with conn.transaction()`` for threads: psycopg's block, on every driver, without a cost."""

from __future__ import annotations

from typing import Any

import psycopg
from servers.sessions.test_reconnecting import lose
from support.stage import Stage, execute, failure


def broken(stage: Stage, conn: Any) -> None:
    """A block that ends with an error."""
    with conn.transaction():
        stage.insert(conn)
        raise KeyError


def test_it_commits_and_rolls_back(stage: Stage) -> None:
    """A savepoint inside another, whose failure leaves the rest."""
    if stage.loop is not None:
        return
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
    if stage.loop is not None:
        return
    with stage.db.connection() as conn:
        stage.set(conn, "autocommit", True)
        assert isinstance(failure(broken, stage, conn), KeyError)
        with conn.transaction():
            stage.insert(conn)
            assert stage.count() == 0
        assert stage.count() == 1


def test_run_runs_a_lost_block_again(stage: Stage) -> None:
    """Nothing of it was committed."""
    if stage.loop is not None:
        return

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
    if stage.loop is not None:
        return
    with stage.db.connection() as conn:
        with conn.transaction():
            stage.insert(conn)
            with conn.transaction():
                stage.insert(conn)
                raise psycopg.Rollback
        with conn.transaction() as outer:
            stage.insert(conn)
            with conn.transaction():
                raise psycopg.Rollback(outer)
    assert stage.count() == 1
    assert failure(conn.commit) is not None
