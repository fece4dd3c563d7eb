"""What a program does first with the asyncio API, right and wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from clustersql import Cluster, aio


def on_a_file(folder: Path, body: Callable[[aio.Database], Awaitable[None]]) -> None:
    """Await ``body`` with the database of a file."""
    cluster = Cluster("file", async_driver="aiosqlite")
    cluster.add_node("file", database=str(folder / "a.db"))

    async def main() -> None:
        async with cluster.aopen() as db:
            await body(db)

    asyncio.run(main())


def test_awaited_or_entered(tmp_path: Path) -> None:
    async def body(db: aio.Database) -> None:
        async with db.connection() as conn:
            assert (await (await conn.execute("SELECT 1")).fetchone()) == (1,)
        conn = await db.connection()
        assert (await (await conn.execute("SELECT 1")).fetchone()) == (1,)
        await conn.close()
        assert db.stats()["in_flight"] == 0

    on_a_file(tmp_path, body)


def test_a_forgotten_await_is_told(tmp_path: Path) -> None:
    async def body(db: aio.Database) -> None:
        with pytest.raises(AttributeError, match=r"'execute': a connection to come has none; await it, or enter it"):
            await db.connection().execute("SELECT 1")

    on_a_file(tmp_path, body)


def test_an_entered_cursor_has_the_driver_s_own_methods_at_once(tmp_path: Path) -> None:
    async def body(db: aio.Database) -> None:
        async with db.connection() as conn, conn.cursor() as cursor:
            assert cursor.arraysize == 1
            await cursor.executescript("CREATE TABLE script (id INTEGER)")
            assert [pin.what for pin in conn.pins] == ["executescript()"]

    on_a_file(tmp_path, body)


def test_a_cursor_that_was_not_entered_says_what_it_waits_for(tmp_path: Path) -> None:
    async def body(db: aio.Database) -> None:
        async with db.connection() as conn:
            with pytest.raises(Exception, match="made by `async with` or the first statement"):
                conn.cursor().executescript("SELECT 1")

    on_a_file(tmp_path, body)
