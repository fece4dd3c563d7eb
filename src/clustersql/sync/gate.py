"""What a thread that waits for a connection waits on."""

from __future__ import annotations

import threading


class Gate:
    """A raw lock that is taken: `set` releases it, and `wait` takes it again.

    One call for a wait, where `threading.Event` makes a lock for each.  It counts no further than one: set twice, it
    lets one through.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let the one who waits go on, or the next one who will."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # it was set already

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, and take that back; False: ``seconds`` have passed without."""
        return self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))

    def clear(self) -> None:
        """Take back that it was set."""
        self._lock.acquire(blocking=False)
