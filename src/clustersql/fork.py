"""What happens in a forked child: locks and pools begin anew, and the parent's connections are never touched.

The child shares the parent's sockets.  A statement on one would mix into the parent's stream, and merely *finalizing*
some drivers' objects sends a goodbye that ends the parent's session (seen with mysqlclient and mariadb; with mariadb
the end of a cursor does it too).  So every inherited connection is kept referenced for ever: also at interpreter exit,
when module globals are cleared, hence the reference that nobody gives back.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

PATIENCE = 2.0
"""Seconds that a fork waits for our threads to come back from the drivers: a dial takes milliseconds, on a busy machine
a second, and one that hangs must not hold the fork up for ever."""


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
    """The calls of drivers that our own threads are in.  A fork waits for them, and they wait for a fork; a thread may
    enter more than once.

    A C library's lock that one of them holds in that moment would stay locked in the child for ever.  Seen with
    OpenSSL: while one of our threads dialled with PyMySQL, which makes a TLS context for that, or had just ended, the
    process was forked, and the child hung in making a context of its own.  So whatever our threads do is inside, and a
    thread that ends is waited for until the system has none of its number any more: OpenSSL takes a lock once more in a
    thread's very last moment (OPENSSL_thread_stop), long after Python has forgotten it.
    """

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._active = 0
        self._forking = False
        self._mine = threading.local()
        self._ending: deque[tuple[int, float]] = deque(maxlen=1000)

    def __enter__(self) -> None:
        self._mine.depth = depth = getattr(self._mine, "depth", 0) + 1
        if depth > 1:  # the fork that is to come waits for this thread, which so must not wait for the fork
            return
        with self._changed:
            while self._forking:
                self._changed.wait(PATIENCE)
            self._active += 1

    def __exit__(self, *_: object) -> None:
        self._mine.depth = depth = getattr(self._mine, "depth", 1) - 1
        if depth > 0:
            return
        with self._changed:
            self._active = max(0, self._active - 1)  # in a child that was forked inside one, it begins at none
            if self._forking:  # nobody else waits for it
                self._changed.notify_all()

    def ends(self) -> None:
        """This thread, which is one of ours and inside, does nothing more than end."""
        self._ending.append((threading.get_native_id(), time.monotonic()))

    def before(self) -> None:
        """Let no further one begin, and wait for those under way, and for threads that are ending."""
        now, me = time.monotonic(), threading.get_native_id()
        with self._changed:
            self._forking = True
            self._changed.wait_for(lambda: self._active == 0, PATIENCE)
        # Not this one: with gevent all "threads" have one number.  Nor old ones: the system gives a number away again.
        ending = [number for number, at in tuple(self._ending) if number != me and at > now - PATIENCE]
        while any(map(_is_a_thread, ending)) and time.monotonic() < now + PATIENCE:
            time.sleep(0.0005)

    def after(self) -> None:
        """In the parent: go on."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def after_fork(self) -> tuple[()]:
        """In the child none of them exists."""
        self._begin_anew()
        return ()


def _is_a_thread(number: int) -> bool:
    """Tell whether the system still has a thread of this number in this process; only Linux can tell."""
    return os.path.exists(f"/proc/self/task/{number}")


calls = Calls()
track(calls)


def _after_fork_in_child() -> None:
    for thing in list(_live):
        for raw in thing.after_fork():
            keep_for_ever(raw)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=calls.before, after_in_parent=calls.after, after_in_child=_after_fork_in_child)
