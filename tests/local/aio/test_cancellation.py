"""A task that is cancelled at any await leaves nothing behind: no connection, no pending answer, no count."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.fake import CancelledAt, FakeDriver, OperationalError, fake_cluster

from clustersql import NoNodeAvailable
from clustersql.aio import Database
from clustersql.connection.interruption import DONE
from clustersql.core.faults import Facts, Fault

Operation = Callable[[Database], Awaitable[Any]]


async def connection(db: Database) -> None:
    async with db.connection() as conn:
        cursor = await conn.execute("INSERT 1")
        await conn.execute("INSERT 2")
        await cursor.fetchall()
        await cursor.close()


async def single(db: Database) -> None:
    await db.execute("SELECT 1")


async def rerun(db: Database) -> None:
    async def work(conn: Any) -> None:
        await conn.execute("INSERT 1")
        async with conn.transaction():
            await conn.execute("INSERT 2")

    await db.run(work)


async def read(db: Database) -> None:
    async with db.connection(read_only=True) as conn:
        cursor = conn.cursor()
        await cursor.execute("SELECT 1")
        assert [row async for row in cursor] == [("SELECT 1",)]


async def state(db: Database) -> None:
    async with db.connection() as conn:
        await conn.execute("SET x = 1")
        await conn.rollback()


async def idempotent(db: Database) -> None:
    await db.options(idempotent=True).execute("INSERT 1")


OPERATIONS = {f.__name__: f for f in (connection, single, rerun, read, state, idempotent)}


async def settled(db: Database, driver: FakeDriver) -> None:
    """Nothing is in flight, what is open is in the pool or the prober's, and the pool works."""
    for _ in range(200):
        await asyncio.sleep(0.0005)
        stats = db.stats()
        if stats["size"] == stats["idle"] and len(asyncio.all_tasks()) <= 2:
            break
    assert stats["in_flight"] == stats["waiting"] == 0
    assert stats["size"] == stats["idle"]
    assert all(node["in_flight"] == node["dialling"] == 0 for node in stats["nodes"].values())
    assert len(driver.open) <= stats["size"] + 2  # one for the probes of each node
    assert not any(raw.pending or raw.in_transaction for raw in driver.open)
    names = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert set(names) <= {"clustersql-monitor"}, names
    assert (await db.execute("SELECT 1")).fetchall() == [("SELECT 1",)]


async def cancel_everywhere(operation: Operation, *, warm: bool, prepare: Callable[[FakeDriver], object]) -> int:
    """Cancel ``operation`` at its first, second, ... await, each in a cluster of its own; returns how many
    there were.
    """
    nth = 0
    while True:
        nth += 1
        cluster, driver = fake_cluster(stagger=0.001, max_size=3)
        async with cluster.aopen() as db:
            if warm:
                await operation(db)
            prepare(driver)
            attempt = CancelledAt(operation(db), nth)
            task = asyncio.ensure_future(_await(attempt))
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            driver.dead.clear()
            driver.deaf.clear()
            if not attempt.reached:
                assert result is None
                return nth - 1
            assert isinstance(result, asyncio.CancelledError)
            await settled(db, driver)
        assert not driver.open
        cluster.close()


async def _await(awaitable: Any) -> Any:
    """The result, or the CancelledError itself: whoever waits for a cancelled task is given a new one,
    without notes.
    """
    try:
        return await awaitable
    except asyncio.CancelledError as exc:
        return exc


