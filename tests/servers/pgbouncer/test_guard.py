"""The commit guard through pgbouncer in transaction mode: the session is another one for each transaction, so nobody
can be told to end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers.pgbouncer.conftest import DRIVERS
from servers.pgbouncer.test_faults import empty, insert, written
from support.stage import COMMIT, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown
from clustersql.dialects import by_name
from clustersql.testing import FaultProxy, PgBouncer, PostgresCluster

__all__ = ["empty"]  # a fixture
NAMES = ("public.clustersql_commit", "public.clustersql_key")


@pytest.fixture
def ways(empty: PostgresCluster, bouncer: Callable[..., PgBouncer]) -> Iterator[dict[str, FaultProxy]]:
    """Two ways to the pooler before the primary, where the guard's tables are."""
    guard = by_name("postgresql").guard
    assert guard is not None
    empty.execute("n1", "CREATE SCHEMA IF NOT EXISTS public")
    for statement in (*guard.create(*NAMES), *guard.grant(*NAMES, "app"), "GRANT USAGE ON SCHEMA public TO app"):
        empty.execute("n1", statement)
    pooler = bouncer()
    with ExitStack() as stack:
        yield {name: stack.enter_context(FaultProxy(pooler.port("n1"))) for name in "ab"}


def opened_over(ways: dict[str, FaultProxy], opened: Callable[..., Any], driver: str, **knobs: Any) -> Any:
    cluster = opened(driver, {name: way.port for name, way in ways.items()}, commit_guard=True, **knobs)
    return cluster, cluster.open()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lost_commit_is_found_out(
    driver: str, ways: dict[str, FaultProxy], opened: Callable[..., Any], postgres: PostgresCluster
) -> None:
    cluster, db = opened_over(ways, opened, driver)
    attempts: list[int] = []

    def work(conn: Any, name: str) -> str:
        attempts.append(conn.attempt)
        insert(conn, driver, name)
        return name

    for name, before in (("before", True), ("after", False)):
        assert eventually(lambda: cluster.view.by_name["a"].usable)  # after the first cut it is in doubt for a moment
        ways["a"].cut_on(COMMIT, before=before)
        assert db.run(work, name) == name
    assert attempts == [1, 2, 1]
    assert written(postgres) == {(driver, "before"), (driver, "after")}
    counts = cluster.metrics()["CommitGuard"]
    assert (counts["void"], counts["committed"], counts["unknown"], counts["inactive"]) == (1, 1, 0, {})


def test_a_session_that_hangs_behind_the_pooler(
    ways: dict[str, FaultProxy], opened: Callable[..., Any], postgres: PostgresCluster
) -> None:
    """Its token is written, the COMMIT that follows is lost in silence, and it is idle in its transaction: which session
    it is cannot be told there, so it is unknown until the pooler has ended it.
    """
    _, db = opened_over(ways, opened, "psycopg2")

    def work(conn: Any) -> None:
        insert(conn, "psycopg2", "silent")
        ways["a"].forget_on(COMMIT, before=True)

    error = failure(db.options(timeout=0.5).run, work)
    assert isinstance(error, OutcomeUnknown)
    assert error.commit_id is not None
    late = failure(lambda: db.settle(error.commit_id, timeout=1.0))
    assert isinstance(late, OutcomeUnknown)
    assert "waits for the old transaction" in str(late)
    ways["a"].stop()
    assert db.settle(error.commit_id) == "void"
    assert written(postgres) == set()
