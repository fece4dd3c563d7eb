"""Who has the connections of a pool, and who waits for one: worked out when somebody asks.  A checkout leaves no more
behind for it than where it was asked for, and by whom.

No lock is taken: a signal handler may ask in the middle of anything.  What is iterated over is copied at once; a
connection that is just changing hands may be missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..core.booking.shelf import UNDERWAY

if TYPE_CHECKING:
    from ..core.booking.book import Book
    from ..core.booking.shelf import Session

NOBODY: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Held:
    """A connection in use."""

    site: str
    """``file:line`` where it was checked out."""
    since: float
    """When, in monotonic seconds."""
    seconds: float
    """For how long it has been held."""
    thread: str
    """The thread that checked it out; "": a task did, or the thread has ended."""
    task: str
    """The task that is inside the function where it was checked out; "": none is, or it is a thread's."""
    node: str
    """The node that serves it."""
    doing: str
    """``executing``, ``idle in transaction`` or ``idle``."""
    executing: float | None
    """For how many seconds an answer is awaited; None: none is."""
    statement: str
    """Its latest statement, shortened and without any value; "": none yet."""
    outside: bool
    """It is not the pool's to count."""

    def __str__(self) -> str:
        """As an error and the log tell of it: ``app/orders.py:88 for 41 s, idle in transaction on pg1``."""
        place = PurePath(self.site)
        short = place.relative_to(place.parents[min(1, len(place.parents) - 1)])
        return f"{short} for {self.seconds:.0f} s, {self.doing} on {self.node}"

    def in_full(self) -> str:
        """Return everything in one line, for the log."""
        by = f" by thread {self.thread}" if self.thread else f" by task {self.task}" if self.task else ""
        doing = f"{self.doing}, its latest statement {self.statement}" if self.statement else self.doing
        return f"held for {self.seconds:.0f} s{by}, checked out at {self.site}, {doing}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller in the queue."""

    wants: str
    """The service: ``primary``, ``any`` or ``replica``."""
    read_only: bool
    """Whether the session is to be read-only."""
    node: str
    """The node that must serve; "": any."""
    seconds: float
    """How long it has waited."""


def holders(book: Book, threads: Mapping[int, str] = NOBODY, tasks: Mapping[int, str] = NOBODY) -> list[Held]:
    """Return who has a connection, the oldest first.

    ``threads`` and ``tasks``: their names, by what a handle's site says of who checked it out.
    """
    now, shelves = time.monotonic(), list(book.shelves.values())
    sessions = [session for shelf in shelves for session in (*list(shelf.open), *list(shelf.outside))]
    found = [held(session, now, threads, tasks) for session in sessions]
    return sorted((one for one in found if one is not None), key=lambda one: one.since)


def oldest(book: Book) -> Held | None:
    """Return the connection of the pool that has been held for longest; None: none is in use."""
    return next((one for one in holders(book) if not one.outside), None)


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


class Leaks:
    """The connections that have been held for too long, each found once per checkout."""

    def __init__(self) -> None:
        self._told: WeakKeyDictionary[Session, float] = WeakKeyDictionary()

    def found(self, book: Book, now: float, after: float) -> list[Session]:
        """Return those of the pool that have been held for ``after`` seconds and were not found before.  Under the
        lock.
        """
        late = [
            session
            for shelf in book.shelves.values()
            if shelf.in_flight
            for session in shelf.open
            if session.holder not in (None, UNDERWAY) and now - since(session) >= after
        ]
        new = [session for session in late if self._told.get(session) != since(session)]
        self._told.update((session, since(session)) for session in new)
        return new


def since(session: Session) -> float:
    """Return when a connection in use was checked out, in monotonic seconds."""
    return session.lent_at or session.opened


def held(session: Session, now: float, threads: Mapping[int, str], tasks: Mapping[int, str]) -> Held | None:
    """Return who has a connection, at ``now`` in monotonic seconds; None: nobody.  The names as for `holders`."""
    state = session.holder
    if state is None or state is UNDERWAY:
        return None
    started, by = session.started, state.site[2]
    executing = round(now - started, 3) if started > session.ended else None
    at = since(session)
    return Held(
        site=state.place(),
        since=at,
        seconds=max(0.0, round(now - at, 3)),
        thread=threads.get(by, ""),
        task=tasks.get(by, ""),
        node=session.node,
        doing=state.doing(),
        executing=executing,
        statement=state.latest(),
        outside=session.outside,
    )
