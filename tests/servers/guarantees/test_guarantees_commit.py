"""Design section 3, the column "at COMMIT"."""

from __future__ import annotations

import pickle
from contextlib import ExitStack
from typing import Any

import pytest
from support.stage import Stage, failure

from clustersql import OutcomeUnknown, TransactionLost

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


def codes(stage: Stage, error: BaseException) -> Any:
    """SQLSTATE and number, as the driver's adapter reads them; pg8000 tells of a lost connection in words, and ours has
    a general code.
    """
    return [
        "HY000" if code is None and stage.driver == "pg8000" else code for code in stage.cluster.driver.codes(error)[:2]
    ]


@before_or_after
def test_commit_without_an_answer_is_unknown(stage: Stage, before: bool) -> None:
    """Nothing could find out: OutcomeUnknown from the driver's error; all of it is there, or nothing."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.insert(conn)
        stage.cut_commit(before)
        error = failure(conn.commit)
        assert isinstance(error, OutcomeUnknown)
        assert isinstance(error, stage.cluster.driver.operational_error)
        assert isinstance(error.__cause__, stage.errors.Error)
        assert codes(stage, error) == codes(stage, error.__cause__) == codes(stage, pickle.loads(pickle.dumps(error)))
        stage.insert(conn, f"{stage.key}-next")
    assert stage.count() == (0 if before else 2)
    assert stage.count(f"{stage.key}-next") == 1


@before_or_after
def test_commit_at_the_end_of_the_block(stage: Stage, before: bool) -> None:
    """The commit that ``with`` does is reported the same way."""

    def work() -> None:
        with stage.db.connection() as conn:
            stage.insert(conn)
            stage.cut_commit(before)

    assert isinstance(failure(work), OutcomeUnknown)
    assert stage.count() == (0 if before else 1)


@before_or_after
def test_commit_of_proven_reads_is_a_success(stage: Stage, before: bool) -> None:
    """A transaction of reads has nothing to lose."""
    with stage.db.connection(read_only=True) as conn:
        stage.read(conn)
        stage.cut_commit(before)
        conn.commit()
        assert stage.read(conn) == []


@before_or_after
def test_idempotent_is_no_proof_at_commit(stage: Stage, before: bool) -> None:
    """A write declared idempotent whose COMMIT got no answer has not happened for all we know."""
    with stage.db.options(idempotent=True).connection() as conn:
        stage.insert(conn)
        stage.cut_commit(before)
        assert isinstance(failure(conn.commit), OutcomeUnknown)
    assert stage.count() == (0 if before else 1)


@before_or_after
def test_run_does_not_rerun_what_may_have_happened(stage: Stage, before: bool) -> None:
    """OutcomeUnknown ends ``run``: the function is called once, its callbacks never."""
    attempts, told = [], []

    def work(conn: object) -> None:
        attempts.append(conn.attempt)  # type: ignore[attr-defined]
        conn.on_commit(lambda: told.append(1))  # type: ignore[attr-defined]
        stage.insert(conn)

    stage.cut_commit(before)
    assert isinstance(failure(stage.db.run, work), OutcomeUnknown)
    assert (attempts, told) == ([1], [])
    assert stage.count() == (0 if before else 1)


def test_commit_that_was_not_sent_is_lost(postgres_stage: Stage) -> None:
    """The driver refused to send it: it did not happen, and says so."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.close_raw(stage.raw(conn))
        assert isinstance(failure(conn.commit), TransactionLost)
        conn.rollback()
    assert stage.count() == 0


def test_session_terminated_before_commit(stage: Stage) -> None:
    """The server ended the session before COMMIT came: in doubt it is unknown; it is not there."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.server.terminate_sessions("n1")
        assert isinstance(failure(conn.commit), OutcomeUnknown | TransactionLost)
    assert stage.count() == 0


@pytest.mark.parametrize("by_run", [False, True], ids=["by hand", "by run"])
def test_serialization_failure_at_commit(postgres_stage: Stage, by_run: bool) -> None:
    """40001 as the answer to COMMIT: the driver's error, nothing is there; ``run`` reruns and it happens
    exactly once.
    """
    stage = postgres_stage
    key = f"deferred-{stage.key}"
    stage.ask("ALTER SEQUENCE conflicts RESTART")
    if by_run:
        attempts: list[int] = []
        stage.db.run(lambda conn: (attempts.append(conn.attempt), stage.insert(conn, key)))
        assert attempts == [1, 2]
    else:
        with stage.db.connection() as conn:
            stage.insert(conn, key)
            error = failure(conn.commit)
            assert isinstance(error, stage.errors.Error)
            assert type(error).__module__.split(".")[0] != "clustersql"
            assert stage.cluster.driver.facts(error, stage.raws[0]).sqlstate == "40001"
    assert stage.count(key) == (1 if by_run else 0)


def test_read_only_refusal_of_commit(mariadb_stage: Stage) -> None:
    """1290 as the answer to COMMIT means that it did not happen: the driver's error, and it is not there."""
    stage = mariadb_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        with stage.read_only_for(0.2):
            error = failure(conn.commit)
        assert isinstance(error, stage.errors.Error)
        assert 1290 in (error.args[0], getattr(error, "errno", None))
        conn.rollback()
    assert stage.count() == 0


def test_read_only_refusal_of_commit_by_run(mariadb_stage: Stage) -> None:
    """As rolled back: ``run`` waits for a node that accepts writes and reruns; exactly once."""
    stage, attempts = mariadb_stage, []

    def work(conn: object) -> None:
        attempts.append(conn.attempt)  # type: ignore[attr-defined]
        stage.insert(conn)
        if len(attempts) == 1:
            stack.enter_context(stage.read_only_for(0.4))

    with ExitStack() as stack:
        stage.db.run(work)
    assert attempts == [1, 2]
    assert stage.count() == 1


def test_deferred_constraint_at_commit_is_the_driver_s_error(postgres_stage: Stage) -> None:
    """A statement's own error at COMMIT is untouched, and ``run`` does not try it again."""
    stage, attempts = postgres_stage, []
    stage.ask(f"CREATE TABLE t{stage.key} (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    stage.ask(f"GRANT ALL ON t{stage.key} TO app")

    def work(conn: object) -> None:
        attempts.append(1)
        stage.insert(conn)
        with conn.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"INSERT INTO t{stage.key} VALUES (1), (1)")

    error = failure(stage.db.run, work)
    stage.ask(f"DROP TABLE t{stage.key}")
    assert isinstance(error, stage.errors.Error)
    assert "unique" in str(error)
    assert len(attempts) == 1
    assert stage.count() == 0
