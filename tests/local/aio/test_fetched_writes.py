"""A cancellation while the rows of a write are fetched, in autocommit mode: it is over with its last row only, so
nobody knows.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import clustersql
from clustersql.connection.interruption import CANCELLED

INSERT = "INSERT INTO t (x) VALUES (1), (2), (3) RETURNING x"


async def cancelled_in(cluster: clustersql.Cluster, method: str, autocommit: bool) -> list[str]:
    """Return the notes of the cancellation."""
    async with cluster.aopen() as db:
        await db.execute("CREATE TABLE IF NOT EXISTS t (x INT)")
        async with db.connection() as conn:
            await conn.set_autocommit(autocommit)
            cursor = await conn.execute(INSERT)
            fetching = asyncio.ensure_future(getattr(cursor, method)())
            await asyncio.sleep(0)  # it has asked the driver's thread; that answer comes by the loop, and so after this
            fetching.cancel()
            notes: list[str] = []

            async def ended() -> None:
                try:
                    await fetching
                except asyncio.CancelledError as exc:
                    notes.extend(getattr(exc, "__notes__", ()))

            await ended()
            await conn.rollback()
            return notes


@pytest.mark.parametrize("method", ["fetchone", "fetchmany", "fetchall", "__anext__"])
@pytest.mark.parametrize("autocommit", [True, False])
def test_the_note_says_that_nobody_knows(tmp_path: Path, method: str, autocommit: bool) -> None:
    cluster = clustersql.Cluster("fetched", driver="sqlite3", async_driver="aiosqlite")
    cluster.add_node("file", f"sqlite:///{tmp_path}/fetched.db")
    assert asyncio.run(cancelled_in(cluster, method, autocommit)) == [CANCELLED] * autocommit
    cluster.close()
