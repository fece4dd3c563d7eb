"""Who has which connection: the book under its lock, what it asks for, and what comes back.

Rules
-----
* Decide under the lock, act outside it: under ``_lock`` there is only the bookkeeping, never a call of a driver that
  may block.  A pool of the asyncio API lives in one thread, and its lock is none.
* Whatever was dialled is in the book, handed to somebody, or closed; so is what was abandoned.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic

from ..config.knobs import Knobs
from ..core.booking.book import Book
from ..core.booking.shelf import Actions, Session, Shelf, Waiter
from ..core.view.use import Use
from ..core.view.view import View, Want
from ..drivers.contract import AnyDriver
from ..errors import ClusterError, bind
from ..nodes.dial import D, Probing
from ..nodes.topology import Topology
from .counts import empty_book, policy_of
from .lost import is_unreachable
from .outside import DialledFor, OutsideConnections


class Lending(Generic[D]):
    """The connections of a pool that are open, and who has them."""

    _prober: Probing

    def __init__(self, topology: Topology, driver: AnyDriver) -> None:
        self.topology = topology
        self.knobs = topology.settings
        self.timeout = self.knobs.timeout
        # Given up by the garbage collector, which may run under any lock: `take_in_orphans` takes them in.
        # Each with its holder: it may be found a second time.
        self.orphans: deque[tuple[Session, Any]] = deque()
        # Of connections that a framework has dropped; the garbage collector may be the one who says so.
        self.gone: deque[Shelf] = deque()
        # Of the connections that were dialled for frameworks; None: none was.
        self.register: OutsideConnections | None = None
        self.waits = 0
        self.hung = 0
        self.reading = driver
        self._is_stale = driver.is_stale
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._attempts: set[D] = set()
        self._asked: set[Use | None] = set()
        """The uses that callers have waited for, of which ``min_idle`` connections are kept; None: a plain one."""
        self._outside: weakref.WeakSet[Session] = weakref.WeakSet()  # in no book: only a forked child asks

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def _is_locked(self) -> bool:
        """Whether somebody has the lock: this thread too, where a signal has interrupted it."""
        raise NotImplementedError

    def _close_all(self, sessions: Sequence[Session]) -> None:
        raise NotImplementedError

    def _drop(self, raw: Any) -> None:
        """Close a connection of the driver at once, whichever thread this is."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Let the monitor come round now."""
        raise NotImplementedError

    def wake_by(self, moment: float) -> None:
        """Let the monitor come round at ``moment`` (monotonic seconds) at the latest."""
        raise NotImplementedError

    def delete_tokens(self, node: str) -> None:
        """Delete the commit guard's acknowledged tokens on ``node``, in the background, and what is too old."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Let the monitor come round no more."""
        raise NotImplementedError

    # -- the book ------------------------------------------------------------------------------------------------------

    def _empty_book(self) -> Book:
        return empty_book(self.topology)

    @property
    def book(self) -> Book:
        """The bookkeeping, for whoever only looks."""
        return self._book

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._book.closed

    def _adopt(self, view: View) -> None:
        with self._lock:
            news = view.version != self._book.view.version
            actions = self._book.adopt(view)
            resized = self._resize() if self.knobs is not self.topology.settings else None
        self._act(actions)
        if resized is not None:
            self._act(resized)
        if news:
            self._wake()  # a suspect node is dialled, and a refusal is looked into, at once

    def _resize(self) -> Actions:
        """Take the knobs over that were published with the view; the others are read where they are."""
        before, knobs = self.knobs, self.topology.settings
        chosen = None
        if _policy(before) != _policy(knobs):
            chosen = policy_of(knobs)
        self.knobs, self.timeout = knobs, knobs.timeout
        return self._book.resize(knobs.max_size, knobs.max_dials_per_node, chosen, knobs.slow_start)

    def _act(self, actions: Actions | Waiter) -> None:
        """Do what the book asks for, or wake a waiter.  Twice does no harm: whatever breaks in, it is done again."""
        if isinstance(actions, Waiter):
            actions.signal.set()
            return
        for waiter in actions.wake:
            waiter.signal.set()
        if actions.close:
            self._close_all(actions.close)
        if actions.close and self.topology.settings.min_idle:
            self._wake()  # to fill up what was closed

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        return bind(kind, self.reading.operational_error)(text)

    # -- what comes back -----------------------------------------------------------------------------------------------

    def give_back(self, session: Session, keep: bool = True, holder: Any = None) -> None:
        """Take a connection back.  The caller has made it clean, or says that it is not worth keeping.

        ``holder``: whose it is; when it is that one's no more, it was given back already.
        """
        actions = None
        try:
            session.looked_at = False
            if keep and self._book.waiters and not session.outside:
                keep = self._fit_to_hand_on(session)
            with self._lock:
                actions = self._book.give_back(session, time.monotonic(), keep, holder)
            if actions is not None:
                self._act(actions)
        except BaseException:  # the handler of a signal raised: what it broke off is done now
            if actions is None and holder is not None:
                self.give_back(session, False, holder)
            elif actions is not None:
                self._act(actions)
            raise

    def _fit_to_hand_on(self, session: Session) -> bool:
        """Look at a connection for the one who waits for it, by the published view.  He would have to wait for Python's
        lock once more for it.

        Raises what breaks in.
        """
        if self._book.view is not self.topology.view:
            self._adopt(self.topology.view)
        try:
            session.looked_at = not self._is_stale(session.raw)
        except BaseException:  # nobody else knows of it
            self.give_back(session, keep=False)
            raise
        return session.looked_at

    def reclaim(self, holder: Any) -> None:
        """Take back what ``holder`` may have been given: something broke into its checkout."""
        with self._lock:
            shelves = self._book.shelves.values()
            sessions = [one for shelf in shelves for one in (*shelf.open, *shelf.outside) if one.holder is holder]
        for session in sessions:
            self.give_back(session, False, holder)

    def hand_over(self, session: Session, register: OutsideConnections, want: Want) -> Any:
        """Return the driver's connection of an outside session, which is the caller's alone from now on, until `gone`
        says that it ended.
        """
        raw, shelf, gone = session.raw, session.shelf, self.gone
        with self._lock:
            shelf.outside.discard(session)
        self.register = register
        register.remember(
            raw, DialledFor(shelf.name, session.generation, want, self.reading), lambda: gone.append(shelf)
        )
        return raw

    def abandon(self, session: Session) -> None:
        """Take a session from the garbage collector, which may run in a thread that holds any lock: so none is taken
        here.
        """
        if self._book.closed:
            self._drop(session.raw)  # nobody comes by any more to do it
        else:
            self.orphans.append((session, session.holder))

    def take_in_orphans(self) -> None:
        """Take in what the garbage collector has found, and what frameworks have dropped."""
        while self.gone:
            with contextlib.suppress(IndexError), self._lock:
                self.gone.popleft().in_flight -= 1
        while self.orphans:
            with contextlib.suppress(IndexError):  # another thread was faster
                session, holder = self.orphans.popleft()
                self.give_back(session, False, holder)

    def take_in_lost(self) -> None:
        """Take in what nobody will give back: something broke in while it changed hands, or in the end of
        its holder.
        """
        actions = Actions()
        with self._lock:
            for session in self._book.lost(is_unreachable):
                self._book.take_in(session, actions)
        self._act(actions)


def _policy(knobs: Knobs) -> tuple[object, ...]:
    """Return the knobs that a policy is made of."""
    return knobs.policy, knobs.local_threshold, knobs.zone, knobs.zone_preference
