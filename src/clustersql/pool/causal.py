"""What both APIs have in common of causal reads: what is looked for, and what is told of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ..core.booking.shelf import Chosen, Session
from ..core.causal.after import Causal, Remembers
from ..core.causal.bookmark import Bookmark
from ..core.causal.means import Means
from ..core.causal.reading import Behind, Found, Search
from ..core.causal.route import Stay
from ..core.causal.taking import joined
from ..core.view.view import Service, Want
from ..errors import ClusterError, ConfigError, NoNodeAvailable, bind
from .base import BasePool


def means_of(pool: BasePool[Any]) -> Means:
    """Return what the cluster's database has for bookmarks.  Raises `ConfigError` where it has nothing."""
    means = pool.reading.dialect.bookmarks
    if means is None:
        raise ConfigError(
            f"cluster {pool.topology.name!r}: a {pool.reading.dialect.name} database tells no positions: leave"
            " causal() and after= out"
        )
    return means


def plain(want: Want) -> Want:
    """Return what is asked of the pool for work that reads nothing causally."""
    return replace(want, causal=None)


def search(pool: BasePool[Any], want: Want, mark: Bookmark | None, deadline: float) -> Search:
    """Return what is looked for: a session for ``want`` that has seen ``mark`` and what the caller has named."""
    causal: Causal = want.causal
    means, memory = means_of(pool), causal.memory
    mark = both(pool, causal.after, mark)
    wait = pool.topology.settings.causal_wait
    return Search(want, mark, means, wait, deadline, memory.stay if memory is not None else None)


def both(pool: BasePool[Any], given: Bookmark | None, mark: Bookmark | None) -> Bookmark | None:
    """Return what has both bookmarks.  Raises `CausalityLost` where nothing has."""
    if given is None or mark is None:
        return given or mark
    return joined(given, mark, pool.topology.view, means_of(pool))


def primary(want: Want) -> Want:
    """Return what is asked of the pool for a read on the primary."""
    return replace(want, causal=None, service=Service.WRITE, max_lag=None)


def forgiven(pool: BasePool[Any], memory: Remembers | None) -> bool:
    """Whether a bookmark that cannot be read is no error, but a read of the primary; it is counted then."""
    if memory is None or not memory.forgive():
        return False
    pool.topology.causal["refused"] += 1
    return True


def identity(pool: BasePool[Any], session: Session) -> str:
    """Return the identity of the server that has the session; "": not told.

    Not that of the node: where an address leads to several servers, it may stand for another one by now.
    """
    if session.identity:
        return session.identity
    known = pool.topology.view.by_name.get(session.node)
    return known.identity if known is not None else ""


def written(pool: BasePool[Any], want: Want, session: Session) -> Session:
    """Return ``session``, which was checked out for work that may write, and remember whom to ask how far that is."""
    asked: Causal = want.causal
    if asked.memory is not None:
        asked.memory.served(session, session.node, identity(pool, session))
    return session


def remember(pool: BasePool[Any], memory: Remembers | None, found: Found) -> None:
    """Count a read, and remember who has served it: what the primary has shown is a position of its own."""
    pool.topology.causal[found.how] += 1
    proved(found.session, found.how, found.want)
    if memory is None:
        return
    node = found.session.node
    if found.primary:
        memory.served(found.session, node, found.identity or identity(pool, found.session))
        memory.read(None)
    else:
        memory.read(Stay(node, found.identity))


def proved(session: Session, how: str, want: Want) -> None:
    """Note how a session was proved to have what must have been seen, for whoever asks why it serves."""
    session.chosen = replace(Chosen.of(session.chosen), want=want, causal=how)


def behind(pool: BasePool[Any], want: Want, outcome: Behind, began: float) -> NoNodeAvailable:
    """Return the error for a read that no node could serve in time.  ``began`` in monotonic seconds."""
    seconds = time.monotonic() - began
    told = "; ".join(f"{node}: {why}" for node, why in outcome.nodes.items())
    what = f"node {want.node!r}" if want.node else "a node" if want.service.value != "replica" else "a replica"
    text = (
        f"cluster {pool.topology.name!r}: {what} with what the bookmark stands for could not be had"
        f" within {seconds:.1f} s: {told}"
    )
    return bind(NoNodeAvailable, pool.reading.operational_error)(
        text, {node: ClusterError(why) for node, why in outcome.nodes.items()}
    )
