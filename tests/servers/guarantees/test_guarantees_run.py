"""`Database.run`: rerun whole where that is provably safe, and only there."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.stage import INSERT, POSTGRES, SELECT, Stage, execute, failure
from support.waiting import eventually

from clustersql import NoNodeAvailable, OutcomeUnknown, TransactionLost

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


class Work:
    """A function for ``run`` that inserts twice and remembers how it was called."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.attempts: list[int] = []
        self.committed: list[int] = []

    def __call__(self, conn: Any, value: int = 7, *, swallow: bool = False) -> int:
        self.attempts.append(conn.attempt)
        conn.on_commit(lambda: self.committed.append(len(self.attempts)))
        self.stage.insert(conn)
        try:
            self.stage.insert(conn, f"{self.stage.key}-later")
        except Exception:
            if not swallow:
                raise
        return value

    @property
    def counts(self) -> tuple[int, int]:
        return self.stage.count(), self.stage.count(f"{self.stage.key}-later")


def test_value_arguments_and_one_callback(stage: Stage) -> None:
    """Without a fault: called once, the value returned, told once."""
    work = Work(stage)
    assert stage.db.run(work, 8) == 8
    assert (work.attempts, work.committed, work.counts) == ([1], [1], (1, 1))


@before_or_after
def test_reruns_a_lost_transaction(stage: Stage, before: bool) -> None:
    """Lost before COMMIT was sent: rerun whole; exactly once, and told once."""
    work = Work(stage)
    stage.cut(f"{stage.key}-later".encode(), before)
    assert stage.db.run(work) == 7
    assert (work.attempts, work.committed, work.counts) == ([1, 2], [2], (1, 1))


@before_or_after
def test_swallowed_loss_is_not_committed_in_part(stage: Stage, before: bool) -> None:
    """The function has swallowed the error that ended its transaction: it is rerun, never committed in part."""
    work = Work(stage)
    stage.cut(f"{stage.key}-later".encode(), before)
    stage.db.run(work, swallow=True)
    assert (work.attempts, work.counts) == ([1, 2], (1, 1))


def test_swallowed_statement_error(postgres_stage: Stage) -> None:
    """On PostgreSQL it fails the transaction: reported, nothing is there, and not tried again and again."""
    stage, attempts = postgres_stage, []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        stage.insert(conn)
        with conn.cursor() as cursor:
            assert failure(cursor.execute, "SELECT 1 / 0") is not None

    assert isinstance(failure(stage.db.options(timeout=3).run, work), TransactionLost)
    assert stage.count() == 0
    assert attempts == [1]


def test_own_exception_rolls_back_and_passes(stage: Stage) -> None:
    """What the function raises itself passes through; nothing is there; it is called once."""
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        conn.on_commit(lambda: attempts.append("told"))
        stage.insert(conn)
        raise KeyError("mine")

    assert isinstance(failure(stage.db.run, work), KeyError)
    assert (attempts, stage.count()) == ([1], 0)


def test_function_that_commits_itself_is_not_rerun(stage: Stage) -> None:
    """A part is committed, so the rest must not happen twice."""
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        conn.commit()
        stage.insert(conn, f"{stage.key}-more")
        stage.cut(f"{stage.key}-last".encode(), True)
        stage.insert(conn, f"{stage.key}-last")

    assert isinstance(failure(stage.db.run, work), TransactionLost)
    assert attempts == [1]
    counts = [stage.count(f"{stage.key}{suffix}") for suffix in ("", "-more", "-last")]
    assert counts == [1, 0, 0]


@before_or_after
def test_function_whose_own_commit_is_lost(stage: Stage, before: bool) -> None:
    """OutcomeUnknown inside the function ends ``run``."""
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        stage.cut_commit(before)
        conn.commit()

    assert isinstance(failure(stage.db.run, work), OutcomeUnknown)
    assert (len(attempts), stage.count()) == (1, 0 if before else 1)


@before_or_after
def test_swallowed_unknown_is_not_a_success(stage: Stage, before: bool) -> None:
    """The function swallows OutcomeUnknown of its own commit: ``run`` raises it all the same, and reruns nothing."""
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        stage.cut_commit(before)
        failure(conn.commit)

    assert isinstance(failure(stage.db.run, work), OutcomeUnknown)
    assert (len(attempts), stage.count()) == (1, 0 if before else 1)


def test_serialization_failure_by_two_transactions(psycopg_stage: Stage) -> None:
    """A real 40001, with an isolation level set inside: rerun, and the sum is right."""
    stage, attempts = psycopg_stage, []
    stage.ask("INSERT INTO counters (name, n) VALUES (%s, 0)", stage.key)

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        with conn.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT n FROM counters WHERE name = %s", (stage.key,))
            (n,) = cursor.fetchone()
            if conn.attempt == 1:
                stage.ask("UPDATE counters SET n = n + 10 WHERE name = %s", stage.key)
            cursor.execute("UPDATE counters SET n = %s WHERE name = %s", (n + 1, stage.key))

    stage.db.run(work)
    assert attempts == [1, 2]
    assert stage.ask("SELECT n FROM counters WHERE name = %s", stage.key) == [(11,)]


def test_procedure_is_not_rerun(stage: Stage) -> None:
    """A CALL before the loss may have committed: OutcomeUnknown, and no second call."""
    attempts = []

    def work(conn: Any) -> None:
        attempts.append(1)
        if stage.postgres:
            stage.set(conn, "autocommit", True)
        with conn.cursor() as cursor:
            stage.cut(stage.key.encode(), False)
            cursor.execute("CALL twice(%s)", (stage.key,))

    assert isinstance(failure(stage.db.run, work), OutcomeUnknown)
    assert (len(attempts), stage.count()) == (1, 1)