@pytest.mark.parametrize("warm", [False, True], ids=["first dial", "idle connection"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_cancelled_at_every_await(operation: str, warm: bool) -> None:
    """From the dial to the return."""
    awaits = asyncio.run(cancel_everywhere(OPERATIONS[operation], warm=warm, prepare=lambda driver: None))
    assert awaits >= 4


@pytest.mark.parametrize("operation", ["connection", "idempotent", "rerun"])
def test_cancelled_at_every_await_of_a_recovery(operation: str) -> None:
    """The idle connection's node dies, and the statement goes on elsewhere: a second dial, a second try."""
    awaits = asyncio.run(
        cancel_everywhere(OPERATIONS[operation], warm=True, prepare=lambda driver: driver.dead.add("a"))
    )
    assert awaits >= 4


def test_cancelled_at_every_await_of_a_staggered_connect() -> None:
    """The first node is deaf: its dial goes on in the background, and ends with the pool."""
    awaits = asyncio.run(cancel_everywhere(single, warm=False, prepare=lambda driver: driver.deaf.add("a")))
    assert awaits >= 4


def test_waiters_cancelled_at_every_await() -> None:
    """The pool is full; of three waiters the second is cancelled wherever it waits, also as it is served; the others
    are served.
    """

    async def main() -> int:
        nth = 0
        while True:
            nth += 1
            cluster, driver = fake_cluster("a", max_size=1)
            async with cluster.aopen() as db:
                holder = await db.connection()
                first = asyncio.ensure_future(single(db))
                await asyncio.sleep(0)
                attempt = CancelledAt(single(db), nth)
                second = asyncio.ensure_future(_await(attempt))
                await asyncio.sleep(0)
                third = asyncio.ensure_future(single(db))
                for _ in range(5):
                    await asyncio.sleep(0)
                await holder.close()
                results = await asyncio.gather(first, second, third, return_exceptions=True)
                assert results[0] is results[2] is None
                if not attempt.reached:
                    assert results[1] is None
                    return nth - 1
                assert isinstance(results[1], asyncio.CancelledError)
                await settled(db, driver)
            assert not driver.open

    assert asyncio.run(main()) >= 4


def test_waiter_cancelled_in_the_moment_it_is_served() -> None:
    """The connection was handed to it already: nobody else knows of it, and it must not be lost."""

    async def main() -> None:
        cluster, driver = fake_cluster("a", max_size=1)
        async with cluster.aopen() as db:
            holder = await db.connection()
            waiter = asyncio.ensure_future(single(db))
            await asyncio.sleep(0.01)
            await holder.close()  # serves the waiter, whose task has not run since
            waiter.cancel()
            assert isinstance((await asyncio.gather(waiter, return_exceptions=True))[0], asyncio.CancelledError)
            await settled(db, driver)

    asyncio.run(main())


def test_cancelled_commit_says_that_its_outcome_is_unknown() -> None:
    """The caller gets its CancelledError, with a note; `run` does not run the function again."""

    async def main() -> None:
        cluster, driver = fake_cluster("a")
        async with cluster.aopen() as db:
            calls = []

            async def work(conn: Any) -> None:
                calls.append(conn.attempt)
                await conn.execute("INSERT 1")

            nth, seen = 0, 0
            while True:
                nth, before = nth + 1, driver.commits
                attempt = CancelledAt(db.run(work), nth)
                result = (await asyncio.gather(asyncio.ensure_future(_await(attempt)), return_exceptions=True))[0]
                if not attempt.reached:
                    break
                notes = getattr(result, "__notes__", [])
                assert driver.commits == before or not notes
                seen += any("OutcomeUnknown" in note for note in notes)
            assert seen >= 2  # as many as a COMMIT of the fake driver has awaits
            assert set(calls) == {1}

    asyncio.run(main())


def test_cancelled_monitor_starts_anew() -> None:
    """Somebody cancels every task of the loop, again and again: the monitor comes back, and the pool is none
    the worse.
    """

    async def main() -> None:
        cluster, driver = fake_cluster(probe_interval=0.001)
        async with cluster.aopen() as db:
            await single(db)
            for _ in range(20):
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await asyncio.sleep(0.002)
            monitor = db._pool().monitor
            before = monitor.last_ran
            await asyncio.sleep(0.02)
            assert monitor.alive
            assert monitor.last_ran > before
            await asyncio.sleep(0.05)
            assert (await db.execute("SELECT 1")).fetchall() == [("SELECT 1",)]
            assert db.stats()["in_flight"] == 0
        assert not driver.open

    asyncio.run(main())


def test_ten_thousand_cancelled_operations() -> None:
    """At random moments: no connection, task or count is left, and the sizes are as before."""

    async def main() -> None:
        cluster, driver = fake_cluster(max_size=5)
        async with cluster.aopen() as db:
            await asyncio.gather(*(single(db) for _ in range(10)))
            size = db.stats()["max_size"]
            done = cancelled = 0
            for batch in range(400):
                tasks = [asyncio.ensure_future(list(OPERATIONS.values())[i % 6](db)) for i in range(25)]
                for _ in range(batch % 40):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    assert result is None or isinstance(result, asyncio.CancelledError), result
                    done += result is None
                    cancelled += result is not None
            assert done + cancelled == 10_000
            assert cancelled > 5_000
            await settled(db, driver)
            assert db.stats()["max_size"] == size
        assert not driver.open

    asyncio.run(main())
    gc.collect()


def test_dial_that_swallows_its_cancellation_leaves_no_connection() -> None:
    """As asyncio.wait_for of Python 3.11 does when the answer and the cancellation come together: what opens is closed
    all the same.
    """

    async def main() -> None:
        cluster, driver = fake_cluster("a")
        connect, swallowed = driver.connect, []

        async def deaf(target: Any, timeout: float) -> Any:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed.append(1)
            return await connect(target, timeout)

        driver.connect = deaf  # type: ignore[method-assign]
        db = cluster.aopen()
        waiting = asyncio.ensure_future(single(db))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await db.close()
        assert swallowed
        assert not driver.open

    asyncio.run(main())


def test_probe_that_is_cancelled_before_its_first_step_leaves_no_connection() -> None:
    """The pool is closed in the moment in which its monitor has begun a probe, on a connection that was kept."""

    async def main() -> None:
        cluster, driver = fake_cluster("a")
        db = cluster.aopen()
        await db.execute("SELECT 1")
        prober = db._pool()._prober
        while not prober._kept.names:
            await asyncio.sleep(0.001)
        prober._begin("a", False, 0.0, ())
        await db.close()
        assert not driver.open

    asyncio.run(main())


def test_goodbye_that_is_cancelled_before_its_first_step_leaves_no_connection() -> None:
    """As when the program's main function ends just then: asyncio cancels every task."""

    async def main() -> None:
        cluster, driver = fake_cluster("a")
        pool = cluster.aopen()._pool()
        raw = await driver.connect(SimpleNamespace(host="a"), 1.0)  # type: ignore[arg-type]
        pool._background.close(driver, raw)
        for task in tuple(pool._background._tasks):
            task.cancel()
        await pool._background.ended()
        await pool.aclose()
        assert not driver.open

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["connection", "rerun"])
def test_cancelled_in_the_return_it_says_that_the_work_is_done(operation: str) -> None:
    """At every await: what was committed is never told as if it was not, nor the other way round."""

    async def main() -> set[tuple[bool, bool]]:
        nth, seen = 0, set()
        while True:
            nth += 1
            cluster, driver = fake_cluster(max_size=1)
            async with cluster.aopen() as db:
                await OPERATIONS[operation](db)  # a dial takes now one wait, now two
                attempt = CancelledAt(OPERATIONS[operation](db), nth)
                task = asyncio.ensure_future(_await(attempt))
                result = (await asyncio.gather(task, return_exceptions=True))[0]
            cluster.close()
            if not attempt.reached:
                return seen
            notes = getattr(result, "__notes__", [])
            done = driver.commits == 2
            unknown = any("OutcomeUnknown" in note for note in notes)
            assert DONE not in notes or done
            assert not done or DONE in notes or unknown, nth
            seen.add((done, DONE in notes))

    seen = asyncio.run(main())
    assert (False, False) in seen
    assert (True, True) in seen or operation != "connection"  # the others' return awaits nothing


def test_run_stops_at_an_error_once_its_task_was_cancelled() -> None:
    """Also where the driver has swallowed the cancellation, and raises later what would be run again otherwise."""

    async def main(cancels: bool) -> tuple[int, list[str]]:
        cluster, driver = fake_cluster("a")
        driver.facts = lambda exc, raw: Facts(Fault.ROLLED_BACK)  # type: ignore[method-assign]
        called: list[int] = []

        async def function(conn: Any) -> None:
            called.append(conn.attempt)
            task = asyncio.current_task()
            assert task is not None
            if cancels:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            if len(called) < 3:
                raise OperationalError("deadlock")

        notes: list[str] = []
        async with cluster.aopen() as db:
            try:
                await db.run(function)
            except OperationalError as exc:
                notes = exc.__notes__
        return len(called), notes

    assert asyncio.run(main(cancels=False)) == (3, [])
    assert asyncio.run(main(cancels=True)) == (1, ["clustersql: not run again, the task was cancelled meanwhile"])


def test_a_task_that_was_cancelled_before_may_still_wait() -> None:
    """As one that cleans up: the end of a wait of ours is no other cancellation of it."""

    async def refused(target: Any, timeout: float) -> Any:
        raise OperationalError("connection refused")

    async def main() -> None:
        cluster, driver = fake_cluster("a", timeout=0.3, failover_probe=0.05)
        driver.connect = refused  # type: ignore[method-assign]
        task = asyncio.current_task()
        assert task is not None
        async with cluster.aopen() as db:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            with pytest.raises(NoNodeAvailable):
                await db.execute("SELECT 1")

    asyncio.run(main())
