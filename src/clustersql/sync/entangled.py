"""Closing from anywhere: a signal handler, or the garbage collector, may come in the middle of our own code, which may
hold any of our locks.

Rules
-----
1. What only tells (`stats`, `metrics`, `snapshot`, a `repr`) waits for no lock at all.
2. A thread that holds one of our locks has a frame of ours on its stack.  So where there is one, what takes locks is
   done by another thread.
3. That thread is waited for, but only for a moment: it may be this one that holds the lock it waits for.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable

PATIENCE = 0.05
"""Seconds that the other thread is waited for.  Without a lock that this one holds it needs less; with one it goes on
when this one does."""

_ENTRANCES = frozenset(("apart", "close", "__exit__", "unregister"))
"""Functions of ours that lead to `apart` and hold no lock: the call itself, and no work that it has come upon."""
_LEAVES = frozenset(("cli", "dashboard", "integrations", "telemetry", "testing"))
"""Rooms of ours that hold no lock."""


def apart(function: Callable[[], object]) -> None:
    """Call ``function``, which takes our locks: in this thread, or, where that is in the middle of our code, in another
    one.
    """
    if not _is_inside():
        function()
        return
    done = _thread.allocate_lock()
    done.acquire()

    def call() -> None:
        try:
            function()
        finally:
            done.release()

    _thread.start_new_thread(call, ())  # not a `threading.Thread`: to start one takes a lock, too
    done.acquire(timeout=PATIENCE)


def _is_inside() -> bool:
    """Whether this thread has come here from the middle of our code."""
    frame = sys._getframe()
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back  # type: ignore[assignment]
    while frame is not None and _is_ours(frame.f_globals) and frame.f_code.co_name in _ENTRANCES:
        frame = frame.f_back  # type: ignore[assignment]
    while frame is not None:
        if _is_ours(frame.f_globals):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_ours(names: dict[str, object]) -> bool:
    package, _, rest = str(names.get("__name__")).partition(".")
    return package == "clustersql" and rest.partition(".")[0] not in _LEAVES
