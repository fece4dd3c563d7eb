"""The same under asyncio: asyncpg, aiomysql and psycopg's asynchronous connection, beside their own pools and hasql, on
one CPU.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import clustersql
from clustersql.drivers import ASYNC_NAMES

from .measure import Cpu, Group, Timer, pin, table, undisturbed
from .peers import missing

Task = Callable[[], Awaitable[object]]


def run(quick: bool) -> Iterator[Group]:
    """Yield a table per driver."""
    pin()
    from clustersql.testing import MariaDBServer, PostgresCluster

    with PostgresCluster(1) as server, asyncio.Runner() as runner:
        yield _measured(runner, "psycopg, asynchronous, PostgreSQL", _psycopg, server, quick)
        if "asyncpg" in ASYNC_NAMES:
            yield _measured(runner, "asyncpg, PostgreSQL", _asyncpg, server, quick)
    if "aiomysql" in ASYNC_NAMES:
        with MariaDBServer() as server, asyncio.Runner() as runner:
            yield _measured(runner, "aiomysql, MariaDB", _aiomysql, server, quick)


def _measured(runner: asyncio.Runner, title: str, prepare: Any, server: Any, quick: bool) -> Group:
    stack = AsyncExitStack()
    try:
        tasks: dict[str, Task] = runner.run(prepare(server, stack))
        clock = Cpu(server.pid(server.nodes[0]))
        base = {name: name.replace("clustersql", "the driver") for name in tasks if name.endswith("clustersql")}
        return table(title, {name: timer(runner, task, clock) for name, task in tasks.items()}, base, quick)
    finally:
        runner.run(stack.aclose())


def timer(runner: asyncio.Runner, task: Task, clock: Cpu) -> Timer:
    """Return the timer of a coroutine function, all calls in one run of the loop."""

    async def many(times: int) -> tuple[float, float]:
        wall, began = time.perf_counter(), clock()
        for _ in range(times):
            await task()
        return clock() - began, time.perf_counter() - wall

    def seconds(times: int) -> float:
        clock.look()
        return undisturbed(lambda: runner.run(many(times)))

    return seconds


async def _open(stack: AsyncExitStack, driver: str, dsn: str) -> tuple[Any, Any]:
    cluster = clustersql.Cluster("bench", async_driver=driver)
    cluster.add_node("n1", dsn)
    db = await stack.enter_async_context(cluster.aopen())
    return db, await stack.enter_async_context(db.connection())


def _checkouts(db: Any, statement: Callable[[Any], Awaitable[object]]) -> dict[str, Task]:
    return {
        "checkout + return: clustersql.aio": _checkout(db.connection),
        "checkout, statement, commit, return: clustersql.aio": _borrowed(db.connection, statement),
        "one statement; db.execute: clustersql.aio": lambda: db.execute("SELECT 1"),
    }


def _checkout(connect: Callable[[], Any]) -> Task:
    async def task() -> None:
        async with connect():
            pass

    return task


def _borrowed(connect: Callable[[], Any], statement: Callable[[Any], Awaitable[object]]) -> Task:
    async def task() -> object:
        async with connect() as connection:
            return await statement(connection)

    return task


def _on_cursor(cursor: Any) -> Task:
    async def task() -> object:
        await cursor.execute("SELECT 1")
        return await cursor.fetchone()

    return task


async def _with_cursor(connection: Any) -> object:
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT 1")
        return await cursor.fetchone()


async def _asyncpg(server: Any, stack: AsyncExitStack) -> dict[str, Task]:
    import asyncpg

    dsn = server.dsn("n1")
    raw = await asyncpg.connect(dsn)
    stack.push_async_callback(raw.close)
    pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1))
    db, held = await _open(stack, "asyncpg", dsn)

    async def query(connection: Any) -> object:
        return await connection.fetchval("SELECT 1")

    return {
        "fetchval: the driver": lambda: raw.fetchval("SELECT 1"),
        "fetchval: clustersql": lambda: held.fetchval("SELECT 1"),
        "checkout + return: asyncpg's pool": _checkout(pool.acquire),
        "checkout, statement, return: asyncpg's pool": _borrowed(pool.acquire, query),
        **await _hasql(server, stack, query),
        **_checkouts(db, query),
    }


async def _hasql(server: Any, stack: AsyncExitStack, query: Any) -> dict[str, Task]:
    try:
        from hasql.driver.asyncpg import PoolManager
    except ImportError:
        return missing("hasql")  # type: ignore[return-value]
    manager = PoolManager(f"postgresql://app:secret@127.0.0.1:{server.port('n1')}/app")
    await manager.ready()
    stack.push_async_callback(manager.close)
    return {
        "checkout + return: hasql": _checkout(manager.acquire_master),
        "checkout, statement, return: hasql": _borrowed(manager.acquire_master, query),
    }


async def _psycopg(server: Any, stack: AsyncExitStack) -> dict[str, Task]:
    import psycopg
    from psycopg_pool import AsyncConnectionPool

    dsn = server.dsn("n1")
    raw = await stack.enter_async_context(await psycopg.AsyncConnection.connect(dsn))
    pool = await stack.enter_async_context(AsyncConnectionPool(dsn, min_size=1, open=False))
    db, held = await _open(stack, "psycopg", dsn)
    return {
        "execute + fetchone: the driver": _on_cursor(raw.cursor()),
        "execute + fetchone: clustersql": _on_cursor(held.cursor()),
        "checkout + return: psycopg_pool": _checkout(pool.connection),
        "checkout, statement, commit, return: psycopg_pool": _borrowed(pool.connection, _with_cursor),
        **_checkouts(db, _with_cursor),
    }


async def _aiomysql(server: Any, stack: AsyncExitStack) -> dict[str, Task]:
    import aiomysql

    fields = {"host": "127.0.0.1", "port": server.port(), "user": "app", "password": "secret", "db": "app"}
    raw = await aiomysql.connect(**fields)
    stack.callback(raw.close)
    pool = await stack.enter_async_context(aiomysql.create_pool(minsize=1, **fields))
    db, held = await _open(stack, "aiomysql", server.dsn())
    return {
        "execute + fetchone: the driver": _on_cursor(await raw.cursor()),
        "execute + fetchone: clustersql": _on_cursor(held.cursor()),
        "checkout + return: aiomysql's pool": _checkout(pool.acquire),
        "checkout, statement, return: aiomysql's pool": _borrowed(pool.acquire, _with_cursor),
        **_checkouts(db, _with_cursor),
    }
