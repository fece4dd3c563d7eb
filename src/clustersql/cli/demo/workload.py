"""The program whose nodes are frozen and killed: several threads that read and write through `clustersql`, and know
nothing of nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from .tally import Tally

if TYPE_CHECKING:
    from ...sync.connection import Connection
    from ...sync.database import Database

__all__ = ["READERS", "WRITERS", "Workload", "create"]

READERS, WRITERS = 5, 3
PAUSE = 0.008
"""Seconds between two operations of a worker: the table shows latencies, not a machine that is out of breath."""
PER_WORKER = 1_000_000_000
"""The numbers of a worker's writes begin at a multiple of this."""


def create(db: Database, key: str) -> None:
    """Make the tables.  ``number`` is not unique there, so that a write that happened twice would be seen."""
    db.execute(f"CREATE TABLE demo_writes (seq {key} PRIMARY KEY, number BIGINT NOT NULL, worker INT NOT NULL)")
    db.execute("CREATE TABLE demo_counters (worker INT PRIMARY KEY, n BIGINT NOT NULL)")
    for worker in range(READERS, READERS + WRITERS):
        db.execute("INSERT INTO demo_counters (worker, n) VALUES (%s, 0)", (worker,))


def write(conn: Connection, number: int, worker: int) -> str | None:
    """One transaction: a row of its own, and the worker's counter."""
    with conn.cursor() as cursor:
        cursor.execute("INSERT INTO demo_writes (number, worker) VALUES (%s, %s)", (number, worker))
        cursor.execute("UPDATE demo_counters SET n = n + 1 WHERE worker = %s", (worker,))
    return conn.node


def read(db: Database, worker: int) -> str | None:
    """One read, from whichever node is best."""
    with db.connection(read_only=True) as conn:
        with conn.cursor() as cursor:
            cursor.execute("SELECT n FROM demo_counters WHERE worker = %s", (READERS + worker % WRITERS,))
            cursor.fetchall()
        return conn.node


class Workload:
    """The threads.  ``with`` starts and stops them."""

    def __init__(self, db: Database, tally: Tally) -> None:
        self._db = db
        self._tally = tally
        self._stop = threading.Event()
        works: list[Callable[[int], None]] = [*[self._read] * READERS, *[self._write] * WRITERS]
        self._threads = [
            threading.Thread(target=work, args=(worker,), name=f"demo-{worker}", daemon=True)
            for worker, work in enumerate(works)
        ]

    def __enter__(self) -> Workload:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._stop.set()
        if kind is None:
            self.join(60.0)

    def join(self, seconds: float) -> None:
        """Stop, and wait for the operations under way: without their outcome nothing is proved."""
        self._stop.set()
        deadline = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        if late := [thread.name for thread in self._threads if thread.is_alive()]:
            raise TimeoutError(f"the demo's workers {', '.join(late)} did not end within {seconds:g} s")

    def _read(self, worker: int) -> None:
        while not self._stop.wait(PAUSE):
            began = monotonic()
            try:
                node = read(self._db, worker)
            except Exception as exc:
                self._tally.bad(exc, "read")
            else:
                self._tally.good(worker, "read", node or "", began)

    def _write(self, worker: int) -> None:
        number = worker * PER_WORKER
        while not self._stop.wait(PAUSE):
            number += 1
            began = monotonic()
            try:
                node = self._db.run(write, number, worker)
            except Exception as exc:
                self._tally.bad(exc, "write", number)
            else:
                self._tally.good(worker, "write", node or "", began, number)
