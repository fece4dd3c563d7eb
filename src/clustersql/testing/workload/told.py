"""What a workload was told: of each write its outcome, of each read that it went well or how it failed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic

from ...errors import OutcomeUnknown

__all__ = ["Told"]


class Told:
    """Everything that the workers were told.  Thread-safe; a subclass may count more."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        """The numbers of the writes that ended well."""
        self.failed: set[int] = set()
        """Those that raised an error which says that they did not happen."""
        self.unknown: set[int] = set()
        """Those that raised `OutcomeUnknown`."""
        self.raised: list[Exception] = []
        """Every error of a read, and of a write that failed, without its traceback."""
        self.torn: list[str] = []
        """The reads that saw a half of a write, or one that never was, in words."""
        self.ended: Counter[str] = Counter()
        """How many operations ended well: by "read" and "write"."""
        self.slowest: dict[str, float] = {}
        """The longest time of an operation that ended well, in seconds: by "read" and "write"."""
        self.changed = threading.Condition()
        """Held while any of these changes."""

    def good(self, worker: int, kind: str, node: str, began: float, number: int | None = None) -> None:
        """Note an operation that ended well now, on ``node``.

        ``kind``: "read" or "write".  ``began``: in monotonic seconds.  ``number``: the write's.
        """
        seconds = monotonic() - began
        with self.changed:
            if number is not None:
                self.acknowledged.add(number)
            self.ended[kind] += 1
            self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)
            self.changed.notify_all()

    def bad(self, error: Exception, kind: str, number: int | None = None) -> None:
        """Note an error that the program saw; ``number``: the write's."""
        doubtful = number is not None and isinstance(error, OutcomeUnknown)
        with self.changed:
            if number is not None:
                (self.unknown if doubtful else self.failed).add(number)
            if not doubtful:
                self.raised.append(error.with_traceback(None))

    def saw_half(self, words: str) -> None:
        """Note a read that saw what no sequence of whole writes leaves."""
        with self.changed:
            self.torn.append(words)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``condition`` holds, which is asked after each good operation; return whether it does."""
        with self.changed:
            return self.changed.wait_for(condition, seconds)

    def goal(self, reads: int, writes: int) -> Callable[[], bool]:
        """Return the question whether so many more reads and writes have ended well from now on."""
        read, written = self.ended["read"] + reads, self.ended["write"] + writes
        return lambda: self.ended["read"] >= read and self.ended["write"] >= written

    def words(self) -> str:
        """Return what has happened so far, in one line."""
        latest = f"; the latest error: {self.raised[-1]!r}" if self.raised else ""
        return (
            f"{self.ended['read']} reads and {self.ended['write']} writes ended well, {len(self.raised)} failed,"
            f" {len(self.unknown)} are of unknown outcome{latest}"
        )
