"""Who has the connections of a pool, and who waits for one: worked out when somebody asks, so that a checkout pays
nothing for it.

No lock is taken: a signal handler may ask in the middle of anything.  What is iterated over is copied at once; a
connection that is just changing hands may be missing.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.booking.book import Book
    from ..core.booking.shelf import Session


@dataclass(frozen=True, slots=True)
class Held:
    """A connection in use; ``since`` in monotonic seconds, ``executing``: for how many seconds an answer is awaited,
    None: none is.
    """

    site: str
    since: float
    thread: str
    node: str
    executing: float | None
    outside: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller in the queue, and for how many seconds."""

    wants: str
    read_only: bool
    node: str
    seconds: float


def holders(book: Book) -> list[Held]:
    """Return who has a connection."""
    now, running = time.monotonic(), _running()
    shelves = list(book.shelves.values())
    sessions = [session for shelf in shelves for session in (*list(shelf.open), *list(shelf.outside))]
    return [held for session in sessions if (held := _held(session, now, running)) is not None]


def waiters(book: Book) -> list[Waiting]:
    """Return who waits, in the order of the queue."""
    now = time.monotonic()
    return [
        Waiting(
            waiter.want.service.value,
            waiter.want.read_only,
            waiter.want.node or "",
            round(now - waiter.since, 3) if waiter.since else 0.0,
        )
        for waiter in list(book.waiters)
    ]


def _held(session: Session, now: float, running: dict[CodeType, set[str]]) -> Held | None:
    state = session.holder
    if state is None:
        return None
    threads = running.get(state.site[0], set())
    started = session.started
    return Held(
        site=state.place(),
        since=session.lent_at or session.opened,
        thread=next(iter(threads)) if len(threads) == 1 else "",
        node=session.node,
        executing=round(now - started, 3) if started > session.ended else None,
        outside=session.outside,
    )


def _running() -> dict[CodeType, set[str]]:
    """Return by which threads each function is being executed: only so is it known without a cost at the checkout."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found: dict[CodeType, set[str]] = {}
    for number, top in sys._current_frames().items():
        frame = top
        while frame is not None:
            found.setdefault(frame.f_code, set()).add(names.get(number, str(number)))
            frame = frame.f_back  # type: ignore[assignment]
    return found
