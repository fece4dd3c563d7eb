"""Many asyncio tasks over three nodes, against the driver alone on one node with as many connections."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import clustersql
from clustersql.testing import PostgresCluster

from .measure import Group, row

TASKS = (1, 10, 100, 1000)
CONNECTIONS = 60
"""At most so many connections for all the tasks: more tasks than that wait for one, with the driver alone in an
`asyncio.Queue`.
"""

Task = Callable[[], Awaitable[object]]


def run(quick: bool) -> Iterator[Group]:
    """Yield, per driver, the operations per second and the client's CPU per operation."""
    with PostgresCluster(3) as servers, asyncio.Runner() as runner:
        yield from runner.run(_driver("asyncpg", servers, quick))
        yield from runner.run(_driver("psycopg", servers, quick))


async def _driver(driver: str, servers: PostgresCluster, quick: bool) -> list[Group]:
    rate = Group(f"SELECT 1 in a loop by so many tasks, {driver}", "operations per second", [])
    load = Group(f"CPU of the client per operation, {driver}", "us", [])
    seconds, times = (0.2, 1) if quick else (0.5, 5)
    for count in TASKS:
        async with AsyncExitStack() as stack:
            connections = min(count, CONNECTIONS)
            ways = {
                f"{count} tasks: {driver}, one node, {connections} connections": await _raw(
                    driver, servers.dsn("n1"), connections, stack
                ),
                f"{count} tasks: clustersql.aio, three nodes, {connections} connections": await _ours(
                    driver, servers, connections, stack
                ),
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(times):
                for name in random.sample(list(ways), len(ways)):
                    found[name].append(await _load(ways[name], count, seconds))
        for name, values in found.items():
            rate.rows.append(row(name, [value for value, _ in values]))
            load.rows.append(row(name, [value for _, value in values]))
    return [rate, load]


async def _raw(driver: str, dsn: str, count: int, stack: AsyncExitStack) -> Task:
    """Connections of the driver, handed from task to task without a look at them."""
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(count):
        connection, call = await _connected(driver, dsn)
        stack.push_async_callback(connection.close)
        idle.put_nowait(call)

    async def task() -> None:
        call = await idle.get()
        await call()
        idle.put_nowait(call)

    return task


async def _connected(driver: str, dsn: str) -> tuple[Any, Task]:
    if driver == "asyncpg":
        import asyncpg

        connection = await asyncpg.connect(dsn)
        return connection, lambda: connection.fetch("SELECT 1")
    import psycopg

    session = await psycopg.AsyncConnection.connect(dsn, autocommit=True)

    async def call() -> object:
        return await (await session.execute("SELECT 1")).fetchall()

    return session, call


async def _ours(driver: str, servers: PostgresCluster, count: int, stack: AsyncExitStack) -> Task:
    cluster = clustersql.Cluster("bench", async_driver=driver, read_only=True, max_size=count)
    for name in servers.nodes:
        cluster.add_node(name, servers.dsn(name))
    db = await stack.enter_async_context(cluster.aopen())

    async def task() -> object:
        return (await db.execute("SELECT 1")).fetchall()

    return task


async def _load(task: Task, count: int, seconds: float) -> tuple[float, float]:
    """Return operations per second, and the client's CPU per operation in microseconds."""
    over = False

    async def work() -> int:
        done = 0
        while not over:
            await task()
            done += 1
        return done

    await asyncio.gather(*(task() for _ in range(count)))  # connections are opened before it counts
    cpu, began = time.process_time(), time.monotonic()
    working = [asyncio.create_task(work()) for _ in range(count)]
    await asyncio.sleep(seconds)
    over = True
    total = max(1, sum(await asyncio.gather(*working)))
    return total / (time.monotonic() - began), (time.process_time() - cpu) / total * 1e6
