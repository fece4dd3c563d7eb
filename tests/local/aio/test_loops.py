"""Event loops: several at once, each with its own pool and monitor; what happens at their ends; one knowledge of the
nodes.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest
from support.fake import FakeDriver, fake_cluster

from clustersql import Cluster, ConfigError, PoolClosed
from clustersql.core.view.node import Reach


def test_nothing_is_bound_to_a_loop_before_it_runs() -> None:
    """Cluster, Database and its views are made outside; used in two loops, one after the other."""
    cluster, driver = fake_cluster()
    db = cluster.aopen().options(timeout=5.0)

    async def use() -> int:
        async with db:
            await db.execute("SELECT 1")
            return id(db._pool())

    assert asyncio.run(use()) != 0
    assert asyncio.run(use()) != 0
    assert not driver.open


def test_several_loops_at_once() -> None:
    """Four threads, each with a loop: four pools, four monitor tasks, and no connection goes from one to another."""
    cluster, driver = fake_cluster(max_size=2)
    db = cluster.aopen()
    pools: list[Any] = []
    monitors: list[str] = []
    barrier = threading.Barrier(4)

    async def use() -> None:
        async with db:
            await asyncio.gather(*(db.execute("SELECT 1") for _ in range(20)))
            pools.append(db._pool())
            barrier.wait(10)
            monitors.extend(t.get_name() for t in asyncio.all_tasks() if t.get_name() == "clustersql-monitor")
            assert cluster.metrics()["Pool"]["MaxSize"] == 8
            barrier.wait(10)

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({id(pool) for pool in pools}) == 4
    assert monitors == ["clustersql-monitor"] * 4
    assert not driver.open


def test_what_one_loop_learns_the_others_know() -> None:
    """A node that died is known to the pool of another loop without a dial of its own."""
    cluster, driver = fake_cluster("a", "b", probe_interval=100.0, breaker_base=100.0, breaker_cap=100.0)
    db = cluster.aopen()
    ready, learned, told = threading.Event(), threading.Event(), threading.Event()

    async def first() -> None:
        async with db:
            await db.execute("SELECT 1")
            ready.set()
            await asyncio.to_thread(learned.wait, 10)
            driver.dials.clear()
            async with db.connection() as conn:
                assert conn.node == "b"
            assert "a" not in driver.dials
            told.set()

    async def second() -> None:
        async with db:
            await asyncio.to_thread(ready.wait, 10)
            driver.dead.add("a")
            await db.options(idempotent=True).execute("SELECT 1")
            while cluster.view.by_name["a"].reach is not Reach.DOWN:
                await asyncio.sleep(0.001)
            learned.set()
            await asyncio.to_thread(told.wait, 10)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert told.is_set()


@pytest.mark.parametrize("end", ["asyncio.run", "loop.close"])
def test_loop_that_ends_with_the_pool_open(end: str) -> None:
    """A warning that names the cluster, and nothing stays open."""
    cluster, driver = fake_cluster()

    async def use() -> None:
        await cluster.aopen().execute("SELECT 1")
        assert driver.open

    def run() -> None:
        if end == "asyncio.run":
            asyncio.run(use())
        else:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(use())
            loop.close()
            del loop
        gc.collect()

    with pytest.warns(ResourceWarning, match="database of cluster 'fake' was open"):
        run()
    assert not driver.open
    assert cluster.metrics()["Pool"].get("Closed", True)


def test_pool_that_is_collected_before_the_monitor_of_its_closed_loop() -> None:
    """The garbage collector has an order of its own: the monitor may wait still, and cannot be woken any more."""
    cluster, driver = fake_cluster()

    async def use() -> Any:
        db = cluster.aopen()
        await db.execute("SELECT 1")
        await asyncio.sleep(0.05)  # the monitor waits
        return db._pool()

    loop = asyncio.new_event_loop()
    pool = loop.run_until_complete(use())
    loop.close()
    with pytest.warns(ResourceWarning, match="database of cluster 'fake' was open"):
        pool.forsaken()
    assert not driver.open


def test_forgotten_connection_is_reclaimed() -> None:
    """Neither closed nor kept: a warning that says where it was checked out, and its room is free again."""

    async def main() -> None:
        cluster, driver = fake_cluster(max_size=1)
        async with cluster.aopen() as db:
            kept = [await db.connection()]
            with pytest.warns(ResourceWarning, match=r"checked out at .*test_loops\.py:\d+, was never closed"):
                kept.clear()
            assert (await db.execute("SELECT 1")).fetchall() == [("SELECT 1",)]
        assert not driver.open

    asyncio.run(main())


def test_closed_database() -> None:
    """Closed twice is no error; used afterwards it is; who waits is told; opened anew it works."""

    async def main() -> None:
        cluster, _ = fake_cluster("a", max_size=1)
        db = cluster.aopen()
        conn = await db.connection()
        waiter = asyncio.ensure_future(db.execute("SELECT 1"))
        await asyncio.sleep(0.01)
        await db.close()
        await db.close()
        with pytest.raises(PoolClosed):
            await waiter
        with pytest.raises(PoolClosed):
            await db.execute("SELECT 1")
        await conn.close()
        async with cluster.aopen() as again:
            assert (await again.execute("SELECT 1")).fetchall() == [("SELECT 1",)]

    asyncio.run(main())


def test_monitor_that_dies_is_started_anew(caplog: pytest.LogCaptureFixture) -> None:
    """An error that gets out of it is logged, and the next round comes all the same."""

    async def main() -> None:
        cluster, _ = fake_cluster(probe_interval=0.001)
        async with cluster.aopen() as db:
            await db.execute("SELECT 1")
            monitor = db._pool().monitor
            round_, monitor._round = monitor._round, lambda: 1 / 0  # type: ignore[method-assign]
            await asyncio.sleep(0.05)
            monitor._round = round_  # type: ignore[method-assign]
            before = monitor.last_ran
            await asyncio.sleep(0.1)
            assert monitor.alive
            assert monitor.last_ran > before

    asyncio.run(main())
    assert any("the monitor died" in record.message for record in caplog.records)


def test_passwords_are_asked_for_by_every_kind_of_function() -> None:
    """An async function is awaited; any other runs in a thread, so that a slow one does not block the loop."""
    given: list[Any] = []

    class Noting(FakeDriver):
        async def connect(self, target: Any, timeout: float) -> Any:
            given.append(target.password)
            return await super().connect(target, timeout)

    async def fetch() -> str:
        await asyncio.sleep(0)
        return "one"

    def block() -> str:
        assert threading.current_thread() is not threading.main_thread()
        return "two"

    async def use(password: Any) -> None:
        cluster = Cluster("fake", async_driver=Noting())
        cluster.add_node("a", host="a", password=password)
        async with cluster.aopen() as db:
            await db.execute("SELECT 1")

    for password in (fetch, block):
        asyncio.run(use(password))
    assert {"one", "two"} == set(given)


def test_password_function_that_gives_no_text() -> None:
    """The error says which node, and at once."""

    async def main() -> None:
        cluster, _ = fake_cluster("a")
        cluster.add_node("z", host="z", password=lambda: 7)
        async with cluster.aopen() as db:
            with pytest.raises(Exception, match="node 'z': the password function must return a text or None, not int"):
                await db.options(node="z").execute("SELECT 1")

    asyncio.run(main())


def test_on_connect_may_be_async() -> None:
    """It is called with each new connection before it is used."""
    seen: list[Any] = []

    async def greet(raw: Any) -> None:
        await asyncio.sleep(0)
        seen.append(raw)

    async def main() -> None:
        cluster, _ = fake_cluster("a", on_connect=greet)
        async with cluster.aopen() as db, db.connection() as conn:
            assert conn.driver_connection in seen

    asyncio.run(main())


def test_cluster_without_an_async_driver() -> None:
    """The error says what to give."""
    cluster = Cluster("lite", driver="sqlite3")
    cluster.add_node("file", "sqlite:///:memory:")
    with pytest.raises(ConfigError, match="'lite' has no driver for asyncio: give async_driver="):
        cluster.aopen()


def test_cluster_without_any_driver() -> None:
    """And so does this one."""
    with pytest.raises(ConfigError, match="give driver=, async_driver=, or both"):
        Cluster("none")


def test_cluster_for_asyncio_only_refuses_threads() -> None:
    """And this one."""
    cluster, _ = fake_cluster()
    with pytest.raises(ConfigError, match="no driver for threads: give driver="):
        cluster.open()


def test_importing_clustersql_does_not_import_asyncio() -> None:
    """Users of threads pay nothing for it."""
    code = "import sys, clustersql; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_driver_s_own_methods_are_counted_and_recovered() -> None:
    """What the adapter names in ``methods`` goes on elsewhere after a loss, like `execute`."""

    async def fetch(raw: Any, query: str, *args: Any) -> list[Any]:
        await raw.call()
        return [query, *args]

    async def main() -> None:
        cluster, driver = fake_cluster()
        driver.methods = {"fetch": fetch}
        async with cluster.aopen() as db, db.connection() as conn:
            assert await conn.fetch("SELECT", 1) == ["SELECT", 1]
            await conn.commit()
            driver.dead.add("a")
            assert await conn.fetch("SELECT", 2) == ["SELECT", 2]
            assert conn.node == "b"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_our_own_standstill_condemns_nobody() -> None:
    """The loop is blocked for longer than every patience, with a dial, a probe and a statement under way: no node is
    called down for it.
    """

    async def main() -> None:
        cluster, _ = fake_cluster(stall_after=0.3, probe_interval=0.01, connect_timeout=0.3)
        states: set[Any] = set()
        cluster._topology.listeners.append(lambda view: states.update(node.reach for node in view))
        async with cluster.aopen() as db:
            await db.execute("SELECT 1")
            for round_ in range(5):
                work = [asyncio.ensure_future(db.execute("SELECT 1")) for _ in range(3)]
                for _ in range(round_):
                    await asyncio.sleep(0)
                time.sleep(0.9)
                await asyncio.gather(*work)
                await asyncio.sleep(0.02)
            assert db.stats()["hung"] == 0
        assert states <= {Reach.UP, Reach.UNKNOWN}, states

    asyncio.run(main())


def test_idle_connection_that_died_is_not_handed_to_who_waits() -> None:
    """It lay idle and dead when a dial of its node began: the caller who waits is given a new one, not its corpse."""

    async def main() -> None:
        cluster, driver = fake_cluster("a", max_size=2)
        async with cluster.aopen() as db:
            await db.execute("INSERT 1")
            (dead,) = [raw for raw in driver.open if raw in [s.raw for s in db._pool()._book.shelves["a"].idle]]
            driver.terminate(dead)
            pool = db._pool()
            session = await pool._open(db._single, time.monotonic() + 5.0, None)
            assert session.raw is dead  # this is how it comes
            pool.give_back(session)
            take, pool._book.take = pool._book.take, lambda *_: None  # type: ignore[method-assign]
            try:
                assert (await db.execute("INSERT 2")).fetchall() == [("INSERT 2",)]
            finally:
                pool._book.take = take  # type: ignore[method-assign]

    asyncio.run(main())
