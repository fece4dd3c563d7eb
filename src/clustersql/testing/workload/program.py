"""What the workloads of both APIs have in common: who works, by which statements, and what is compared in the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...errors import ConfigError
from .proof import Proof, prove
from .tables import PER_WORKER, Tables
from .told import Told

__all__ = ["BaseWorkload"]

PATIENCE = 60.0
"""Seconds in which a recovery has ended, however busy the machine is."""


class BaseWorkload:
    """The part of `Workload` and `AsyncWorkload` that is the same."""

    def __init__(
        self,
        db: Any,
        *,
        readers: int = 4,
        writers: int = 4,
        pause: float = 0.01,
        name: str = "workload",
        paramstyle: str = "format",
        told: Told | None = None,
    ) -> None:
        """``db``: the database, with the options that the writes are to have; reads are read-only besides.

        ``readers``, ``writers``: how many workers read and write.  ``pause``: seconds between two operations of a
        worker: without it they take all that the servers need to come back.  ``name``: what the tables' names begin
        with.  ``paramstyle``: the driver's, as PEP 249 calls it: "qmark" for SQLite, "numeric_dollar" for asyncpg.
        ``told``: where the outcomes are noted; None: in a new `Told`.  Raises `ConfigError`.
        """
        if min(readers, writers) < 0 or readers + writers < 1:
            raise ConfigError(f"workload: {readers} readers and {writers} writers leave nobody who works")
        if pause < 0:
            raise ConfigError(f"workload: pause must be a number of seconds from 0 on, not {pause!r}")
        self.db = db
        self.readers, self.writers, self.pause = readers, writers, pause
        self.tables = Tables(name, paramstyle)
        self.told = Told() if told is None else told
        self._reading = db.options(read_only=True)
        self._begin()

    def _begin(self) -> None:
        """Make what the workers are stopped by."""
        raise NotImplementedError

    @property
    def writing(self) -> Sequence[int]:
        """The workers that write; those that read are 0, 1, ..."""
        return range(self.readers, self.readers + self.writers)

    def _numbers(self, worker: int) -> Iterator[int]:
        """Yield the numbers of a worker's writes, which nobody else has."""
        return iter(range(worker * PER_WORKER + 1, (worker + 1) * PER_WORKER))

    def _looked_at(self, rows: Iterable[Sequence[Any]]) -> None:
        """Note a read that saw half a write."""
        if words := self.tables.half(rows, self.writing):
            self.told.saw_half(words)

    def _proof(self, written: Iterable[Sequence[Any]], counters: Iterable[Sequence[Any]]) -> Proof:
        """Compare what was told with the answers to `Tables.written` and `Tables.read`."""
        rows = {int(number): (int(count), int(worker)) for number, count, worker in written}
        found = {int(worker): (int(n), int(latest)) for worker, n, latest in counters}
        told = self.told
        return prove(
            told.acknowledged,
            told.failed,
            told.unknown,
            rows,
            {worker: n for worker, (n, _) in found.items()},
            {worker: latest for worker, (_, latest) in found.items()},
            tuple(told.torn),
        )
