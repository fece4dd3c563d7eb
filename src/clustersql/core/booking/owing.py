"""Which sessions owe an answer, and whose time for it is over: what the monitor asks at each round, under the pool's
lock.

A session owes one when its statement began after the latest answer came: ``started > ended``.  One that was given up
(``tainted``) is not asked about again: it is on its way out.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..view.view import View
from .shelf import Session, Shelf


def note_oldest(shelves: Iterable[Shelf]) -> None:
    """Find, per node, the connection that has owed an answer the longest."""
    for shelf in shelves:
        since, owing = float("inf"), None
        for session in (*shelf.open, *shelf.outside):
            if session.ended < session.started < since:
                since, owing = session.started, session
        shelf.owing = owing


def silent(shelves: Iterable[Shelf], before: float) -> list[Session]:
    """Return the connections that owe an answer since ``before`` or longer, and were not given up yet."""
    return [
        session
        for shelf in shelves
        for session in (*shelf.open, *shelf.outside)
        if session.ended < session.started <= before and not session.tainted
    ]


def forsaken(shelves: Iterable[Shelf], view: View) -> list[Session]:
    """Return the connections that wait for notifications of a node which sends none any more."""
    return [
        session
        for shelf in shelves
        for session in (*shelf.open, *shelf.outside)
        if session.listening and session.holder is not None and view.is_mute(session.node, session.holder.want)
    ]


def overdue(shelves: Iterable[Shelf], now: float) -> tuple[list[Session], float]:
    """Return the connections whose holder's time for the answer it waits for is over, and when the next one's will
    be.
    """
    late, due = [], float("inf")
    for shelf in shelves:
        for session in (*shelf.open, *shelf.outside):
            if (session.deadline or session.patience) and session.ended < session.started and not session.tainted:
                end = _end(session)
                if end <= now:
                    late.append(session)
                else:
                    due = min(due, end)
    return late, due


def outstayed(shelves: Iterable[Shelf], now: float) -> tuple[list[Session], float]:
    """Return the connections in use on drained nodes whose grace is over, and when the next node's will be."""
    late, due = [], float("inf")
    for shelf in shelves:
        if shelf.ends_at is not None and shelf.ends_at <= now:
            idle = set(shelf.idle)
            late += [s for s in (*shelf.open, *shelf.outside) if s not in idle and not s.tainted]
        elif shelf.ends_at is not None:
            due = min(due, shelf.ends_at)
    return late, due


def _end(session: Session) -> float:
    ends = [session.deadline] if session.deadline else []
    return min([*ends, session.started + session.patience] if session.patience else ends)
