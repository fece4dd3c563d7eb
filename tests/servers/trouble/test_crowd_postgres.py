"""Two hundred tasks on a primary and two standbys, while nodes are killed, demoted, deaf, and removed."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvloop
from support.crowd import Crowd

import clustersql
from clustersql.testing import PostgresCluster

STYLES = {"psycopg": "format", "asyncpg": "numeric_dollar"}


@pytest.fixture(params=STYLES)
def driver(request: pytest.FixtureRequest, postgres: PostgresCluster) -> str:
    """Each asyncio driver of PostgreSQL, over a healthy cluster."""
    return str(request.param)


@asynccontextmanager
async def crowd(
    driver: str, postgres: PostgresCluster, nodes: str = "n1 n2 n3", deaf: int = 0, **knobs: Any
) -> AsyncIterator[Crowd]:
    """``deaf``: a port at which nothing ever answers, for a node that comes first."""
    cluster = clustersql.Cluster(
        "crowd", async_driver=driver, max_size=20, breaker_base=0.2, breaker_cap=0.5, on_connect=None, **knobs
    )
    if deaf:
        cluster.add_node("n0", host="127.0.0.1", port=deaf, user="app", password="secret")
    for name in nodes.split():
        cluster.add_node(name, postgres.dsn(name))
    async with cluster.aopen() as db:
        load = Crowd(db, STYLES[driver])
        await load.create(*nodes.split())
        yield load
        assert db.stats()["in_flight"] == 0


def on_primary(postgres: PostgresCluster) -> Callable[[str], list[tuple[Any, ...]]]:
    """Return what asks the node that has all of it."""
    return partial(postgres.execute, postgres.primary)


def test_kill_9_of_the_primary(postgres: PostgresCluster, driver: str) -> None:
    """Reads see no error; each run is exact; writers wait for the promotion."""

    async def main() -> Crowd:
        async with crowd(driver, postgres) as load, load:
            await load.progress()
            await asyncio.to_thread(postgres.kill, "n1")
            await asyncio.to_thread(postgres.promote, "n2")
            await load.progress()
        return load

    load = asyncio.run(main())
    asyncio.run(load.check(on_primary(postgres), lost=True))
    assert len(load.told.unknown) <= 20  # one per connection at most: it was at COMMIT


def test_kill_9_of_a_standby(postgres: PostgresCluster, driver: str) -> None:
    """No error at all, and the node comes back into use."""

    async def main() -> Crowd:
        async with crowd(driver, postgres) as load, load:
            await load.progress()
            await asyncio.to_thread(postgres.kill, "n2")
            await load.progress()
            await asyncio.to_thread(postgres.start, "n2")
            await load.progress()
        return load

    load = asyncio.run(main())
    asyncio.run(load.check(on_primary(postgres)))
    assert load.told.unknown == set()


def test_kill_9_of_a_standby_on_uvloop(postgres: PostgresCluster, driver: str) -> None:
    """No error at all, as on asyncio's own loop."""

    async def main() -> Crowd:
        async with crowd(driver, postgres) as load, load:
            await load.progress()
            await asyncio.to_thread(postgres.kill, "n3")
            await load.progress()
        return load

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(main())
    asyncio.run(load.check(on_primary(postgres)))
    assert load.told.unknown == set()


def test_demotion_with_the_sessions_kept(postgres: PostgresCluster, driver: str) -> None:
    """The primary turns read-only in place, for a while: writers wait, readers do not notice."""

    async def main() -> Crowd:
        async with crowd(driver, postgres) as load, load:
            await load.progress()
            await asyncio.to_thread(postgres.set_read_only, "n1")
            await load.progress(writes=0)
            await asyncio.to_thread(postgres.set_read_only, "n1", False)
            await load.progress()
        return load

    load = asyncio.run(main())
    asyncio.run(load.check(on_primary(postgres)))
    assert load.told.unknown == set()


def test_deaf_node_at_connect(postgres: PostgresCluster, driver: str) -> None:
    """A node whose kernel accepts and which never answers, first in the order: the others serve, and no error
    is seen.
    """

    async def main() -> Crowd:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(64)
            port = deaf.getsockname()[1]
            async with crowd(driver, postgres, deaf=port, connect_timeout=3.0) as load, load:
                await load.progress()
        return load

    load = asyncio.run(main())
    asyncio.run(load.check(on_primary(postgres)))
    assert load.told.unknown == set()


def test_removal_of_a_node(postgres: PostgresCluster, driver: str) -> None:
    """A standby is taken out and put back: no error."""

    async def main() -> Crowd:
        async with crowd(driver, postgres) as load, load:
            await load.progress()
            load.db._cluster.remove_node("n3")
            await load.progress()
            load.db._cluster.add_node("n3", postgres.dsn("n3"))
            await load.progress()
        return load

    load = asyncio.run(main())
    asyncio.run(load.check(on_primary(postgres)))
    assert load.told.unknown == set()


def test_cancelled_operations(postgres: PostgresCluster, driver: str) -> None:
    """Thousands of statements, transactions and waits are cancelled at random moments: nothing of them is left here or
    on the server.
    """

    async def operation(load: Crowd, serial: int) -> None:
        if serial % 3 == 0:
            await load.db.run(load.transaction, serial, load.writing[serial % load.writers])
        elif serial % 3 == 1:
            await load.db.options(read_only=True).execute("SELECT pg_sleep(0.01)")
        else:
            async with load.db.connection(read_only=True) as conn:
                await conn.execute("SELECT 1")
                await asyncio.sleep(0.001)

    async def main() -> None:
        rng = random.Random(7)
        async with crowd(driver, postgres, nodes="n1", timeout=60.0) as load:
            cancelled = serial = 0
            while cancelled < 2_000:
                tasks = [asyncio.ensure_future(operation(load, serial + i)) for i in range(50)]
                serial += len(tasks)
                for task in tasks:
                    asyncio.get_running_loop().call_later(rng.random() * 0.02, task.cancel)
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    assert result is None or isinstance(result, asyncio.CancelledError), result
                    cancelled += result is not None
            for _ in range(300):
                stats, names = load.db.stats(), {task.get_name() for task in asyncio.all_tasks()}
                if stats["size"] == stats["idle"] and len(names) == 2:  # the monitor's and this one
                    break
                await asyncio.sleep(0.02)
            assert stats["in_flight"] == stats["waiting"] == 0, stats
            assert stats["size"] == stats["idle"] <= stats["max_size"] == 20
            await load.db.execute("SELECT 1")
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'"
            for _ in range(300):
                [(open_,)] = await asyncio.to_thread(postgres.execute, "n1", sessions)
                if open_ <= load.db.stats()["size"] + 1:  # and the one for probes
                    break
                await asyncio.sleep(0.02)
            assert open_ <= load.db.stats()["size"] + 1

    asyncio.run(main())
