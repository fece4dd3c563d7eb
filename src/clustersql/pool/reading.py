"""Causal reads as procedures (`core.steps`): how a session is had that has seen what must have been seen, and a
bookmark.
"""

from __future__ import annotations

import time
from typing import Any

from ..core.booking.shelf import Session
from ..core.causal.after import Causal, Remembers
from ..core.causal.bookmark import Bookmark
from ..core.causal.reading import Behind, reading
from ..core.causal.taking import taking
from ..core.steps import Borrow, Return, Steps
from ..core.view.view import Want
from ..errors import CausalityLost
from . import causal
from .base import BasePool


def checkout(pool: BasePool[Any], want: Want, timeout: float) -> Steps[Session]:
    """Return a session that has seen what ``want`` asks for, within ``timeout`` seconds.

    Raises `CausalityLost`, `NoNodeAvailable` that says who is behind, and what the pool raises.
    """
    asked: Causal = want.causal
    began, memory = time.monotonic(), asked.memory
    deadline = began + timeout
    try:
        mark = (yield from _seen(pool, memory, deadline)) if memory is not None else None
        if memory is not None and memory.doubtful:
            return (yield from _primary(pool, want, memory, deadline, apart=False))
        outcome = yield from reading(causal.search(pool, want, mark, deadline))
    except CausalityLost:
        if not causal.forgiven(pool, memory):
            raise
        return (yield from checkout(pool, want, deadline - time.monotonic()))
    if isinstance(outcome, Behind):
        raise causal.behind(pool, want, outcome, began)
    causal.remember(pool, memory, outcome)
    return outcome.session  # type: ignore[no-any-return]


def bookmark(pool: BasePool[Any], memory: Remembers, deadline: float) -> Steps[Bookmark | None]:
    """Take what ``memory`` lacks, and return its bookmark, for somebody who asks for that alone.  ``deadline`` in
    monotonic seconds.

    Raises `CausalityLost`.
    """
    try:
        if memory.doubtful:
            session = yield from _primary(pool, Want(read_only=True), memory, deadline, apart=True)
            yield Return(session)
        return (yield from _taken(pool, memory, deadline))
    except CausalityLost:
        if not causal.forgiven(pool, memory):
            raise
        return (yield from bookmark(pool, memory, deadline))


def _seen(pool: BasePool[Any], memory: Remembers, deadline: float) -> Steps[Bookmark | None]:
    """As `bookmark`, for a reader, who reads the primary where nobody knows what must have been seen."""
    try:
        return (yield from _taken(pool, memory, deadline))
    except CausalityLost:
        if not causal.forgiven(pool, memory):
            raise
        return (yield from _seen(pool, memory, deadline))


def _primary(pool: BasePool[Any], want: Want, memory: Remembers, deadline: float, apart: bool) -> Steps[Session]:
    """Read the primary, which has all there is: nobody knows what must have been seen."""
    session: Session = yield Borrow(causal.primary(want), max(0.0, deadline - time.monotonic()), apart)
    pool.topology.causal["primary"] += 1
    causal.proved(session, "primary", causal.primary(want))
    memory.served(session, session.node, causal.identity(pool, session))
    memory.read(None)
    return session


def _taken(pool: BasePool[Any], memory: Remembers, deadline: float) -> Steps[Bookmark | None]:
    ended, due = memory.ended(), memory.due()
    if due:
        memory.taken(ended, (yield from taking(due, memory.mark, causal.means_of(pool), deadline)))
    return causal.both(pool, memory.given, memory.mark)
