"""A handler of Python's own ``signal.signal`` comes in the middle of anything in the loop's thread: what only tells
waits for nothing there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.interrupter import Interrupter, ending

from clustersql import Cluster


def test_what_only_tells_is_told_in_the_middle_of_anything(tmp_path: Path) -> None:
    """Also before there is a pool, and while it is made."""
    cluster = Cluster("interrupted", async_driver="aiosqlite", max_size=2, min_idle=1)
    cluster.add_node("file", f"sqlite:///{tmp_path}/interrupted.db")
    seen: list[dict[str, Any]] = []
    db = cluster.aopen()

    def tells() -> None:
        told = [repr(db), repr(cluster), cluster.nodes, cluster.view, db.closed]
        seen.append(
            db.stats() | {"described": cluster.snapshot().as_dict(), "metrics": cluster.metrics(), "told": told}
        )

    async def main() -> None:
        with Interrupter(tells) as interrupter:
            assert db.stats()["size"] == 0
            await db.execute("SELECT 1")
            async with db.connection() as conn, db.connection() as other:
                await conn.execute("SELECT 1")
                await other.execute("SELECT 2")
            with pytest.raises(cluster.OperationalError):
                await db.execute("SELEKT")

            async def work(conn: Any) -> Any:
                return await (await conn.execute("SELECT 3")).fetchone()

            assert await db.run(work) == (3,)
            await db.close()
        assert interrupter.raised == []

    with ending():
        asyncio.run(main())
    assert len(seen) > 300
    for one in seen:
        assert 0 <= one["in_flight"] <= one["size"] + 1
        assert (one["max_size"], list(one["nodes"])) == (2, ["file"])


def test_a_loop_without_a_pool_is_told_so(tmp_path: Path) -> None:
    """To ask makes none: that would take a lock."""
    cluster = Cluster("unused", async_driver="aiosqlite", max_size=3)
    cluster.add_node("file", f"sqlite:///{tmp_path}/unused.db")
    db = cluster.aopen()

    async def main() -> None:
        stats = db.stats()
        assert (stats["size"], stats["max_size"], stats["nodes"]["file"]["open"], db.closed) == (0, 3, 0, False)
        assert list(cluster._async_pools) == []
        cluster.close()
        assert db.closed

    asyncio.run(main())