def test_retries_end_with_the_driver_s_error(stage: Stage) -> None:
    """``retry_limit`` further tries at most, however often a read fails."""
    db = stage.make(retry_limit=2).open()
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes, before=False, count=10)
    error = failure(db.options(read_only=True).execute, SELECT, (stage.key,))
    assert isinstance(error, stage.errors.Error)
    assert type(error).__module__.split(".")[0] != "clustersql"


def test_retries_of_an_idempotent_write_end_as_unknown(stage: Stage) -> None:
    """``retry_limit`` further tries at most.  Each may have happened, so that the driver's error would say
    too little.
    """
    db = stage.make(retry_limit=2).open()
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes, before=False, count=10)
    error = failure(db.options(idempotent=True).execute, INSERT, (stage.key,))
    assert isinstance(error, OutcomeUnknown)
    assert isinstance(error.__cause__, stage.errors.Error)
    # The server may be at the last one still, when its path is cut: what it began to answer may have been said before.
    assert eventually(lambda: stage.count() == 3)


def test_retry_budget(stage: Stage) -> None:
    """An outage is not amplified: when the budget is spent the driver's error comes at once."""
    cluster = stage.make(retry_ratio=0.0, retry_reserve=1)
    db = cluster.open().options(idempotent=True)
    stage.a.cut_on(stage.key_bytes, before=False, count=1)
    db.execute(INSERT, (stage.key,))
    assert eventually(lambda: stage.count() == 2)
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes, before=False, count=9)
    error = failure(db.execute, INSERT, (stage.key,))
    assert isinstance(error, stage.errors.Error)
    assert eventually(lambda: stage.count() == 3)
    metrics = cluster.metrics()
    assert (metrics["Retries"], metrics["RetriesRefused"]) == (1, 1)


def test_deadline_bounds_the_recovery(stage: Stage) -> None:
    """No node comes back: it ends at the operation's timeout.  A write that was sent, though idempotent, is of unknown
    outcome.
    """
    db = stage.make(retry_limit=20).open().options(timeout=1.0, idempotent=True)
    db.execute("SELECT 1")
    for proxy in (stage.a, stage.b):
        proxy.close_on_accept()
        proxy.cut_on(stage.key_bytes, before=True, count=1000)  # also on what a probe has opened: in need it is lent
    began = time.monotonic()
    error = failure(db.execute, INSERT, (stage.key,))
    assert 0.3 < time.monotonic() - began < 6
    assert isinstance(error, OutcomeUnknown)
    assert "could not be had" in "".join(error.__cause__.__notes__)
    assert stage.count() == 0


def test_deadline_bounds_the_recovery_of_a_read(stage: Stage) -> None:
    """The same for a read, with every node's error."""
    db = stage.make(retry_limit=20).open().options(timeout=2.0, read_only=True)  # time for both nodes on a busy machine
    db.execute("SELECT 1")
    for proxy in (stage.a, stage.b):
        proxy.close_on_accept()
        proxy.cut_on(stage.key_bytes, before=True, count=1000)  # also on what a probe has opened: in need it is lent
    error = failure(db.execute, SELECT, (stage.key,))
    assert isinstance(error, NoNodeAvailable)
    assert set(error.errors) == {"a", "b"}


def test_run_ends_after_its_retries(stage: Stage) -> None:
    """A transaction that loses its session every time is run ``retry_limit`` times more, and no longer: its statement
    may be what kills it.
    """
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes + b"-later", before=True, count=10_000)
    work = Work(stage)
    error = failure(stage.db.run, work)
    assert isinstance(error, TransactionLost)
    assert "retry_limit" in "".join(error.__notes__)
    assert work.attempts == [1, 2, 3]
    assert (work.committed, work.counts) == ([], (0, 0))


def test_a_first_statement_that_kills_its_session_is_sent_as_often_as_any_other(stage: Stage) -> None:
    """It is sent again within an attempt already, and that counts: three times in all."""
    attempts = []
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes, before=True, count=10_000)

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        stage.insert(conn)

    error = failure(stage.db.run, work)
    assert isinstance(error, TransactionLost)
    assert "retry_limit" in "".join(error.__notes__)
    assert (attempts, stage.count()) == ([1], 0)


def test_reruns_after_a_loss_are_within_the_budget(stage: Stage) -> None:
    """An outage is not amplified by `run` either."""
    db = stage.make(retry_ratio=0.0, retry_reserve=1, retry_limit=9).open()
    for proxy in (stage.a, stage.b):
        proxy.cut_on(stage.key_bytes + b"-later", before=True, count=10_000)
    work = Work(stage)
    error = failure(db.run, work)
    assert isinstance(error, TransactionLost)
    assert "budget" in "".join(error.__notes__)
    assert work.attempts == [1, 2]


@pytest.mark.parametrize("stage", POSTGRES, indirect=True)
def test_an_idle_timeout_at_commit_is_run_again(stage: Stage) -> None:
    """The server has ended the idle session, so it has never read the COMMIT: nothing is unknown, and it happens once.

    psycopg2 and pg8000 do not pass on what the server has said: it is read before, or where it was left.
    """
    attempts: list[int] = []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        execute(conn, "SET LOCAL idle_in_transaction_session_timeout = '100ms'" if len(attempts) == 1 else "SELECT 1")
        stage.insert(conn)
        if len(attempts) == 1:
            idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND usename = 'app'"
            assert eventually(lambda: stage.ask(idle) == [(0,)])

    stage.db.run(work)
    assert (attempts, stage.count()) == ([1, 2], 1)
