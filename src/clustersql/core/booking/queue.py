"""The pool's queue: who waits for a connection, and what becomes of a connection or of room for one that is free.

Rules
-----
1. One queue for the whole cluster, first come, first served: whichever node frees a connection first serves the first
   waiter it fits.
2. A connection that is given back while waiters are queued and fits none of them is closed: it would only hold their
   room.
3. A waiter for whom there is no room is passed over, by later ones whom a connection fits, ``max_size`` times at most;
   the next connection is closed, to make room.  Else readers, whom any node fits, would keep every writer waiting for
   ever once all connections are to replicas, as they are after a demotion.
4. No call stands between the stores that give a connection to another: what the handler of a signal raises comes before
   all of them, or after them, so the connection is always somebody's (`Session.holder`), or idle, or what `Book.lost`
   finds.
5. Whoever was told of room and uses it otherwise, or leaves, hands the news on (`_room`): a waiter that slept beside
   free room would sleep on.
6. Nothing here that is done per operation looks at every waiter.  Else each answer takes the longer the more callers
   wait for it, and a pool that was overloaded once stays so.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..policies.named import Policy
from ..policies.plan import chosen
from ..steps import Changed, Served
from ..view.view import View, Want
from .plain import PlainWaiter
from .shelf import UNDERWAY, Actions, Session, Shelf, Waiter


class Queue:
    """The waiters of one pool, and the room that they wait for: ``total`` of ``max_size`` connections, ``max_dials``
    dials per node.
    """

    def __init__(self, max_size: int, max_dials: int, policy: Policy) -> None:
        self.policy = policy
        self.max_size = max_size
        self.max_dials = max_dials
        self.view = View()
        self.shelves: dict[str, Shelf] = {}
        self.waiters: dict[Waiter, None] = {}  # in their order
        self._candidates: dict[Want, tuple[Shelf, ...]] = {}
        self._names: dict[Want, tuple[str, ...]] = {}
        self._blocked: Counter[str] = Counter()  # how many of them want room of which kind: `Waiter.blocked_on`
        self.total = 0
        self.closed = False

    def enqueue(self, waiter: Waiter) -> None:
        """Put a caller in the queue; from now on it may be served at any moment."""
        self._aim(waiter)
        waiter.policy = self.policy.turn()
        self.waiters[waiter] = None

    def withdraw(self, waiter: Waiter) -> tuple[Session | None, Actions]:
        """Take a caller out of the queue.  Returns the connection that it was given in the same moment, if so: it must
        not be lost.
        """
        actions = Actions()
        self._leave(waiter)
        self._room(actions)  # it may have been told of room that it did not use
        return waiter.given, actions

    def plain(self, want: Want, now: float, holder: Any = UNDERWAY) -> PlainWaiter | None:
        """Return a waiter who can do nothing but wait: the pool is full, and all of it in use.  None: there may be more
        to do.

        Called when there was nothing to `take`, and under the same lock: what comes back in between would go idle
        beside the caller.
        """
        if self.closed or not self.is_exhausted:
            return None
        names = self._names.get(want)
        if names is None:  # those with a bound to the lag, which grows by itself, are never among them
            names = self._names[want] = tuple([shelf.name for shelf in self._candidates.get(want, ())])
        if not names:
            return None
        return PlainWaiter(want, names, self.policy.turn(), now, holder)

    def line_up(self, waiter: PlainWaiter) -> None:
        """Put him in the queue."""
        self._blocked[""] += 1
        self.waiters[waiter] = None

    @property
    def is_exhausted(self) -> bool:
        """Whether every connection is in use, and there is no room for another one."""
        if self.total < self.max_size:
            return False
        for shelf in self.shelves.values():  # noqa: SIM110 - a generator would cost as much as the rest of `line_up`
            if shelf.idle:
                return False
        return True

    @property
    def starving(self) -> bool:
        """Whether a caller waits for a role that no node has now: then every node is probed in a hurry."""
        return any(not self.view.serving(waiter.want) for waiter in self.waiters)

    def _aim(self, waiter: Waiter) -> None:
        if waiter.outside:
            return
        chosen = self.chosen(waiter.want, avoid=waiter.avoid)
        waiter.names = tuple(shelf.name for shelf in chosen)
        waiter.urgent = waiter.urgent or not chosen

    def chosen(self, want: Want, now: float | None = None, avoid: str | None = None) -> tuple[Shelf, ...]:
        """Return the nodes whose connections may be used for ``want`` now."""
        return chosen(self.view, want, self.shelves, self.policy, now, avoid)

    def _forget_candidates(self) -> None:
        """Work out anew which nodes come into question."""
        self._candidates.clear()
        self._names.clear()

    def _settle(self, session: Session, now: float, actions: Actions) -> None:
        """Give a connection that nobody holds to the first waiter it fits; else let it idle, or close it."""
        shelf = session.shelf
        usable = session.is_current(now) and not self.closed
        usable = usable and self.total <= self.max_size  # the pool was made smaller
        if usable and self.waiters:
            for waiter in self.waiters:
                if shelf.name in waiter.names and session.use is waiter.want.use:
                    self._serve(waiter, session, actions)
                    return
                if self._is_due(waiter):
                    break
            usable = self.total < self.max_size or not self._blocked[""]  # rule 2
        if usable:
            session.idle_since = now
            shelf.idle += [session]
        else:
            self._forget(session)
            actions.close.append(session)
            self._room(actions)

    def _is_due(self, waiter: Waiter) -> bool:
        """Whether a waiter whom a connection does not fit was passed over often enough, so that it is closed for it
        (rule 3).
        """
        if "" not in waiter.blocked_on or self.total < self.max_size:
            return False
        due = waiter.passed_over >= self.max_size
        waiter.passed_over = 0 if due else waiter.passed_over + 1
        return due

    def _serve(self, waiter: Waiter, session: Session, actions: Actions) -> None:
        """Give ``waiter`` a connection that is nobody's."""
        shelf = session.shelf
        session.holder, waiter.given = waiter.holder, session
        shelf.in_flight += 1
        shelf.checkouts += 1
        self._tell_served(waiter, session, actions)

    def _tell_served(self, waiter: Waiter, session: Session, actions: Actions) -> None:
        self._leave(waiter)
        session.shelf.owing = session.shelf.owing or session
        waiter.given = session
        if not waiter.plain:
            waiter.events.append(Served(session))
        actions.wake.append(waiter)

    def _forget(self, session: Session) -> None:
        shelf = session.shelf
        if session in shelf.open:
            shelf.open -= {session}
            self.total -= 1
        self._settled(session)

    @staticmethod
    def _settled(session: Session) -> None:
        """It owes nothing any more, and what is closed must not be kept alive."""
        if session.shelf.owing is session:
            session.shelf.owing = None

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self.waiters:
            del self.waiters[waiter]
            if waiter.plain:
                self._blocked[""] -= 1
                return
            self._blocked.subtract(waiter.blocked_on)
            waiter.blocked_on.clear()

    def _wants_room(self, waiter: Waiter, on: str) -> None:
        """A waiter was refused for want of room ``on`` a node, or in the whole pool (``""``)."""
        if waiter in self.waiters and on not in waiter.blocked_on:
            waiter.blocked_on.add(on)
            self._blocked[on] += 1

    def _wants_no_room(self, waiter: Waiter, on: str) -> None:
        if on in waiter.blocked_on:
            waiter.blocked_on.discard(on)
            self._blocked[on] -= 1

    def _has_room(self, on: str) -> bool:
        if not on:
            return self.total < self.max_size
        shelf = self.shelves.get(on)
        return shelf is not None and shelf.dials < self.max_dials

    def _room(self, actions: Actions) -> None:
        """Whatever room there is for a dial: the first waiter that was refused for want of it looks again.

        Called whenever room may have come free, and when the one who was told of it used it otherwise or has left the
        queue.
        """
        free = {on for on, waiting in self._blocked.items() if waiting and self._has_room(on)}
        if not free:
            return  # by far the most: the pool is full
        for waiter in self.waiters:
            if room := waiter.blocked_on & free:
                waiter.general()
                free -= room
                self._blocked.subtract(waiter.blocked_on)
                waiter.blocked_on.clear()  # it looks at everything anew
                self._notify(waiter, Changed(), actions)
                if not free:
                    return

    @staticmethod
    def _notify(waiter: Waiter, event: Any, actions: Actions) -> None:
        waiter.general()
        waiter.events.append(event)
        actions.wake.append(waiter)
