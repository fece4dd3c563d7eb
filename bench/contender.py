"""One caller that does one operation after another, and what it saw of a fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

SETTLED = 0.1
"""Seconds that a contender must go on having good answers: one may have been on its way."""
Operation = Callable[[], object]


class Seen:
    """When there was a good answer, when an error, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.good: list[float] = []
        self.errors: list[tuple[float, str]] = []

    def well(self) -> None:
        """Note a good answer."""
        self.good.append(time.monotonic())

    def bad(self, error: Exception) -> None:
        """Note an error."""
        self.errors.append((time.monotonic(), type(error).__name__))

    def stall(self, fault: float, over: float) -> float:
        """Return the longest time without a good answer, in milliseconds, around a fault that had its effect between
        two moments.
        """
        good = list(self.good)
        before = [end for end in good if fault - 0.2 < end <= over] or [fault]
        after = [end for end in good if end > over]
        if not after or after[-1] < over + SETTLED:
            return float("inf")
        return max(b - a for a, b in pairwise(before + after)) * 1e3


class Contender(Seen, threading.Thread):
    """A thread that calls ``operation`` over and over, 5 ms apart."""

    def __init__(self, name: str, operation: Operation) -> None:
        Seen.__init__(self)
        threading.Thread.__init__(self, name=name, daemon=True)
        self.operation = operation
        self.over = threading.Event()

    def run(self) -> None:
        """Work until the end; a driver's call that never returns is left behind."""
        while not self.over.is_set():
            try:
                self.operation()
            except Exception as exc:
                self.bad(exc)
            else:
                self.well()
            time.sleep(0.005)
