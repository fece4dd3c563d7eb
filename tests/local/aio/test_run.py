"""Who may call ``run``, with what, and what follows its commit: the asyncio API.  `sync.test_run` has the twin."""

from __future__ import annotations

import asyncio
import functools
import gc
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustersql import Cluster, ConfigError, PoolClosed, aio

Body = Callable[[aio.Database], Awaitable[None]]


@pytest.fixture
def on(tmp_path: Path) -> Callable[[Body], None]:
    """Await a test's body with the database of a file, with two connections: what needs a third would wait."""
    cluster = Cluster("file", async_driver="aiosqlite", max_size=2, timeout=10)
    cluster.add_node("file", f"sqlite:///{tmp_path}/running.db")

    async def main(body: Body) -> None:
        async with cluster.aopen() as db:
            await db.execute("CREATE TABLE t (n INTEGER UNIQUE)")
            await body(db)

    return lambda body: asyncio.run(main(body))


async def numbers(db: aio.Database) -> list[int]:
    return [n for (n,) in await db.execute("SELECT n FROM t ORDER BY n")]


async def record(conn: Any, n: int) -> int:
    await conn.execute("INSERT INTO t VALUES (?)", (n,))
    return n


# -- who may call it ---------------------------------------------------------------------------------------------------


def test_inside_the_function_it_is_refused(on: Callable[[Body], None]) -> None:
    async def body(db: aio.Database) -> None:
        async def inner(conn: Any) -> None:
            await db.options(timeout=5).run(record, 1)

        with pytest.raises(ConfigError, match=r"inside db.run\(\)"):
            await db.run(inner)
        assert await numbers(db) == []
        assert await db.run(record, 1) == 1

    on(body)


def test_a_task_of_the_function_has_a_run_of_its_own(on: Callable[[Body], None]) -> None:
    """While the function is called, and when it is over; also one that the loop has called back."""

    async def body(db: aio.Database) -> None:
        over, tasks = asyncio.Event(), []

        async def read(conn: Any) -> Any:
            return await (await conn.execute("SELECT 7")).fetchone()

        async def later() -> int:
            await over.wait()
            return await db.run(record, 2)

        async def work(conn: Any) -> None:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(db.run(read))
            assert task.result() == (7,)
            await record(conn, 1)
            tasks.append(asyncio.create_task(later()))
            asyncio.get_running_loop().call_soon(lambda: tasks.append(asyncio.create_task(db.run(read))))

        await db.run(work)
        over.set()
        assert await asyncio.gather(*tasks) == [2, (7,)]
        assert await numbers(db) == [1, 2]

    on(body)


def test_the_threads_api_in_a_thread_of_the_function(tmp_path: Path) -> None:
    """One cluster, both APIs: neither takes the other's run for its own."""
    cluster = Cluster("both", driver="sqlite3", async_driver="aiosqlite")
    cluster.add_node("file", f"sqlite:///{tmp_path}/both.db")

    async def main() -> None:
        async with cluster.aopen() as db:
            with cluster.open() as threads:

                def one(conn: Any) -> Any:
                    return conn.execute("SELECT 7").fetchone()

                async def work(conn: Any) -> Any:
                    return await asyncio.to_thread(threads.run, one), threads.run(one)

                assert await db.run(work) == ((7,), (7,))

    asyncio.run(main())


@pytest.mark.parametrize("ending", ["run", "with", "commit", "text"])
def test_a_task_that_a_hook_starts_may_run(on: Callable[[Body], None], ending: str) -> None:
    """And with the connection that has committed, when all others are in use."""

    async def body(db: aio.Database) -> None:
        tasks: list[asyncio.Task[int]] = []

        async def work(conn: Any) -> None:
            conn.on_commit(lambda: tasks.append(asyncio.create_task(db.run(record, 2))))
            await record(conn, 1)
            if ending == "commit":
                await conn.commit()
            elif ending == "text":
                await conn.execute("COMMIT")

        async with db.connection() as other:
            await other.execute("SELECT 1")
            if ending == "with":
                async with db.connection() as conn:
                    await work(conn)
            else:
                await db.run(work)
            assert await tasks[0] == 2
        assert await numbers(db) == [1, 2]

    on(body)


# -- with what ---------------------------------------------------------------------------------------------------------


async def later(conn: Any) -> None:
    raise AssertionError("executed")


async def both(conn: Any) -> AsyncIterator[int]:
    yield await record(conn, 1)


def one_by_one(conn: Any) -> Iterator[int]:
    yield 1


class Later:
    async def __call__(self, conn: Any) -> int:
        return await record(conn, 1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (one_by_one, "a generator function, one_by_one"),
        (functools.partial(both), "an async generator function, both"),
        (None, "takes a function, not 'NoneType'"),
    ],
)
def test_what_cannot_be_awaited_is_refused_beforehand(on: Callable[[Body], None], function: Any, words: str) -> None:
    async def body(db: aio.Database) -> None:
        before = db.stats()["nodes"]["file"]["checkouts"]
        with pytest.raises(ConfigError, match=words):
            await db.run(function)
        assert db.stats()["nodes"]["file"]["checkouts"] == before

    on(body)


