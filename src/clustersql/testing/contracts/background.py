"""A call in another thread, and the waiting for what must happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds after which what should have happened has not."""


class Background:
    """A call in a thread of its own, and the error that it ended with."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._call()
        except Exception as exc:  # the test looks at it
            self._error = exc

    def has_ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()

    def error(self) -> Exception | None:
        assert self.has_ended(PATIENCE), "the call did not return"
        return self._error


def until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fail after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
