"""The workload of tasks, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from .program import PATIENCE, BaseWorkload
from .proof import Proof

__all__ = ["AsyncWorkload"]


class AsyncWorkload(BaseWorkload):
    """Tasks that read and write through a `clustersql.aio.Database`, and know nothing of nodes.

    ``async with load:`` starts them and stops them.  Each write is one transaction in ``run``; ``load.told`` says what
    was told of each.  Override `transaction` to do the work of your own program in it.
    """

    def _begin(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def create(self, *nodes: str, timeout: float = PATIENCE) -> None:
        """Make the tables anew, and wait until each of ``nodes`` has them.  Raises the driver's errors, and
        `TimeoutError`.
        """
        for statement in self.tables.dropped():
            with suppress(Exception):  # where it is still there, the next one says so
                await self.db.execute(statement)
        for statement in self.tables.made(self.writing):
            await self.db.execute(statement)
        deadline = monotonic() + timeout
        for node in nodes:
            there = self.db.options(node=node, read_only=True)
            while await self._unready(there):
                if monotonic() > deadline:
                    raise TimeoutError(f"node {node!r} has not had the workload's tables within {timeout:g} s")
                await asyncio.sleep(0.02)

    async def _unready(self, there: Any) -> bool:
        try:
            return bool(self.tables.half((await there.execute(self.tables.read)).fetchall(), self.writing))
        except Exception:  # a replica has not made them yet
            return True

    async def transaction(self, conn: Any, number: int, worker: int) -> None:
        """One write, inside ``run``: it may be called again, in a new transaction."""
        cursor = conn.cursor()
        for statement, parameters in self.tables.steps(number, worker):
            await cursor.execute(statement, parameters)

    async def __aenter__(self) -> AsyncWorkload:
        self._stop.clear()
        works: list[Callable[[int], Any]] = [*[self._read] * self.readers, *[self._write] * self.writers]
        self._tasks = [
            asyncio.create_task(work(worker), name=f"workload-{worker}") for worker, work in enumerate(works)
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if kind is None:
            await self.stop()
        else:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self, timeout: float = PATIENCE) -> None:
        """End the work, and wait for the operations under way: without their outcome nothing is proved.

        Raises `TimeoutError` after ``timeout`` seconds, naming the tasks that have not ended; they are cancelled.
        """
        self._stop.set()
        done, late = await asyncio.wait(self._tasks, timeout=timeout) if self._tasks else (set(), set())
        for task in late:
            task.cancel()
        if late:
            names = ", ".join(sorted(task.get_name() for task in late))
            raise TimeoutError(f"the tasks {names} did not end within {timeout:g} s; {self.told.words()}")
        for task in done:
            task.result()

    async def progress(self, reads: int = 50, writes: int = 20, timeout: float = PATIENCE) -> None:
        """Wait until so many more reads and writes have ended well.  Raises `TimeoutError` after
        ``timeout`` seconds.
        """
        reached, deadline = self.told.goal(reads, writes), monotonic() + timeout
        while not reached():
            if monotonic() > deadline:
                raise TimeoutError(f"not {reads} reads and {writes} writes more in {timeout:g} s: {self.told.words()}")
            await asyncio.sleep(0.01)

    async def prove(self, fetch: Callable[[str], Awaitable[Iterable[Sequence[Any]]]] | None = None) -> Proof:
        """Compare what was told with what is in the database.

        ``fetch``: returns, awaited, the rows of a query, asked where nothing is stale, as by an administrator on the
        primary; None: the database itself is asked.  Raises the errors of that.
        """
        ask = fetch or self._fetch
        return self._proof(await ask(self.tables.written), await ask(self.tables.read))

    async def _fetch(self, query: str) -> Iterable[Sequence[Any]]:
        rows: Iterable[Sequence[Any]] = (await self.db.execute(query)).fetchall()
        return rows

    async def _read(self, worker: int) -> None:
        while await self._goes_on():
            began = monotonic()
            try:
                async with self._reading.connection() as conn:
                    cursor = conn.cursor()
                    await cursor.execute(self.tables.read)
                    rows, node = await cursor.fetchall(), conn.node
            except Exception as exc:
                self.told.bad(exc, "read")
            else:
                self._looked_at(rows)
                self.told.good(worker, "read", node or "", began)

    async def _write(self, worker: int) -> None:
        numbers = self._numbers(worker)
        while await self._goes_on():
            number, began = next(numbers), monotonic()
            try:
                node = await self.db.run(self._noted, number, worker)
            except Exception as exc:
                self.told.bad(exc, "write", number)
            else:
                self.told.good(worker, "write", node or "", began, number)

    async def _goes_on(self) -> bool:
        """Pause; return whether there is to be another operation."""
        if not self._stop.is_set():
            await asyncio.sleep(self.pause)
        return not self._stop.is_set()

    async def _noted(self, conn: Any, number: int, worker: int) -> str | None:
        await self.transaction(conn, number, worker)
        node: str | None = conn.node
        return node
