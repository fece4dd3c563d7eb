"""`close(timeout=)` waits for what is in use, in both APIs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from clustersql import Cluster, ConfigError, PoolClosed


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", async_driver="aiosqlite", max_size=3)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    cluster.close()


@pytest.mark.parametrize("close", [Cluster.close, lambda cluster, timeout: cluster.open().close(timeout)])
def test_it_waits_for_what_is_in_use(cluster: Cluster, close: Callable[[Cluster, float], None]) -> None:
    db = cluster.open()
    conn = db.connection()
    closing = threading.Thread(target=close, args=(cluster, 60.0))
    closing.start()
    assert eventually(lambda: db.closed)
    with pytest.raises(PoolClosed):
        db.connection()
    conn.cursor().execute("CREATE TABLE t (n)")  # what is in hand goes on
    assert closing.is_alive()
    conn.close()
    closing.join(30)
    assert not closing.is_alive()
    assert db.stats()["size"] == 0


def test_it_waits_no_longer_than_it_was_told(cluster: Cluster) -> None:
    db = cluster.open()
    with db.connection() as conn:
        db.close(timeout=0.05)
        conn.cursor().execute("CREATE TABLE t (n)")
    assert db.stats()["size"] == 0


def test_in_asyncio(cluster: Cluster) -> None:
    async def main() -> None:
        db = cluster.aopen()
        conn = await db.connection()
        closing = asyncio.ensure_future(db.close(timeout=60.0))
        while not db.closed:
            await asyncio.sleep(0)
        with pytest.raises(PoolClosed):
            await db.connection()
        await conn.cursor().execute("CREATE TABLE t (n)")
        assert not closing.done()
        await conn.close()
        await closing
        assert db.stats()["size"] == 0

    asyncio.run(main())


def test_in_asyncio_it_waits_no_longer_than_it_was_told(cluster: Cluster) -> None:
    async def main() -> None:
        db = cluster.aopen()
        async with db.connection() as conn:
            await db.close(timeout=0.05)
            await conn.cursor().execute("CREATE TABLE t (n)")
        assert db.stats()["size"] == 0

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [-1, "1", True, float("inf")])
def test_a_timeout_that_is_none(cluster: Cluster, timeout: float) -> None:
    told = r"close\(\): timeout: must be a number of seconds from 0 to a year, or None"
    with pytest.raises(ConfigError, match=told):
        cluster.close(timeout)
    with pytest.raises(ConfigError, match=told):
        cluster.open().close(timeout)
    with pytest.raises(ConfigError, match=told):
        asyncio.run(cluster.aopen().close(timeout))
