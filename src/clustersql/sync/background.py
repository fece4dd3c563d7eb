"""Work in threads of its own, which the end of the process waits for, though not for long."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable

from .. import fork
from . import monitor
from .threads import start

_running: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
PATIENCE_AT_EXIT = 1.0
"""Seconds that the end of the process waits, in all, for dials and probes under way."""


@atexit.register
def _wait_at_exit() -> None:
    """A thread that ends while the interpreter is taken apart can crash it (Python 3.11: signal 11, after all was
    done).
    """
    deadline = time.monotonic() + PATIENCE_AT_EXIT
    monitor.stop()  # or it would begin new ones
    for thread in list(_running):
        thread.join(max(0.0, deadline - time.monotonic()))


def in_background(work: Callable[[], object], name: str) -> None:
    """Do ``work`` in a thread that the end of the process waits for, though not for long."""
    try:
        thread = threading.Thread(target=_to_the_end, args=(work,), name=name, daemon=True)
        start(thread)
        _running.add(thread)
    except RuntimeError:  # no thread can be started, as at interpreter shutdown: better to wait here than to fail
        with fork.calls:
            work()


def _to_the_end(work: Callable[[], object]) -> None:
    with fork.calls:
        try:
            work()
        finally:
            fork.calls.ends()
