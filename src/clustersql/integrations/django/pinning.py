"""What was written in a request: from then on its reads are the primary's, for a replica may not have it yet.

A connection notes it of its own thread, until Django ends the request or task (`close_old_connections`).  A request of
the middleware's carries a `Pin` as well, which all its threads see.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ...connection.database import memory_behind, sharing

READS = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ")
"""How statements begin that write nothing; all others count as writing, which costs a replica some reads and no reader
an old row."""


def _nothing(alias: str) -> str:
    return ""


class Pin:
    """One request: whether its reads are the primary's, and what those on replicas must have seen."""

    __slots__ = ("brought", "has_bookmarks", "is_given", "remembered", "told", "views", "written")

    def __init__(self, is_given: bool, brought: Callable[[str], str] | None = None) -> None:
        """``is_given``: an earlier request of the same browser has written a moment ago.  ``brought``: tells the
        bookmark that the request has brought for an alias; None: bookmarks do not travel.
        """
        self.is_given = is_given
        self.has_bookmarks = brought is not None
        self.brought = brought or _nothing
        self.written: set[str] = set()
        """The aliases on which something was written."""
        self.views: dict[str, Any] = {}
        """The causal view of each alias, with all that the request does there and on its replicas."""
        self.remembered: set[str] = set()
        """The aliases whose connection was checked out in this request, so that its view knows of all writes."""
        self.told: set[str] = set()
        """The aliases whose bookmark has all that the request has written."""

    @property
    def is_written(self) -> bool:
        """Whether something was written."""
        return bool(self.written)

    def share(self, alias: str, database: Any, is_primary: bool) -> Any:
        """Return ``database`` as a part of the alias's causal view; ``is_primary``: what is done with it may write."""
        if not self.has_bookmarks:
            return database
        if alias not in self.views:
            self.views.setdefault(alias, database.causal(self.brought(alias), strict=False))
        if is_primary:
            self.remembered.add(alias)
        return sharing(database, *memory_behind(self.views[alias]))


current: ContextVar[Pin | None] = ContextVar("clustersql_django_pin", default=None)


def note_write(alias: str) -> None:
    """Pin the request that is under way, if the middleware knows it."""
    if (pin := current.get()) is not None:
        pin.written.add(alias)


def shared(alias: str, database: Any, is_primary: bool) -> Any:
    """Return ``database`` as a part of the request that is under way, if the middleware knows it; else as it is."""
    return database if (pin := current.get()) is None else pin.share(alias, database, is_primary)


def is_pinned() -> bool:
    """Whether the middleware's request reads from the primary."""
    pin = current.get()
    return pin is not None and (pin.is_given or pin.is_written)


def is_written_by(sql: Any) -> bool:
    """Whether a statement may write."""
    return not str(sql).lstrip("( \t\r\n").upper().startswith(READS)