def test_a_coroutine_in_place_of_the_function_is_told_what_to_give(on: Callable[[Body], None]) -> None:
    async def body(db: aio.Database) -> None:
        work = record(None, 1)
        with pytest.raises(ConfigError, match="give the function itself"):
            await db.run(work)  # type: ignore[arg-type]
        work.close()

    on(body)


@pytest.mark.parametrize(
    "function",
    [
        Later(),
        functools.partial(record, n=1),
        lambda conn: record(conn, 1),
        lambda conn: asyncio.create_task(record(conn, 1)),
    ],
    ids=["object", "partial", "lambda", "task"],
)
def test_whatever_can_be_awaited_is(on: Callable[[Body], None], function: Any) -> None:
    async def body(db: aio.Database) -> None:
        assert await db.run(function) == 1
        assert await numbers(db) == [1]

    on(body)


@pytest.mark.parametrize("inner", [later, both], ids=["coroutine", "async-generator"])
def test_what_has_executed_nothing_is_not_committed(on: Callable[[Body], None], inner: Any) -> None:
    """The function has forgotten an ``await``, or is a plain one."""

    async def body(db: aio.Database) -> None:
        async def work(conn: Any) -> Any:
            await record(conn, 1)
            return inner(conn)

        with pytest.raises(ConfigError, match="nothing was executed"):
            await db.run(work)
        with pytest.raises(ConfigError, match="'int', which cannot be awaited"):
            await db.run(lambda conn: 5)  # type: ignore[arg-type, return-value]
        gc.collect()  # a coroutine that nobody has awaited would warn here
        assert await numbers(db) == []

    on(body)


@pytest.mark.parametrize("function", [later, functools.partial(later), Later(), one_by_one, both])
def test_a_hook_must_be_a_plain_function(on: Callable[[Body], None], function: Any) -> None:
    async def body(db: aio.Database) -> None:
        async def work(conn: Any) -> None:
            await record(conn, 1)
            conn.on_commit(function)

        with pytest.raises(ConfigError, match=r"on_commit\(\).*create_task"):
            await db.run(work)
        assert await numbers(db) == []

    on(body)


# -- hooks that raise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["run", "with", "commit", "text", "block"])
def test_the_later_hooks_are_called_and_nothing_is_run_again(on: Callable[[Body], None], ending: str) -> None:
    async def body(db: aio.Database) -> None:
        told: list[str] = []
        conflict = sqlite3.OperationalError("database is locked")
        conflict.sqlite_errorcode = sqlite3.SQLITE_BUSY

        def fails(error: BaseException) -> None:
            told.append(type(error).__name__)
            raise error

        async def work(conn: Any) -> None:
            told.append("called")
            if ending == "block":
                async with conn.transaction():
                    await with_hooks(conn)
                return
            await with_hooks(conn)
            if ending == "commit":
                await conn.commit()
            elif ending == "text":
                await conn.execute("COMMIT")

        async def with_hooks(conn: Any) -> None:
            await record(conn, 1)
            conn.on_commit(lambda: fails(conflict))
            conn.on_commit(lambda: fails(ValueError("second")))
            conn.on_commit(lambda: later(conn))
            conn.on_commit(lambda: told.append("last"))

        with pytest.raises(sqlite3.OperationalError) as raised:  # noqa: PT012
            if ending == "with":
                async with db.connection() as conn:
                    await work(conn)
            else:
                await db.run(work)
        assert told == ["called", "OperationalError", "ValueError", "last"]
        assert raised.value is conflict
        assert "is committed" in conflict.__notes__[0]
        assert "ValueError: second" in conflict.__notes__[1]
        assert "returned a coroutine" in conflict.__notes__[2]
        assert await numbers(db) == [1]
        assert db.stats()["in_flight"] == 0
        gc.collect()

    on(body)


def test_hooks_are_called_though_the_return_is_cancelled(on: Callable[[Body], None]) -> None:
    """The transaction is committed, whatever befalls the connection's way back to the pool."""

    async def body(db: aio.Database) -> None:
        told: list[str] = []

        async def work(conn: Any) -> None:
            await record(conn, 1)
            conn.on_commit(lambda: told.append("last"))
            original = type(conn).close

            async def close(self: Any) -> None:
                await original(self)
                monkeypatch.undo()
                asyncio.current_task().cancel()  # type: ignore[union-attr]
                await asyncio.sleep(0)

            monkeypatch.setattr(type(conn), "close", close)

        with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(db.run(work))
        assert told == ["last"]

    on(body)


def test_a_handle_that_was_given_back_takes_no_hook(on: Callable[[Body], None]) -> None:
    async def body(db: aio.Database) -> None:
        async def work(conn: Any) -> None:
            conn.on_commit(lambda: conn.on_commit(print))

        with pytest.raises(PoolClosed, match="given back"):
            await db.run(work)

    on(body)
