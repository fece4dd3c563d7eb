"""Two hundred tasks on one asyncio database while something happens to it, and the proof that each was told the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from clustersql import OutcomeUnknown
from clustersql.aio import Connection, Database

READERS = WRITERS = 100


class Crowd:
    """Half of the tasks read; the other half insert a row of their own each time, in `run`.

    ``mark`` is the driver's first placeholder.  The table ``crowd`` has a column ``tag``.
    """

    def __init__(self, db: Database, mark: str = "%s") -> None:
        self.db = db
        self.insert = f"INSERT INTO crowd (tag) VALUES ({mark})"
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.errors: list[BaseException] = []
        self.reads = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the tasks while the body breaks something."""
        stop = asyncio.Event()
        tasks = [asyncio.ensure_future(self._read(stop)) for _ in range(READERS)]
        tasks += [asyncio.ensure_future(self._write(stop, number)) for number in range(WRITERS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 60)

    async def _read(self, stop: asyncio.Event) -> None:
        reading = self.db.options(read_only=True)
        while not stop.is_set():
            try:
                await reading.execute("SELECT count(*) FROM crowd")
                self.reads += 1
            except Exception as exc:
                self.errors.append(exc.with_traceback(None))
            await asyncio.sleep(0.02)

    async def _write(self, stop: asyncio.Event, writer: int) -> None:
        serial = 0
        while not stop.is_set():
            serial += 1
            tag = f"{writer}-{serial}"
            try:
                await self.db.run(self._work, tag)
                self.acknowledged.add(tag)
            except OutcomeUnknown:
                self.unknown.add(tag)
            except Exception as exc:
                self.errors.append(exc.with_traceback(None))
            await asyncio.sleep(0.02)

    async def _work(self, conn: Connection, tag: str) -> None:
        cursor = conn.cursor()
        await cursor.execute(self.insert, (tag,))
        await cursor.execute("SELECT 1")

    async def progress(self, reads: int = 200, runs: int = 200) -> None:
        """Wait until both kinds of work went on by so much."""
        goal = self.reads + reads, len(self.acknowledged) + runs
        deadline = time.monotonic() + 60
        while self.reads < goal[0] or len(self.acknowledged) < goal[1]:
            assert time.monotonic() < deadline, (self.reads, len(self.acknowledged), goal, self.errors[:3])
            await asyncio.sleep(0.01)

    def check(self, rows: list[tuple[Any, ...]], lost: int = 0) -> None:
        """Acknowledged: there once.  Unknown: at most once.  Nothing else.  ``lost``: to asynchronous replication, at most."""
        tags = [tag for (tag,) in rows]
        assert self.errors == [], self.errors
        assert len(tags) == len(set(tags)), "nothing happened twice"
        assert len(self.acknowledged - set(tags)) <= lost
        assert set(tags) <= self.acknowledged | self.unknown
        assert len(self.acknowledged) > WRITERS
        assert self.reads > READERS
