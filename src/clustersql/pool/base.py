"""What the pools of both APIs have in common, around the bookkeeping of `core.booking.book`.

Who has which connection stands in `lending`, how a new one is opened in `opening`; here is what an error says of a
session, the end, and what is told of the pool.  What the monitor does for a pool stands in `upkeep`, which the pool
does not know.

Nothing here waits: `sync.pool` waits with threads, `aio.pool` in an event loop; what they do while waiting is theirs.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import fork
from ..config.pooler import no_autocommit
from ..core.booking.mode import Means, autocommit_of, reset, set_mode
from ..core.booking.shelf import Actions, Session
from ..core.faults import Fault
from ..core.steps import Steps
from ..core.view.observations import Refused, SessionLost
from ..core.view.use import Use
from ..core.view.view import View
from ..nodes.dial import D, Order, means_of
from .counts import counted
from .holders import NOBODY, holders, waiters
from .opening import Opening

LOOKS = 0.01
"""Seconds between two looks whether something is in use still, when the pool is to be closed."""


class BasePool(Opening[D]):
    """Connections to every node of one cluster, handed out best node first: all but the waiting."""

    def _begin(self, listener: Callable[[View], None]) -> None:
        """Take part from now on: called at the end of the constructor.  ``listener`` hands new views on to `_adopt`."""
        self._listener = listener
        self._book.adopt(self.topology.view)
        self.topology.listeners.append(listener)
        fork.track(self)

    # -- what a session is and does ------------------------------------------------------------------------------------

    def means(self, use: Use | None = None) -> Means:
        """Return what there is for making a session of that use ready."""
        return means_of(self.topology, self.reading, use)

    def require_autocommit(self, session: Session, read_only: bool) -> None:
        """Raise `ConfigError` when a caller asks for autocommit mode where it is not possible."""
        if not autocommit_of(session, self.means(), True, read_only):
            raise no_autocommit(session.node, read_only, self.reading.name)

    def switching(self, session: Session, autocommit: bool | None, read_only: bool) -> Steps[None]:
        """Return what makes a session read-only or not, and autocommit or not (None: as it is); what it is already
        costs nothing.

        Raises `ConfigError` where a connection outside the pool is asked for autocommit mode that is not possible.
        """
        if session.shared and session.outside and autocommit:
            self.require_autocommit(session, read_only)
        return set_mode(session, self.means(), autocommit, read_only)

    def resetting(self, session: Session) -> Steps[bool]:
        """Return what gives a session its first state back, and the pool's own settings; it ends with False where the
        driver cannot, so that the connection must be closed.
        """
        return reset(session, self.means(session.use))

    def end_switch(self, session: Session, error: BaseException) -> None:
        """Setting the mode of a session that nobody holds yet raised.  Returns where it was lost, so that another one
        will do; else raises.
        """
        if not isinstance(error, Exception):  # with the answer pending
            self.give_back(session, keep=False)
            raise error
        if not self.lost_in_switch(session, error):
            raise error

    def lost_in_switch(self, session: Session, error: Exception) -> bool:
        """Setting a session's mode raised: it goes.  True: it was lost, and nothing of the caller's was sent; False:
        the error is the caller's.

        Raises what is not the driver's error as it is.
        """
        facts = self.reading.facts(error, session.raw)
        generation, node = session.generation, session.node
        self.give_back(session, keep=False)
        if facts.fault is Fault.FOREIGN:
            raise error
        if facts.lost:
            self.blame(session, SessionLost(node, generation, str(error)), error)
        return facts.lost

    def blame(self, session: Session, seen: SessionLost | Refused, error: BaseException) -> None:
        """Take what an error of ``session`` says about its node into account."""
        self.topology.failed(session.node, error)
        with self._lock:
            session.shelf.penalize(time.monotonic())
        self.topology.tell(seen)

    def number(self, session: Session) -> int | None:
        """Return the server's number of a session, by which another one can cancel it; None: not known, or another
        client's a moment later.
        """
        return None if session.shared else self.reading.session_id(session.raw)

    def interrupted(self, session: Session) -> None:
        """Something broke into a call on ``session`` with its answer pending: it is closed, and its statement cancelled
        on the server.

        Until then it stays in flight: what was cancelled still costs the node.
        """
        session.tainted = True
        number = self.number(session)
        if number is not None:
            self.cancel(session, number)

    def cancel(self, session: Session, number: int) -> None:
        """Ask the node, on another connection, to end what ``session`` is executing.  In the background; nothing
        depends on it.
        """
        form = self.reading.dialect.cancel
        if form and not self.closed:
            order = Order(form, number, session.opened, session.server, session.identity)
            self._prober.say(session.node, order)

    # -- the end, and forks --------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Give out nothing more; the rest is `shut`'s, which takes the lock."""
        self._book.closed = True

    def shut(self) -> None:
        """Close idle connections now, the others when they are given back; whoever waits gets `PoolClosed`."""
        self._act(self._shut())
        self._prober.close()

    def _shut(self) -> Actions:
        """Take no more part.  Returns what is left to do."""
        with self._lock:
            actions = self._book.close()
        if self._listener in self.topology.listeners:
            self.topology.listeners.remove(self._listener)
        self._forget()
        self.take_in_orphans()
        return actions

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: begin anew, and return the parent's connections and cursors, which must never be finalized
        here.
        """
        inherited = [session for shelf in self._book.shelves.values() for session in (*shelf.open, *shelf.outside)]
        inherited += [*self._outside, *(session for session, _ in self.orphans)]
        raws = [session.raw for session in inherited] + self._prober.after_fork()
        for session in inherited:
            if session.holder is not None:
                raws += session.holder.inherit()
        raws += [attempt.held for attempt in self._attempts if attempt.held is not None]
        closed = self._book.closed
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._book.closed = closed
        self._attempts = set()
        self._outside = weakref.WeakSet()
        self.orphans.clear()
        self.topology.after_fork()
        self._book.adopt(self.topology.view)
        return raws

    def measure(self) -> None:
        """Count durations from now on where the cluster says so, or no more."""
        with self._lock:
            self._book.measure(self.topology.durations)

    # -- what is told of it --------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Return sizes and counts: of the pool, and per node under ``nodes``.

        Never waits: a signal handler may ask in the middle of anything, also of what holds the lock.  Then a connection
        that is just changing hands may be counted on neither side, or on both.
        """
        if self._is_locked():
            return counted(self._book, self.waits, self.hung)
        with self._lock:  # a lock that is taken otherwise stays taken when the handler of a signal raises then
            return counted(self._book, self.waits, self.hung)

    def told(self) -> dict[str, Any]:
        """Return what `stats` does, and who waits and who holds a connection.  Never waits, as `stats`."""
        return self.stats() | {"waiters": waiters(self._book), "holders": holders(self._book, *self._callers())}

    def _callers(self) -> tuple[Mapping[int, str], Mapping[int, str]]:
        """Return the names of the threads, and of the tasks, by what the site of a handle says of who
        checked it out.
        """
        return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}, NOBODY

    def words(self) -> str:
        """Return the state of the pool for a `repr`."""
        s = self.stats()
        return "closed" if s["closed"] else f"{s['in_flight']} in flight, {s['idle']} idle, at most {s['max_size']}"

    def __repr__(self) -> str:
        s = self.stats()
        sizes = f"size={s['size']}/{s['max_size']} idle={s['idle']} in_flight={s['in_flight']} waiting={s['waiting']}"
        return f"<Pool {self.topology.name!r} {sizes}>"
