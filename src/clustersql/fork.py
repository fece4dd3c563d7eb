"""What happens in a forked child: locks and pools begin anew, and the parent's connections are never touched.

The child shares the parent's sockets.  A statement on one would mix into the parent's stream, and merely *finalizing* some drivers' objects
sends a goodbye that ends the parent's session (seen with mysqlclient and mariadb; with mariadb the end of a cursor does it too).  So every inherited connection is kept referenced for
ever: also at interpreter exit, when module globals are cleared, hence the reference that nobody gives back.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any, Protocol


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


def _after_fork_in_child() -> None:
    for thing in list(_live):
        for raw in thing.after_fork():
            keep_for_ever(raw)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
