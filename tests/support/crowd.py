"""Two hundred tasks on one asyncio database while something happens to it, and the proof that each was told the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from clustersql import OutcomeUnknown
from clustersql.aio import Connection, Database

READERS = WRITERS = 100


def check_lost(acknowledged: Iterable[str], there: Collection[str], lost: bool) -> None:
    """What is missing of ``acknowledged``, whose names are ``worker-serial``, is nothing, or with ``lost`` one run per worker.

    A primary that dies takes with it what it had not sent to the standby: of each worker the latest until then, how much depends on how busy the
    machine is.  What was acknowledged after it must be there, and what came before.
    """
    missing = set(acknowledged) - set(there)
    assert lost or not missing, missing
    workers: dict[str, list[tuple[int, bool]]] = {}
    for name in acknowledged:
        worker, serial = name.split("-")
        workers.setdefault(worker, []).append((int(serial), name in missing))
    for worker, serials in workers.items():
        runs = [is_missing for is_missing, _ in groupby(is_missing for _, is_missing in sorted(serials))]
        assert runs.count(True) <= 1, (worker, sorted(serials))
    assert 2 * len(missing) < sum(map(len, workers.values())), "by far the most is there"


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

    def check(self, rows: list[tuple[Any, ...]], lost: bool = False) -> None:
        """Acknowledged: there once.  Unknown: at most once.  Nothing else.  ``lost``: asynchronous replication may have lost the latest."""
        tags = [tag for (tag,) in rows]
        assert self.errors == [], self.errors
        assert len(tags) == len(set(tags)), "nothing happened twice"
        check_lost(self.acknowledged, set(tags), lost)
        assert set(tags) <= self.acknowledged | self.unknown
        assert len(self.acknowledged) > WRITERS
        assert self.reads > READERS
