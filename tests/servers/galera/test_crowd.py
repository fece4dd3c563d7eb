"""Two hundred tasks on three Galera nodes, while nodes are killed, refuse, and are removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from servers.galera.workload import CAUSAL, in_step
from support.crowd import Crowd

from clustersql import Cluster
from clustersql.testing import GaleraCluster

DRIVERS = ["aiomysql", "asyncmy"]


@asynccontextmanager
async def crowd(driver: str, galera: GaleraCluster, **knobs: Any) -> AsyncIterator[Crowd]:
    cluster = Cluster("crowd", async_driver=driver, max_size=20, breaker_base=0.2, breaker_cap=0.5, **knobs)
    for name in galera.nodes:
        cluster.add_node(name, galera.dsn(name))
    async with cluster.aopen() as db:
        load = Crowd(db)
        await load.create()
        await asyncio.to_thread(in_step, galera)
        yield load
        assert db.stats()["in_flight"] == 0


async def finish(load: Crowd, galera: GaleraCluster) -> None:
    alive = next(name for name in galera.nodes if galera.state(name) == "running")
    await load.check(lambda query: galera.execute(alive, f"{CAUSAL} {query}"))


@pytest.mark.parametrize("driver", DRIVERS)
def test_kill_9_of_the_writer(galera: GaleraCluster, driver: str) -> None:
    """Reads see no error; each run is exact."""

    async def main() -> None:
        async with crowd(driver, galera) as load:
            async with load:
                await load.progress()
                await asyncio.to_thread(galera.kill, "n1")
                await load.progress()
            await finish(load, galera)
            assert len(load.told.unknown) <= 20

    asyncio.run(main())


def test_removal_of_the_writer_and_another(galera: GaleraCluster) -> None:
    """Work in progress ends normally: no error at all."""

    async def main() -> None:
        async with crowd("asyncmy", galera) as load:
            async with load:
                await load.progress()
                load.db._cluster.remove_node("n1")
                await load.progress()
                load.db._cluster.remove_node("n3")
                await load.progress()
            await finish(load, galera)
            assert load.told.unknown == set()
            assert list(load.db.stats()["nodes"]) == ["n2"]

    asyncio.run(main())


def test_refusal_and_desync(galera: GaleraCluster) -> None:
    """The writer refuses queries with 1047, then another falls behind on purpose; both come back; no error is seen."""

    async def main() -> None:
        async with crowd("aiomysql", galera) as load:
            async with load:
                await load.progress()
                await asyncio.to_thread(galera.reject_queries, "n1")
                await load.progress()
                await asyncio.to_thread(galera.desync, "n2")
                await load.progress()
                await asyncio.to_thread(galera.reject_queries, "n1", False)
                await asyncio.to_thread(galera.desync, "n2", False)
                await load.progress()
            await finish(load, galera)

    asyncio.run(main())
