"""The asyncio API's hot path, pinned by counting calls, as that of threads is in ``test_call_counts``.

The driver here is one without a server, whose calls never suspend: all that is counted is ours, and a frame of Python
per call of the driver's.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from local.perf.test_call_counts import calls
from support.fake import FakeCursor, FakeDriver, Raw, fake_cluster

from clustersql import aio


class InstantCursor(FakeCursor):
    """A cursor whose answers are there at once."""

    async def execute(self, operation: Any, parameters: Any = None, /) -> FakeCursor:
        return self

    async def fetchall(self) -> Any:
        return []


class InstantDriver(FakeDriver):
    """Its calls are made without a suspension; only a dial takes one."""

    async def cursor(self, raw: Raw, args: Any, kwargs: Any) -> FakeCursor:
        return InstantCursor(raw)

    async def close_cursor(self, cursor: FakeCursor) -> None:
        pass

    async def set_autocommit(self, raw: Raw, on: bool) -> None:
        raw.autocommit = on


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def db(runner: asyncio.Runner) -> Iterator[aio.Database]:
    cluster, _ = fake_cluster("a", driver=InstantDriver())
    database = cluster.aopen()
    runner.run(database.execute("SELECT 1"))
    yield database
    runner.run(database.close())


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it was suspended")


def in_loop(runner: asyncio.Runner, function: Any) -> Any:
    """Call ``function`` in the loop, where no other task runs meanwhile."""

    async def called() -> Any:
        return function()

    return runner.run(called())


@contextmanager
def connection(runner: asyncio.Runner, db: aio.Database) -> Iterator[aio.Connection]:
    async def checkout() -> aio.Connection:
        return await db.connection()

    conn = runner.run(checkout())
    yield conn
    runner.run(conn.close())


@pytest.mark.parametrize("parameters", [(), ((1,),)], ids=["no parameters", "parameters"])
def test_execute_is_one_frame_around_the_driver_s(runner: asyncio.Runner, db: aio.Database, parameters: Any) -> None:
    """Ours, the driver's, and `finish`; two readings of the clock, and ``send``."""
    with connection(runner, db) as conn:
        cursor = conn.cursor()
        counted = in_loop(runner, lambda: calls(lambda: finish(cursor.execute("SELECT 1", *parameters))))
    assert counted == {"python": 3, "c": 3}


def test_checkout_and_return(runner: asyncio.Runner, db: aio.Database) -> None:
    """Choice, look at the socket, and the mode's comparison; no lock and no round trip."""
    pool, want = in_loop(runner, db._pool), db._want
    counted = in_loop(runner, lambda: calls(lambda: pool.give_back(finish(pool.checkout(want, 1.0)))))
    assert (counted["python"], counted["c"] <= 7) == (9, True), counted


def test_with_connection(runner: asyncio.Runner, db: aio.Database) -> None:
    """Nothing was done with it, so no cursor is looked for."""

    async def block() -> None:
        async with db.connection():
            pass

    counted = in_loop(runner, lambda: calls(lambda: finish(block())))
    assert (counted["python"], counted["c"] <= 9) == (28, True), counted


def test_execute_of_the_database(runner: asyncio.Runner, db: aio.Database) -> None:
    """Checkout, cursor, statement, rows and return.  At most: from Python 3.12 on a comprehension has no frame of its
    own.
    """
    counted = in_loop(runner, lambda: calls(lambda: finish(db.execute("SELECT 1"))))
    assert counted["python"] <= 26, counted
    assert counted["c"] <= 16, counted


async def left_behind(operation: Callable[[], Awaitable[object]]) -> int:
    """How many objects only the collector frees after ``operation``: the least of five runs, for the monitor
    works too.
    """
    await operation()
    counted = []
    gc.disable()
    try:
        for _ in range(5):
            gc.collect()
            await operation()
            counted.append(gc.collect())
    finally:
        gc.enable()
    return min(counted)


def test_an_operation_leaves_nothing_to_the_collector(runner: asyncio.Runner, db: aio.Database) -> None:
    """A cursor that was in a cycle kept its connection and all its rows until the collector came by."""

    async def transaction() -> None:
        async with db.connection() as conn:
            cursor = conn.cursor()
            await cursor.execute("SELECT 1")
            await cursor.fetchall()

    async def function(conn: aio.Connection) -> None:
        await conn.execute("SELECT 1")

    assert runner.run(left_behind(lambda: db.execute("SELECT 1"))) == 0
    assert runner.run(left_behind(transaction)) == 0
    assert runner.run(left_behind(lambda: db.run(function))) == 0
