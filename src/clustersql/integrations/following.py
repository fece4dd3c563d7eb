"""Causal reads through a framework's own connections: whoever checks one out takes part in the view of its context.

Rules
-----
1. A view is followed in its context alone (a request, a task, a block), by what is checked out there: what may write is
   remembered by the view, and what only reads has seen all of it.
2. Only the connections of the view's own cluster take part.
3. What SQLAlchemy's own pool keeps was dialled for somebody else, and cannot: its engine says so once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..cluster import Cluster
from ..connection.database import BaseDatabase, memory_behind, sharing
from ..core.causal.after import Remembers
from ..errors import ConfigError

_followed: ContextVar[tuple[object, Remembers] | None] = ContextVar("clustersql_followed", default=None)
"""Of whom the view is, and its memory."""


@contextmanager
def following(view: Any) -> Iterator[Any]:
    """Let the engines of ``view``'s cluster take part in it, within the block and whatever that starts.

    ``view``: what `causal` has returned, of either API; the block is given it.  What an engine writes there counts as
    written through the view, so that ``view.bookmark`` has it; what one of `read_only` reads has seen what the view
    has.  It counts for connections that are checked out in the block, of the cluster's pool: an engine over
    SQLAlchemy's own pool takes no part, and logs a warning, once.  Raises `ConfigError` for what is no causal view.
    """
    token = _followed.set(_behind(view))
    try:
        yield view
    finally:
        _followed.reset(token)


def _behind(view: Any) -> tuple[object, Remembers]:
    if not isinstance(view, BaseDatabase):
        raise ConfigError("following(): give a view that db.causal() has returned")
    return memory_behind(view)


def is_followed(cluster: Cluster) -> bool:
    """Whether a view of a cluster of that name is followed here."""
    followed = _followed.get()
    return followed is not None and getattr(followed[0], "name", None) == cluster.name


def taking_part(database: Any) -> Any:
    """Return ``database`` with the memory of the view that is followed here; as it is, where there is none."""
    followed = _followed.get()
    return database if followed is None else sharing(database, *followed)
