"""The contenders of `concurrency` with tasks: each is one coroutine function, awaited by many tasks at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import clustersql

from .peers import missing
from .pools import Places

DRIVERS = ("psycopg", "asyncpg", "aiomysql")
Task = Callable[[], Awaitable[object]]


class Bare:
    """A hand-off pool and nothing else: raw connections, the latest first, and a future per waiter, served in the order
    of coming.
    """

    def __init__(self, idle: list[Any]) -> None:
        self._idle = idle
        self._waiters: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()

    async def take(self) -> Any:
        """Return a connection."""
        if self._idle:
            return self._idle.pop()
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        return await waiter

    def give(self, connection: Any) -> None:
        """Hand it to the first who waits."""
        if self._waiters:
            self._waiters.popleft().set_result(connection)
        else:
            self._idle.append(connection)


async def contenders(
    driver: str, places: Places, connections: int, nodes: Sequence[int], stack: AsyncExitStack
) -> dict[str, Task]:
    """Return the contenders with this driver, each with so many connections; ours over each number of nodes."""
    asked = _ASKED[driver]
    idle = [await _connected(driver, places, stack) for _ in range(connections)]
    found: dict[str, Task] = {"bare pool": _through(Bare(idle), asked)}
    for count in nodes if driver != "aiomysql" else (1,):
        found |= await _ours(driver, places, count, connections, stack)
    return found | await _PEERS[driver](places, connections, stack)


def _through(pool: Bare, asked: Callable[[Any], Awaitable[object]]) -> Task:
    async def call() -> object:
        connection = await pool.take()
        try:
            return await asked(connection)
        finally:
            pool.give(connection)

    return call


async def _connected(driver: str, places: Places, stack: AsyncExitStack) -> Any:
    if driver == "psycopg":
        import psycopg

        connection: Any = await psycopg.AsyncConnection.connect(places.postgres[0], autocommit=True)
        stack.push_async_callback(connection.close)
    elif driver == "asyncpg":
        import asyncpg

        connection = await asyncpg.connect(places.postgres[0])
        stack.push_async_callback(connection.close)
    else:
        import aiomysql

        connection = await aiomysql.connect(**_mariadb(places), autocommit=True)
        stack.callback(connection.close)
    return connection


def _mariadb(places: Places) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": places.mariadb, "user": "app", "password": "secret", "db": "app"}


async def _psycopg(connection: Any) -> object:
    return await (await connection.execute("SELECT 1")).fetchall()


async def _asyncpg(connection: Any) -> object:
    return await connection.fetch("SELECT 1")


async def _aiomysql(connection: Any) -> object:
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT 1")
        return await cursor.fetchall()


async def _ours(driver: str, places: Places, count: int, connections: int, stack: AsyncExitStack) -> dict[str, Task]:
    cluster = clustersql.Cluster("bench", async_driver=driver, read_only=True, max_size=connections)
    if driver == "aiomysql":
        fields = _mariadb(places)
        cluster.add_node("n0", database=fields.pop("db"), **fields)
    for number, dsn in enumerate(places.postgres[:count] if driver != "aiomysql" else ()):
        cluster.add_node(f"n{number}", dsn)
    db = await stack.enter_async_context(cluster.aopen())

    async def call() -> object:
        return (await db.execute("SELECT 1")).fetchall()

    return {f"clustersql, {count} node{'s'[: count > 1]}: db.execute": call}


async def _psycopg_pool(places: Places, connections: int, stack: AsyncExitStack) -> dict[str, Task]:
    try:
        from psycopg_pool import AsyncConnectionPool
    except ImportError:
        missing("psycopg_pool")
        return {}
    pool = AsyncConnectionPool(
        places.postgres[0],
        min_size=connections,
        max_size=connections,
        kwargs={"autocommit": True},
        timeout=60.0,
        open=False,
    )
    await stack.enter_async_context(pool)
    await pool.wait()

    async def call() -> object:
        async with pool.connection() as connection:
            return await _psycopg(connection)

    return {"psycopg_pool": call}


async def _asyncpg_pool(places: Places, connections: int, stack: AsyncExitStack) -> dict[str, Task]:
    import asyncpg

    async def keep(connection: Any) -> None:
        """In place of its reset, which is a round trip."""

    found: dict[str, Task] = {}
    for name, options in (("asyncpg's pool", {}), ("asyncpg's pool without its reset", {"reset": keep})):
        pool = await asyncpg.create_pool(places.postgres[0], min_size=connections, max_size=connections, **options)
        stack.push_async_callback(pool.close)
        found[name] = _acquired(pool.acquire, _asyncpg)
    return found | await _hasql(places, connections, stack)


async def _hasql(places: Places, connections: int, stack: AsyncExitStack) -> dict[str, Task]:
    try:
        from hasql.driver.asyncpg import PoolManager
    except ImportError:
        missing("hasql")
        return {}
    factory = {"min_size": connections, "max_size": connections}
    pool = PoolManager(places.postgres[0], fallback_master=True, pool_factory_kwargs=factory)
    stack.push_async_callback(pool.close)
    await pool.ready()
    return {"hasql": _acquired(pool.acquire_master, _asyncpg)}


async def _aiomysql_pool(places: Places, connections: int, stack: AsyncExitStack) -> dict[str, Task]:
    import aiomysql

    pool = await aiomysql.create_pool(minsize=connections, maxsize=connections, autocommit=True, **_mariadb(places))
    stack.push_async_callback(pool.wait_closed)
    stack.callback(pool.close)
    return {"aiomysql's pool": _acquired(pool.acquire, _aiomysql)}


def _acquired(acquire: Callable[[], Any], asked: Callable[[Any], Awaitable[object]]) -> Task:
    async def call() -> object:
        async with acquire() as connection:
            return await asked(connection)

    return call


_ASKED = {"psycopg": _psycopg, "asyncpg": _asyncpg, "aiomysql": _aiomysql}
_PEERS = {"psycopg": _psycopg_pool, "asyncpg": _asyncpg_pool, "aiomysql": _aiomysql_pool}
