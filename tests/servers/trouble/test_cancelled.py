"""A task that was cancelled ends as cancelled, on each driver of asyncio: nothing is run again, nothing is committed
afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from support import face
from support.stage import DRIVERS, Stage, rows

from clustersql import TransactionLost
from clustersql.pool.base import BasePool

stages = pytest.mark.parametrize("stage", [driver for driver in DRIVERS if driver in face.ASYNC], indirect=True)

PATIENCE = 12.0
"""Seconds within which a cancelled call ends on a node that is frozen: psycopg waits 5 for its cancel request, and 5
for the answer.
"""


def in_loop(stage: Stage, function: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run ``function(db)``, which is given the asyncio API's own database, as a task in the stage's loop."""

    async def called() -> Any:
        return await asyncio.wait_for(asyncio.ensure_future(function(stage.db._inner)), 2 * PATIENCE)

    assert stage.loop is not None
    return stage.loop.call(called)


def insert(stage: Stage) -> tuple[str, tuple[str]]:
    """A statement with this test's key."""
    sql = "INSERT INTO events (name) VALUES (%s)"
    return (sql.replace("%s", "$1") if stage.driver == "asyncpg" else sql), (stage.key,)


def sleep(stage: Stage, seconds: float = 30.0) -> str:
    return f"SELECT pg_sleep({seconds})" if stage.postgres else f"SELECT SLEEP({seconds})"


@contextmanager
def unharmed(stage: Stage) -> Iterator[None]:
    """Nothing of this test's was committed, no node was blamed, and the next users get their own rows."""
    before = [(node.name, node.generation) for node in stage.cluster.view.nodes]
    yield
    for n in range(3):
        assert rows(stage.db.execute(f"SELECT {n}")) == [(n,)]
    assert stage.db.stats()["in_flight"] == 0
    assert [(node.name, node.generation) for node in stage.cluster.view.nodes] == before
    assert stage.count() == 0


@stages
@pytest.mark.parametrize("times", [1, 2, 3])
def test_run_is_cancelled(stage: Stage, times: int) -> None:
    """Once by a timeout, and again by the shutdown right after it: the function is called once, and the task is
    cancelled.
    """
    calls: list[int] = []

    async def work(conn: Any) -> None:
        calls.append(conn.attempt)
        cursor = conn.cursor()
        await cursor.execute(*insert(stage))
        await cursor.execute(sleep(stage))

    async def cancel(db: Any) -> bool:
        task = asyncio.ensure_future(db.run(work))
        while not calls:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait([task])
        return task.cancelled()

    with unharmed(stage):
        assert in_loop(stage, cancel)
        assert calls == [1]


@stages
def test_timeouts_and_scopes_hold(stage: Stage) -> None:
    """`asyncio.timeout`, `wait_for`, a `TaskGroup` whose other task fails, and anyio's scope, which cancels again at
    each turn.
    """

    async def work(conn: Any) -> None:
        await conn.cursor().execute(*insert(stage))
        await conn.cursor().execute(sleep(stage))

    async def fail() -> None:
        await asyncio.sleep(0.2)
        raise LookupError

    async def together(*calls: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)

    async def each(db: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await db.run(work)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(db.run(work), 0.2)
        with pytest.raises(ExceptionGroup) as failed:
            await asyncio.ensure_future(together(fail(), db.run(work)))  # before Python 3.13 the count stays
        assert [type(error) for error in failed.value.exceptions] == [LookupError]
        with anyio.move_on_after(0.2) as scope:
            await db.run(work)
        assert scope.cancelled_caught
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    with unharmed(stage):
        in_loop(stage, each)


@stages
def test_a_timeout_inside_the_function_is_the_functions(stage: Stage) -> None:
    """What it broke into is not committed; after a rollback the function goes on, and its end is committed."""

    async def gives_up(conn: Any) -> str:
        await conn.cursor().execute(*insert(stage))
        try:
            async with asyncio.timeout(0.2):
                await conn.cursor().execute(sleep(stage))
        except TimeoutError:
            with pytest.raises(TransactionLost):
                await conn.commit()
            await conn.rollback()
            await conn.cursor().execute("SELECT 1")
        return "went on"

    async def catches(conn: Any) -> str:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.2, task.cancel)
        try:
            await conn.cursor().execute(sleep(stage))
        except asyncio.CancelledError:
            task.uncancel()
            await conn.rollback()
        await conn.cursor().execute("SELECT 1")
        return "went on"

    async def each(db: Any) -> list[str]:
        return [await db.run(gives_up), await db.run(catches)]

    with unharmed(stage):
        assert in_loop(stage, each) == ["went on", "went on"]


