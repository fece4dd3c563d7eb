"""A path that died in silence while its node answers everybody else: a NAT, a firewall or a load balancer that forgot
one connection.
"""

from __future__ import annotations

import time

import pytest
from support.stage import INSERT, SELECT, Stage, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@pytest.fixture
def quick(stage: Stage) -> Stage:
    """A stage that gets suspicious after half a second."""
    stage.cluster = stage.make(stall_after=0.5, probe_interval=0.2)
    stage.db = stage.cluster.open()
    stage.db.execute("SELECT 1")
    return stage


@before_or_after
def test_proven_read_goes_on_elsewhere(quick: Stage, before: bool) -> None:
    """The server has nothing to do for us and says so: the socket is shut down, and the read has its rows without an
    error.
    """
    quick.db.execute(INSERT, (quick.key,))
    quick.a.forget_on(quick.key_bytes, before=before)
    rows = quick.db.options(read_only=True).execute(SELECT, (quick.key,)).fetchall()
    assert [tuple(row) for row in rows] == [(quick.key,)]
    assert quick.cluster.metrics()["Pool"]["Hung"] == 1


@before_or_after
def test_write_is_unknown(quick: Stage, before: bool) -> None:
    """It may have happened or not: OutcomeUnknown within seconds, instead of waiting for TCP."""
    quick.a.forget_on(quick.key_bytes, before=before)
    assert isinstance(failure(quick.db.execute, INSERT, (quick.key,)), OutcomeUnknown)
    assert quick.count() == (0 if before else 1)


@before_or_after
def test_first_statement_of_a_transaction_is_executed_again(quick: Stage, before: bool) -> None:
    """The session that the server still has is ended there: its locks would block the second try."""
    quick.db.execute("INSERT INTO counters (name, n) VALUES (%s, 0)", (quick.key,))
    with quick.db.connection() as conn:
        quick.a.forget_on(quick.key_bytes, before=before)
        with conn.cursor() as cursor:
            cursor.execute("UPDATE counters SET n = n + 1 WHERE name = %s", (quick.key,))
    assert quick.ask("SELECT n FROM counters WHERE name = %s", quick.key) == [(1,)]


@before_or_after
def test_commit_is_unknown(quick: Stage, before: bool) -> None:
    """The same for a COMMIT."""
    with quick.db.connection() as conn:
        quick.insert(conn)
        quick.a.forget_on(quick.commit_bytes, before=before)
        assert isinstance(failure(conn.commit), OutcomeUnknown)
    assert eventually(lambda: quick.count() == (0 if before else 1))


def test_slow_statement_on_a_live_node_is_left_alone(quick: Stage) -> None:
    """Silent for three times ``stall_after``, and asked about again and again: it is at work, so it has its answer."""
    sleep = "SELECT pg_sleep(1.5)" if quick.postgres else "SELECT SLEEP(1.5)"
    began = time.monotonic()
    assert len(quick.db.options(read_only=True).execute(sleep).fetchall()) == 1
    assert time.monotonic() - began >= 1.5
    assert quick.cluster.metrics()["Pool"]["Hung"] == 0


def test_statement_whose_time_is_over_is_cancelled_on_the_server(stage: Stage) -> None:
    """Its socket is shut down here, which a server notices only when it wants to answer: so it is told on another
    connection.
    """
    sleep = "SELECT pg_sleep(30)" if stage.postgres else "SELECT SLEEP(30)"
    error = failure(stage.db.options(timeout=0.5).execute, f"{sleep} /* {stage.key} */")
    assert error is not None
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE %s"
        if stage.postgres
        else "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND info LIKE %s"
    )
    assert eventually(lambda: stage.ask(running, f"%{stage.key}%") == [(0,)], timeout=5)
