"""A driver that swallows a cancellation and returns as if nothing had been: the task ends as cancelled, and nothing
follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.fake import FakeCursor, FakeDriver, Raw, fake_cluster

from clustersql import TransactionLost, aio
from clustersql.connection.interruption import ANSWERED, COMMITTED


class Swallowing(FakeDriver):
    """Ends each call of the server's, whatever happens to its task.  ``at``: where the task is cancelled."""

    at = ""

    async def ends(self, what: str, raw: Raw) -> None:
        if what == self.at:
            self.at = ""
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60.0)
        self.executed.append(what)

    async def cursor(self, raw: Raw, args: Any, kwargs: Any) -> FakeCursor:
        return SwallowingCursor(raw)

    async def commit(self, raw: Raw) -> bool:
        await self.ends("COMMIT", raw)
        raw.in_transaction = False
        return True

    async def rollback(self, raw: Raw) -> None:
        await self.ends("ROLLBACK", raw)
        raw.in_transaction = False

    async def set_autocommit(self, raw: Raw, on: bool) -> None:
        await self.ends("the mode", raw)
        raw.autocommit = on


class Vouched(Swallowing):
    """Its adapter says so, so that the shortest way is looked at too."""

    outlives_cancellation = True


class SwallowingCursor(FakeCursor):
    async def execute(self, operation: Any, parameters: Any = None, /) -> FakeCursor:
        self.raw.in_transaction = not self.raw.autocommit
        driver: Any = self.raw.driver
        await driver.ends(operation, self.raw)
        self.rows, self.description, self.rowcount = [(operation,)], (("text",),), 1
        return self

    async def fetchall(self) -> Any:
        driver: Any = self.raw.driver
        await driver.ends("fetch", self.raw)
        return await super().fetchall()


def ended(driver: Swallowing, work: Callable[[aio.Database], Awaitable[Any]]) -> BaseException | None:
    """Return how a task ends that does ``work``."""

    async def main() -> BaseException | None:
        cluster, _ = fake_cluster("a", driver=driver)
        async with cluster.aopen() as db:
            task = asyncio.ensure_future(work(db))
            await asyncio.wait([task])
            return error_of(task)

    return asyncio.run(main())


def error_of(task: asyncio.Future[Any]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as exc:
        return exc


async def one(conn: aio.Connection) -> None:
    cursor = conn.cursor()
    await cursor.execute("INSERT 1")
    await cursor.execute("INSERT 1")
    await cursor.fetchall()


async def in_block(db: aio.Database) -> None:
    async with db.connection() as conn:
        await one(conn)


async def in_run(db: aio.Database) -> None:
    await db.run(one)


@pytest.mark.parametrize("work", [in_block, in_run])
@pytest.mark.parametrize("at", ["INSERT 1", "fetch"])
def test_nothing_is_committed_after_it(work: Any, at: str) -> None:
    driver = Vouched()
    driver.at = at
    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert "COMMIT" not in driver.executed


@pytest.mark.parametrize("work", [in_block, in_run])
def test_a_statement_not_seen_before_is_looked_at_on_any_driver(work: Any) -> None:
    driver = Swallowing()
    driver.at = "INSERT 1"
    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert "COMMIT" not in driver.executed


@pytest.mark.parametrize("text", [False, True])
def test_a_commit_has_happened_and_says_so(text: bool) -> None:
    driver, called, caught = Swallowing(), [], []
    driver.at = "COMMIT"

    async def work(db: aio.Database) -> None:
        async with db.connection() as conn:
            conn.on_commit(lambda: called.append("hook"))
            await conn.execute("INSERT 1")
            try:
                await (conn.execute("COMMIT") if text else conn.commit())
            except asyncio.CancelledError as exc:
                caught.extend(exc.__notes__)
                raise

    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert called == ["hook"]
    assert caught == [COMMITTED]


def test_a_write_alone_has_happened_and_says_so() -> None:
    driver, notes = Swallowing(), []
    driver.at = "INSERT 1"

    async def work(db: aio.Database) -> None:
        try:
            await db.execute("INSERT 1")
        except asyncio.CancelledError as exc:
            notes.extend(exc.__notes__)
            raise

    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert notes == [ANSWERED]


def test_a_connection_that_is_made_ready_is_not_handed_out() -> None:
    driver = Swallowing()
    driver.at = "the mode"
    assert isinstance(ended(driver, lambda db: db.execute("INSERT 1")), asyncio.CancelledError)
    assert driver.executed == ["the mode"]


def test_a_rollback_ends_as_cancelled() -> None:
    driver, reached = Swallowing(), []
    driver.at = "ROLLBACK"

    async def work(db: aio.Database) -> None:
        conn = await db.connection()
        try:
            await conn.execute("INSERT 1")
            await conn.rollback()
            reached.append("what follows")
        finally:
            await conn.close()

    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert reached == []


@pytest.mark.parametrize("how", ["block", "run"])
def test_a_rollback_at_the_return_ends_as_cancelled(how: str) -> None:
    """Also where it follows an error of the program's own."""
    driver = Swallowing()
    driver.at = "ROLLBACK"

    async def fails(conn: aio.Connection) -> None:
        await conn.execute("INSERT 1")
        raise LookupError

    async def work(db: aio.Database) -> None:
        if how == "run":
            await db.run(fails)
        async with db.connection() as conn:
            await fails(conn)

    assert isinstance(ended(driver, work), asyncio.CancelledError)


def test_what_is_caught_loses_its_transaction() -> None:
    driver = Swallowing()
    driver.at = "INSERT 1"

    async def work(db: aio.Database) -> None:
        async with db.connection() as conn:
            try:
                await conn.execute("INSERT 1")
            except asyncio.CancelledError:
                await conn.execute("INSERT 2")

    assert isinstance(ended(driver, work), TransactionLost)
    assert "COMMIT" not in driver.executed


def test_a_count_that_was_raised_before_is_no_proof() -> None:
    """A failed TaskGroup leaves it raised until Python 3.13; and a program may catch a cancellation, and go on."""
    driver = Vouched()

    async def fails() -> None:
        raise LookupError

    async def work(db: aio.Database) -> None:
        async with db.connection() as conn:
            await one(conn)
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    await asyncio.sleep(60.0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(60.0)
            await one(conn)

    assert ended(driver, work) is None
    assert driver.executed[-1] == "COMMIT"


def test_one_that_is_still_to_come_is_left_to_come() -> None:
    driver, steps = Vouched(), []

    async def work(db: aio.Database) -> None:
        async with db.connection() as conn:
            await conn.execute("INSERT 1")
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            steps.append("asked")
            await asyncio.sleep(0)
            steps.append("not reached")

    assert isinstance(ended(driver, work), asyncio.CancelledError)
    assert steps == ["asked"]