@stages
def test_a_rollback_while_the_cancellation_passes(stage: Stage) -> None:
    """The cancellation was delivered already: no driver's error of the session that it has ended is another one, and
    anyio's scope catches its own.
    """

    async def each(db: Any) -> list[Any]:
        async with db.connection() as conn:
            await conn.cursor().execute(*insert(stage))
            with anyio.move_on_after(0.2) as scope:
                try:
                    await conn.cursor().execute(sleep(stage))
                finally:
                    with anyio.CancelScope(shield=True):
                        await conn.rollback()
            assert scope.cancelled_caught
            cursor = conn.cursor()
            await cursor.execute("SELECT 3")
            return [tuple(row) for row in await cursor.fetchall()]

    with unharmed(stage):
        assert in_loop(stage, each) == [(3,)]


@stages
def test_the_next_statement_is_not_cancelled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a driver has ended itself is not ended again: that would come late, and end what the session executes next.

    What it leaves to the server, when it closes its connection, is ended there.
    """
    asked: list[int] = []
    monkeypatch.setattr(BasePool, "cancel", lambda pool, node, number: asked.append(number))
    number = "pg_backend_pid()" if stage.postgres else "CONNECTION_ID()"

    async def told(conn: Any) -> int:
        cursor = conn.cursor()
        await cursor.execute(f"SELECT {number}")
        return int((await cursor.fetchone())[0])

    async def each(db: Any) -> tuple[int, int]:
        async with db.connection() as conn:
            before = await told(conn)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await conn.cursor().execute(sleep(stage))
            await conn.rollback()
            return before, await told(conn)

    before, after = in_loop(stage, each)
    assert asked == ([] if before == after else [before])
    assert (before == after) is stage.postgres  # PostgreSQL's drivers have ended it and keep their connection


@stages
def test_a_timeout_on_a_frozen_node(stage: Stage) -> None:
    """Also in COMMIT and while the connection is dialled: TimeoutError, within the time that the page on
    asyncio tells.
    """

    async def work(conn: Any) -> None:
        await conn.cursor().execute(*insert(stage))
        stage.a.deaf()
        await conn.cursor().execute("SELECT 1")

    async def each(db: Any) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await db.options(node="a").run(work)
        return asyncio.get_running_loop().time() - began

    try:
        assert in_loop(stage, each) < PATIENCE
    finally:
        stage.a.deaf(False)
    assert stage.count() == 0


@stages
def test_a_cancellation_that_comes_with_the_answer(stage: Stage) -> None:
    """While an answer waits to be taken in, up to the turn of the loop that takes it: no statement returns as if
    nothing had been.
    """
    cluster = face.cluster(f"{stage.key}-turns", stage.driver, stage.loop)
    more = {"read_timeout": 30} if stage.driver == "asyncmy" else {}  # with it asyncmy waits in another way
    cluster.add_node("a", **stage.address(stage.server.port("n1")), **more)
    stage.clusters.append(cluster)

    async def read(db: Any) -> None:
        async with db.connection() as conn:
            cursor = conn.cursor()
            for _ in range(1000):
                await cursor.execute("SELECT 1")
                await cursor.fetchall()

    async def each(db: Any) -> None:
        for turns in range(24):
            task = asyncio.ensure_future(read(db))
            await asyncio.sleep(0.01)
            time.sleep(0.002)  # the loop stands still, and the answer comes
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.cancelled()

    assert stage.loop is not None
    stage.loop.call(each, cluster.open()._inner)
