"""A COMMIT that waits for a synchronous standby which is not there: no timeout of the server ends it, only the caller's
deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from support import face
from support.breaking import signalled
from support.stage import Stage, failure
from support.waiting import eventually

import clustersql
from clustersql import OutcomeUnknown
from clustersql.dialects import by_name
from clustersql.testing import PostgresCluster


@pytest.fixture
def held(postgres_stage: Stage) -> Iterator[Stage]:
    """The primary wants a standby's word for each COMMIT; the only standby that counts is stopped."""
    servers: PostgresCluster = postgres_stage.server
    postgres_stage.db.execute("SELECT 1")
    servers.stop("n3")
    servers.execute("n1", "ALTER SYSTEM SET synchronous_standby_names = 'n3'")
    servers.execute("n1", "SELECT pg_reload_conf()")
    assert eventually(lambda: postgres_stage.ask("SHOW synchronous_standby_names") == [("n3",)])
    try:
        yield postgres_stage
    finally:
        servers.execute("n1", "ALTER SYSTEM RESET synchronous_standby_names")
        servers.execute("n1", "SELECT pg_reload_conf()")
        servers.start("n3")


def waiting(stage: Stage) -> int:
    """How many sessions wait for the standby."""
    rows = stage.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return int(rows[0][0])


def test_the_deadline_ends_it_and_says_that_nobody_knows(held: Stage) -> None:
    """The row is written and not confirmed: neither a success nor a failure may be told."""
    error = failure(held.db.options(timeout=1.0).run, held.insert)
    assert isinstance(error, OutcomeUnknown)
    assert "the time of the operation on node 'a' was over" in str(error)
    assert isinstance(
        failure(held.db.options(timeout=1.0).execute, f"INSERT INTO events (name) VALUES ('{held.key}-alone')"),
        OutcomeUnknown,
    )
    assert held.cluster.metrics()["Nodes"]["a"]["State"] == "up", "the node is not to blame"
    assert [tuple(row) for row in held.db.options(read_only=True).execute("SELECT 1").fetchall()] == [(1,)]


def test_the_deadline_does_not_end_the_wait_itself(held: Stage) -> None:
    """The caller is told that nobody knows; the session goes on waiting at the server, and nobody sees a row that one
    server only has.
    """
    error = failure(held.db.options(timeout=1.0).run, held.insert)
    assert isinstance(error, OutcomeUnknown)
    assert not eventually(lambda: waiting(held) == 0, timeout=1.0)
    assert held.count() == 0
    held.server.start("n3")
    assert eventually(lambda: held.count() == 1)


def test_no_order_of_ours_ends_a_session_that_waits(held: Stage) -> None:
    """Neither the dialect's cancel nor its terminate; both end one that works."""
    dialect = by_name("postgresql")
    failure(held.db.options(timeout=1.0).run, held.insert)
    [(pid,)] = held.ask("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    for order in (dialect.cancel, dialect.terminate):
        assert held.ask(order.format(pid, 0)) == []
    assert waiting(held) == 1
    [(own,)] = held.db.options(read_only=True).execute("SELECT pg_backend_pid()").fetchall()
    assert held.ask(dialect.terminate.format(own, 0)) == [(True,)]


@pytest.mark.parametrize("how", ["commit()", "COMMIT"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_task_that_is_cancelled_does_not_end_the_wait_itself(
    held: Stage, driver: str, how: str, request: pytest.FixtureRequest
) -> None:
    """The drivers of asyncio ask the server to cancel what a cancelled task has waited for; not so for a COMMIT, also
    while the task cleans up.
    """
    if request.node.callspec.params["postgres_stage"] != "psycopg":
        assert held.count() == 0  # once for each driver of asyncio is enough
        return

    async def main() -> None:
        cluster = clustersql.Cluster("held", async_driver=driver, timeout=20.0)
        cluster.add_node("a", **held.address(held.server.port("n1")))
        async with cluster.aopen() as db:

            async def work() -> None:
                async with db.connection() as conn:
                    await conn.execute(f"INSERT INTO events (name) VALUES ('{held.key}')")
                    try:
                        await (conn.commit() if how == "commit()" else conn.execute(how))
                    except asyncio.CancelledError:
                        assert not await asyncio.to_thread(eventually, lambda: waiting(held) == 0, 1.0)
                        raise

            task = asyncio.create_task(work())
            assert await asyncio.to_thread(eventually, lambda: waiting(held) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            assert "OutcomeUnknown" in "".join(cancelled.value.__notes__)
            assert waiting(held) == 1
            assert held.count() == 0

    asyncio.run(main())


@pytest.mark.parametrize("how", ["commit()", "COMMIT"])
def test_ctrl_c_does_not_end_the_wait_itself(held: Stage, how: str, request: pytest.FixtureRequest) -> None:
    """Psycopg asks the server to cancel what Ctrl-C breaks into; not so for a COMMIT.  pg8000 never asks.

    With the asyncio drivers Ctrl-C is a cancellation.  psycopg2 waits in C, where no signal's handler is run before the
    answer is there.
    """
    if request.node.callspec.params["postgres_stage"] in {*face.ASYNC, "psycopg2"}:
        assert held.count() == 0
        return
    with held.db.connection() as conn, signalled(KeyboardInterrupt(), 1.0):
        held.insert(conn)
        with pytest.raises(KeyboardInterrupt) as interrupted:
            conn.commit() if how == "commit()" else conn.cursor().execute(how)
        assert "OutcomeUnknown" in "".join(interrupted.value.__notes__)
        assert waiting(held) == 1
        assert held.count() == 0
        conn.rollback()


def test_it_goes_on_waiting_without_a_deadline_of_its_own(held: Stage) -> None:
    """Silent for longer than ``stall_after``, but the node says that it is at work: nothing is ended, and the standby's
    return makes it a success.
    """
    held.cluster = held.make(stall_after=0.3, probe_interval=0.2)
    db = held.cluster.open()
    db.execute("SELECT 1")
    told: list[BaseException | None] = []
    caller = threading.Thread(target=lambda: told.append(failure(db.run, held.insert)))
    caller.start()
    assert eventually(lambda: waiting(held) == 1)
    assert not eventually(lambda: told, timeout=1.5)
    held.server.start("n3")
    caller.join(60)
    assert told == [None]
    assert held.count() == 1
    assert held.cluster.metrics()["Pool"]["Hung"] == 0
