"""Threads that work on a cluster while something happens to it, and what came of each operation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PAUSE = 0.01
"""Seconds of a thread between two operations: those of eight threads would take a whole processor without it."""


@dataclass
class Load:
    """What the threads saw.  ``gaps`` are seconds between two good answers of one thread."""

    done: list[float] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def more(self, count: int, timeout: float = 30.0) -> None:
        """Wait until ``count`` more operations succeeded."""
        wanted, deadline = len(self.done) + count, time.monotonic() + timeout
        while len(self.done) < wanted:
            assert time.monotonic() < deadline, f"{len(self.done)} of {wanted} operations; {self.failed[:3]}"
            time.sleep(0.01)

    @property
    def slowest(self) -> float:
        return max(self.gaps, default=0.0)


@contextmanager
def load(operation: Callable[[int, int], object], threads: int = 8) -> Iterator[Load]:
    """Call ``operation(thread, serial)`` over and over in so many threads until the block ends."""
    load, stop = Load(), threading.Event()

    def work(thread: int) -> None:
        serial, last = 0, time.monotonic()
        while not stop.is_set():
            try:
                operation(thread, serial)
            except Exception as exc:
                load.failed.append(exc.with_traceback(None))
            else:
                now = time.monotonic()
                load.done.append(now)
                load.gaps.append(now - last)
                last = now
            serial += 1
            time.sleep(PAUSE)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield load
    finally:
        stop.set()
        for worker in workers:
            worker.join(60)
    assert not any(worker.is_alive() for worker in workers), "a thread hangs"
