"""A program that uses a cluster and knows nothing of faults: a reader, a writer that counts, and one slow statement.

The same twice: `SyncProgram` with threads, `AioProgram` with tasks in an event loop.  Every write has a number of its
own and raises its program's counter in the same transaction, so that what is lost, doubled or half done shows.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import clustersql
from clustersql.testing.workload import Proof, prove

from ..contender import Contender, Seen
from .scene import Fault

PAUSE = 0.005
"""Seconds between two operations of a reader or writer."""
PER_PROGRAM = 1_000_000_000
"""The numbers of a program's writes begin at a multiple of this."""
TABLES = (
    "CREATE TABLE writes (number BIGINT NOT NULL, program INT NOT NULL)",
    "CREATE TABLE counters (program INT PRIMARY KEY, n BIGINT NOT NULL)",
)


class Program:
    """One client with its own cluster object.  ``label`` names its knobs, ``api`` its API; ``number`` tells it from the
    others.
    """

    api = ""

    def __init__(self, number: int, label: str, fault: Fault, slow: str, cluster: clustersql.Cluster) -> None:
        self.number, self.label, self.fault, self.slow_sql, self.cluster = number, label, fault, slow, cluster
        self.slow = ""
        self.acknowledged: set[int] = set()
        self.failed: set[int] = set()
        self.unknown: set[int] = set()
        self.taken_out: list[float] = []
        self._serial, self._reads = number * PER_PROGRAM, 0
        self.reader: Any = None
        self.writer: Any = None
        cluster._topology.listeners.append(self._look)

    def __repr__(self) -> str:
        seen = {
            name: (len(each.good), each.errors[-2:]) for name, each in (("reads", self.reader), ("writes", self.writer))
        }
        kept_out = {
            node["name"]: node["kept_out"] for node in self.cluster.snapshot().as_dict()["nodes"] if node["kept_out"]
        }
        return f"<{self.api}, {self.label}: {seen}, kept out: {kept_out}>"

    def _look(self, view: Any) -> None:
        node = view.by_name.get(self.fault.node)
        if node is not None and self.fault.noticed(node):
            self.taken_out.append(time.monotonic())

    def read_sql(self) -> str:
        """Return a read that names this program, so that a proxy can tell it from the others', and is new, so that it
        is not prepared.
        """
        self._reads += 1
        return f"SELECT n /* read {self.number} {self._reads} */ FROM counters WHERE program = {self.number}"

    def write_sql(self, number: int) -> tuple[str, str]:
        """Return the two statements of a write."""
        return (
            f"INSERT INTO writes /* write {self.number} */ (number, program) VALUES ({number}, {self.number})",
            f"UPDATE counters SET n = n + 1 WHERE program = {self.number}",
        )

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _told(self, number: int, error: BaseException | None) -> None:
        kind = self.acknowledged if error is None else self.failed
        (self.unknown if isinstance(error, clustersql.OutcomeUnknown) else kind).add(number)

    def open_on(self, node: str) -> int:
        """Return how many connections it has open there."""
        nodes = self.stats()["nodes"]
        return int(nodes[node]["open"]) if node in nodes else 0

    def stats(self) -> dict[str, Any]:
        """Return the pool's figures."""
        raise NotImplementedError

    def begin_slow(self) -> None:
        """Send the slow statement, to a node that lives."""
        raise NotImplementedError

    def end(self) -> None:
        """End the work under way, wait for the slow statement, close."""
        raise NotImplementedError

    def proof(self, rows: dict[int, tuple[int, int]], counters: dict[int, int]) -> Proof:
        """Compare what it was told with what is there."""
        mine = {number: found for number, found in rows.items() if found[1] == self.number}
        return prove(self.acknowledged, self.failed, self.unknown, mine, {self.number: counters.get(self.number, -1)})


class SyncProgram(Program):
    """Threads."""

    api = "threads"

    def start(self) -> None:
        """Begin to read and write."""
        self.db = self.cluster.open()
        self._reading = self.db.options(read_only=True)
        self._writing = self.db.options(**self.fault.writing)
        self.reader, self.writer = Contender("reads", self._read), Contender("writes", self._write)
        self._sleeper = threading.Thread(target=self._sleep, daemon=True)
        for each in (self.reader, self.writer):
            each.start()

    def _read(self) -> None:
        self._reading.execute(self.read_sql())

    def _write(self) -> None:
        number = self._next()
        try:
            self._writing.run(self._transaction, number)
        except Exception as exc:
            self._told(number, exc)
            raise
        self._told(number, None)

    def _transaction(self, conn: Any, number: int) -> None:
        with conn.cursor() as cursor:
            for statement in self.write_sql(number):
                cursor.execute(statement)

    def stats(self) -> dict[str, Any]:
        """Return the pool's figures."""
        return self.db.stats()

    def begin_slow(self) -> None:
        """Send the slow statement, to a node that lives."""
        self._sleeper.start()

    def _sleep(self) -> None:
        try:
            self.db.options(read_only=True, node=self.fault.slow).execute(self.slow_sql)
            self.slow = "survived"
        except Exception as exc:
            self.slow = type(exc).__name__

    def end(self) -> None:
        """End the work under way, wait for the slow statement, close."""
        for each in (self.reader, self.writer):
            each.over.set()
        for thread in (self.reader, self.writer, self._sleeper):
            if thread.is_alive():
                thread.join(40.0)
        self.cluster.close()


class AioProgram(Program):
    """Tasks in an event loop, which runs in a thread of its own: a real program would have nothing else."""

    api = "asyncio"

    def start(self) -> None:
        """Begin to read and write."""
        self.reader, self.writer = Seen(), Seen()
        self._over, self._ready = threading.Event(), threading.Event()
        self._slowly: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait(30.0)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.cluster.aopen() as self.db:
            self._reading = self.db.options(read_only=True)
            self._writing = self.db.options(**self.fault.writing)
            self._ready.set()
            await asyncio.gather(self._work(self.reader, self._read), self._work(self.writer, self._write))
            if self._slowly is not None:
                await self._slowly

    async def _work(self, seen: Seen, operation: Any) -> None:
        while not self._over.is_set():
            try:
                await operation()
            except Exception as exc:
                seen.bad(exc)
            else:
                seen.well()
            await asyncio.sleep(PAUSE)

    async def _read(self) -> None:
        await self._reading.execute(self.read_sql())

    async def _write(self) -> None:
        number = self._next()
        try:
            await self._writing.run(self._transaction, number)
        except Exception as exc:
            self._told(number, exc)
            raise
        self._told(number, None)

    async def _transaction(self, conn: Any, number: int) -> None:
        async with conn.cursor() as cursor:
            for statement in self.write_sql(number):
                await cursor.execute(statement)

    def stats(self) -> dict[str, Any]:
        """Return the pool's figures."""
        return asyncio.run_coroutine_threadsafe(self._stats(), self._loop).result(10.0)

    async def _stats(self) -> dict[str, Any]:
        return self.db.stats()

    def begin_slow(self) -> None:
        """Send the slow statement, to a node that lives."""
        asyncio.run_coroutine_threadsafe(self._begin_slow(), self._loop).result(10.0)

    async def _begin_slow(self) -> None:
        self._slowly = asyncio.ensure_future(self._sleep())

    async def _sleep(self) -> None:
        try:
            await self.db.options(read_only=True, node=self.fault.slow).execute(self.slow_sql)
            self.slow = "survived"
        except Exception as exc:
            self.slow = type(exc).__name__

    def end(self) -> None:
        """End the work under way, wait for the slow statement, close."""
        self._over.set()
        self._thread.join(40.0)
        self.cluster.close()
