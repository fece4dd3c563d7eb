"""What was written in a request: from then on its reads are the primary's, for a replica may not have it yet.

A connection notes it of its own thread, until Django ends the request or task (`close_old_connections`).  A request of
the middleware's carries a `Pin` as well, which all its threads see.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

READS = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ")
"""How statements begin that write nothing; all others count as writing, which costs a replica some reads and no reader
an old row."""


class Pin:
    """One request: whether its reads are the primary's."""

    __slots__ = ("is_given", "is_written")

    def __init__(self, is_given: bool) -> None:
        """``is_given``: an earlier request of the same browser has written a moment ago."""
        self.is_given = is_given
        self.is_written = False


current: ContextVar[Pin | None] = ContextVar("clustersql_django_pin", default=None)


def note_write() -> None:
    """Pin the request that is under way, if the middleware knows it."""
    if (pin := current.get()) is not None:
        pin.is_written = True


def is_pinned() -> bool:
    """Whether the middleware's request reads from the primary."""
    pin = current.get()
    return pin is not None and (pin.is_given or pin.is_written)


def is_written_by(sql: Any) -> bool:
    """Whether a statement may write."""
    return not str(sql).lstrip("( \t\r\n").upper().startswith(READS)
