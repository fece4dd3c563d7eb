"""The workload of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from .program import PATIENCE, BaseWorkload
from .proof import Proof

__all__ = ["Workload"]


class Workload(BaseWorkload):
    """Threads that read and write through a `clustersql.Database`, and know nothing of nodes.

    ``with load:`` starts them and stops them.  Each write is one transaction in ``run``; ``load.told`` says what was
    told of each.  Override `transaction` to do the work of your own program in it.
    """

    def _begin(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def create(self, *nodes: str, timeout: float = PATIENCE) -> None:
        """Make the tables anew, and wait until each of ``nodes`` has them.  Raises the driver's errors, and
        `TimeoutError`.
        """
        for statement in self.tables.dropped():
            with suppress(Exception):  # where it is still there, the next one says so
                self.db.execute(statement)
        for statement in self.tables.made(self.writing):
            self.db.execute(statement)
        deadline = monotonic() + timeout
        for node in nodes:
            there = self.db.options(node=node, read_only=True)
            while self._unready(there):
                if monotonic() > deadline:
                    raise TimeoutError(f"node {node!r} has not had the workload's tables within {timeout:g} s")
                threading.Event().wait(0.02)

    def _unready(self, there: Any) -> bool:
        try:
            return bool(self.tables.half(there.execute(self.tables.read).fetchall(), self.writing))
        except Exception:  # a replica has not made them yet
            return True

    def transaction(self, conn: Any, number: int, worker: int) -> None:
        """One write, inside ``run``: it may be called again, in a new transaction."""
        cursor = conn.cursor()
        for statement, parameters in self.tables.steps(number, worker):
            cursor.execute(statement, parameters)

    def __enter__(self) -> Workload:
        self._stop.clear()
        works: list[Callable[[int], None]] = [*[self._read] * self.readers, *[self._write] * self.writers]
        self._threads = [
            threading.Thread(target=work, args=(worker,), name=f"workload-{worker}", daemon=True)
            for worker, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if kind is None:
            self.stop()

    def stop(self, timeout: float = PATIENCE) -> None:
        """End the work, and wait for the operations under way: without their outcome nothing is proved.

        Raises `TimeoutError` after ``timeout`` seconds, naming the threads that have not ended.
        """
        self._stop.set()
        deadline = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        if late := [thread.name for thread in self._threads if thread.is_alive()]:
            raise TimeoutError(f"the threads {', '.join(late)} did not end within {timeout:g} s; {self.told.words()}")

    def progress(self, reads: int = 50, writes: int = 20, timeout: float = PATIENCE) -> None:
        """Wait until so many more reads and writes have ended well.  Raises `TimeoutError` after
        ``timeout`` seconds.
        """
        if not self.told.wait(self.told.goal(reads, writes), timeout):
            raise TimeoutError(f"not {reads} reads and {writes} writes more in {timeout:g} s: {self.told.words()}")

    def prove(self, fetch: Callable[[str], Iterable[Sequence[Any]]] | None = None) -> Proof:
        """Compare what was told with what is in the database.

        ``fetch``: returns the rows of a query, asked where nothing is stale, as by an administrator on the primary;
        None: the database itself is asked.  Raises the errors of that.
        """
        ask = fetch or (lambda query: self.db.execute(query).fetchall())
        return self._proof(ask(self.tables.written), ask(self.tables.read))

    def _read(self, worker: int) -> None:
        while not self._stop.wait(self.pause):
            began = monotonic()
            try:
                with self._reading.connection() as conn:
                    cursor = conn.cursor()
                    cursor.execute(self.tables.read)
                    rows, node = cursor.fetchall(), conn.node
            except Exception as exc:
                self.told.bad(exc, "read")
            else:
                self._looked_at(rows)
                self.told.good(worker, "read", node or "", began)

    def _write(self, worker: int) -> None:
        numbers = self._numbers(worker)
        while not self._stop.wait(self.pause):
            number, began = next(numbers), monotonic()
            try:
                node = self.db.run(self._noted, number, worker)
            except Exception as exc:
                self.told.bad(exc, "write", number)
            else:
                self.told.good(worker, "write", node or "", began, number)

    def _noted(self, conn: Any, number: int, worker: int) -> str | None:
        self.transaction(conn, number, worker)
        node: str | None = conn.node
        return node
