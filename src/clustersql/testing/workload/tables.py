"""The tables of a workload, and the statements that its workers send."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import ConfigError

__all__ = ["PER_WORKER", "Tables"]

PER_WORKER = 1_000_000_000
"""The numbers of a worker's writes begin at a multiple of this."""
MARKS = {"format": "%s", "pyformat": "%s", "qmark": "?", "numeric": ":{}", "numeric_dollar": "${}"}
"""How a driver writes the place of a parameter, by what PEP 249 calls its ``paramstyle``."""


class Tables:
    """Two tables: ``NAME_writes`` has a row for each write, ``NAME_counters`` one for each worker that writes.

    A write is one transaction: it inserts a row of its own, raises its worker's counter by one, and overwrites what the
    counter's row says of the latest write.  ``number`` is not unique, so that a write that happened twice shows:
    ``attempt`` is another one each time the transaction is begun.
    """

    def __init__(self, name: str = "workload", paramstyle: str = "format") -> None:
        """``name`` begins the names of both tables; ``paramstyle`` is the driver's.  Raises `ConfigError`."""
        if not re.fullmatch(r"[A-Za-z_]\w{0,40}", name):
            raise ConfigError(f"workload: name must be a plain identifier of at most 41 characters, not {name!r}")
        if paramstyle not in MARKS:
            raise ConfigError(f"workload: paramstyle must be one of {', '.join(MARKS)}, not {paramstyle!r}")
        mark = MARKS[paramstyle]
        self.writes, self.counters = f"{name}_writes", f"{name}_counters"
        places = ", ".join(mark.format(n) for n in (1, 2, 3))
        self.insert = f"INSERT INTO {self.writes} (number, attempt, worker) VALUES ({places})"
        self.count = f"UPDATE {self.counters} SET n = n + 1, latest = {mark.format(1)} WHERE worker = {mark.format(2)}"
        self.read = f"SELECT worker, n, latest FROM {self.counters}"
        self.written = f"SELECT number, COUNT(*), MIN(worker) FROM {self.writes} GROUP BY number"

    def made(self, workers: Iterable[int]) -> list[str]:
        """Return the statements that make both, with a counter for each of the workers that write."""
        rows = ", ".join(f"({worker}, 0, 0)" for worker in workers)
        return [
            f"CREATE TABLE {self.writes} (number BIGINT NOT NULL, attempt BIGINT NOT NULL, worker INT NOT NULL,"
            " PRIMARY KEY (number, attempt))",
            f"CREATE TABLE {self.counters} (worker INT PRIMARY KEY, n BIGINT NOT NULL, latest BIGINT NOT NULL)",
            *([f"INSERT INTO {self.counters} (worker, n, latest) VALUES {rows}"] if rows else []),
        ]

    def dropped(self) -> list[str]:
        """Return the statements that drop both, each of which fails where there is none.

        ``IF EXISTS`` is answered by a warning there, which some drivers raise.
        """
        return [f"DROP TABLE {self.writes}", f"DROP TABLE {self.counters}"]

    def steps(self, number: int, worker: int) -> list[tuple[str, tuple[int, ...]]]:
        """Return the statements of one write, with their parameters."""
        return [
            (self.insert, (number, random.getrandbits(62), worker)),
            (self.count, (number, worker)),
        ]

    def half(self, rows: Iterable[Sequence[Any]], workers: Sequence[int]) -> str:
        """Return what is wrong with an answer to `read`, in words; empty: nothing.  ``workers``: those that write."""
        found = {int(worker): (int(n), int(latest)) for worker, n, latest in rows}
        if missing := set(workers) - found.keys():
            return f"the counters of the workers {', '.join(map(str, sorted(missing)))} are not there"
        for worker in workers:
            n, latest = found[worker]
            # So many numbers had been given out by the latest write, so it cannot have counted more.
            if n > max(0, latest - worker * PER_WORKER) or (n == 0) is not (latest == 0):
                return f"worker {worker} has counted {n} writes, the latest of which is number {latest}"
        return ""
