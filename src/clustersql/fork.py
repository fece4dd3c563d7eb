"""What happens in a forked child: locks and pools begin anew, and the parent's connections are never touched.

The child shares the parent's sockets.  A statement on one would mix into the parent's stream, and merely *finalizing* some drivers' objects
sends a goodbye that ends the parent's session (seen with mysqlclient and mariadb; with mariadb the end of a cursor does it too).  So every inherited connection is kept referenced for
ever: also at interpreter exit, when module globals are cleared, hence the reference that nobody gives back.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

PATIENCE = 2.0
"""Seconds that a fork waits for our threads to come back from the drivers: a dial takes milliseconds, and one that hangs must not hold the fork
up for ever.  Half a second was too short on a busy machine: a child was forked inside a dial, and never got a connection."""


class Forkable(Protocol):
    """What can begin anew in a child."""

    def after_fork(self) -> Sequence[Any]:
        """Begin anew; return the connections and cursors that belong to the parent."""


_live: weakref.WeakSet[Any] = weakref.WeakSet()


def track(thing: Forkable) -> None:
    """Let ``thing`` begin anew in forked children; held weakly."""
    _live.add(thing)


def keep_for_ever(raw: Any) -> None:
    """Take a reference that is never given back."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))


class Calls:
    """The calls of drivers that our own threads are in.  A fork waits for them, and they wait for a fork.

    A C library's lock that one of them holds in that moment would stay locked in the child for ever (seen with OpenSSL: while the monitor
    dialled with PyMySQL, which makes a TLS context for that, the process was forked, and the child never got a connection).
    """

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._active = 0
        self._forking = False

    def __enter__(self) -> None:
        with self._changed:
            while self._forking:
                self._changed.wait(PATIENCE)
            self._active += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._active = max(0, self._active - 1)  # in a child that was forked inside one, it begins at none
            if self._forking:  # nobody else waits for it
                self._changed.notify_all()

    def before(self) -> None:
        """Let no further one begin, and wait for those under way."""
        with self._changed:
            self._forking = True
            self._changed.wait_for(lambda: self._active == 0, PATIENCE)

    def after(self) -> None:
        """In the parent: go on."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def after_fork(self) -> tuple[()]:
        """In the child none of them exists."""
        self._begin_anew()
        return ()


calls = Calls()
track(calls)


def _after_fork_in_child() -> None:
    for thing in list(_live):
        for raw in thing.after_fork():
            keep_for_ever(raw)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=calls.before, after_in_parent=calls.after, after_in_child=_after_fork_in_child)
