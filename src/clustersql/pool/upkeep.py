"""What the monitor does for a pool at each round, and what the pool has of its own in each API.

Rules
-----
* A statement on a node that answers is never touched for being slow; one on a node that does not answer is woken, and recovery takes over.
* What did not answer while this process stood still is not judged: it may have answered.
* Decide under the lock, act outside it.  A pool of the asyncio API lives in one thread, and its lock is none.
"""

from __future__ import annotations

import contextlib
import random
import time
import weakref
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ..core.booking.book import Book
from ..core.booking.opening import fill
from ..core.booking.owing import forsaken, note_oldest, outstayed, overdue, silent
from ..core.booking.shelf import Actions, Session, Shelf, Waiter
from ..core.policies.named import policy
from ..core.steps import Steps
from ..core.view.node import Reach
from ..core.view.view import Service, View, Want
from ..drivers.contract import AnyDriver
from ..nodes.dial import Dialling, Owed, Probing, allowed
from ..nodes.topology import Topology
from .outside import OutsideConnections

D = TypeVar("D", bound=Dialling)


def empty_book(topology: Topology) -> Book:
    """Return the bookkeeping of a pool that has no connection yet."""
    s = topology.settings
    chosen = policy(s.policy, s.local_threshold, random.randrange(1 << 16))
    return Book(s.max_size, s.max_dials_per_node, chosen, random.random, s.slow_start)


class Upkeep(Generic[D]):
    """What one pool holds, and what the monitor does for it."""

    _prober: Probing

    def __init__(self, topology: Topology, driver: AnyDriver) -> None:
        self.topology = topology
        self.timeout = topology.settings.timeout
        self.orphans: deque[Session] = (
            deque()
        )  # given up by the garbage collector, which may run under any lock: `tick` takes them in
        self.gone: deque[Shelf] = (
            deque()
        )  # of connections that a framework has dropped; the garbage collector may be the one who says so
        self.register: OutsideConnections | None = (
            None  # of the connections that were dialled for frameworks; None: none was
        )
        self.waits = 0
        self.hung = 0
        self.reading = driver
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._attempts: set[D] = set()
        self._outside: weakref.WeakSet[Session] = weakref.WeakSet()  # in no book: only a forked child asks

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def _attempt(self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None) -> D:
        raise NotImplementedError

    def _close_all(self, sessions: Sequence[Session]) -> None:
        raise NotImplementedError

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        """Let the monitor come round now."""
        raise NotImplementedError

    def wake_by(self, moment: float) -> None:
        """Let the monitor come round at ``moment`` (monotonic seconds) at the latest."""
        raise NotImplementedError

    def _ensure_monitor(self) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        """Let the monitor come round no more."""
        raise NotImplementedError

    def _drop(self, raw: Any) -> None:
        """Close a connection of the driver at once, whichever thread this is."""
        raise NotImplementedError

    # -- the book -------------------------------------------------------------------------------------------------------------

    def _empty_book(self) -> Book:
        return empty_book(self.topology)

    def give_back(self, session: Session, keep: bool = True) -> None:
        """Take a connection back.  The caller has made it clean, or says that it is not worth keeping."""
        with self._lock:
            actions = self._book.give_back(session, time.monotonic(), keep)
        if actions is not None:
            self._act(actions)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._book.closed

    def _adopt(self, view: View) -> None:
        with self._lock:
            news = view.version != self._book.view.version
            actions = self._book.adopt(view)
        self._act(actions)
        if news:
            self._wake()  # a suspect node is dialled, and a refusal is looked into, at once

    def _act(self, actions: Actions) -> None:
        for waiter in actions.wake:
            waiter.signal.set()
        if actions.close:
            self._close_all(actions.close)
        if actions.close and self.topology.settings.min_idle:
            self._wake()  # to fill up what was closed

    # -- upkeep, called by the monitor -----------------------------------------------------------------------------------------------

    def tick(self, now: float, stalled: float = 0.0) -> float:
        """Do what is due, and return when to come again (monotonic seconds).  Never blocks on a server.

        ``stalled``: seconds for which this process did not run (suspended, a blocked event loop, no CPU).  The nodes may have answered
        meanwhile, so it is no time of theirs: deadlines are moved, and nobody is judged in this round.
        """
        self._take_in_orphans()
        with self._lock:
            if self._book.closed:
                return now + 1.0
            shelves = self._book.shelves.values()
            actions = self._book.reap(now, self.topology.settings.max_idle_time)
            note_oldest(shelves)
            served, self._book.served = self._book.served, 0
            starving = self._book.starving
            attempts = tuple(self._attempts)
            owed = {} if stalled else self._wake_the_hung(now)
            late, next_end = self._end_the_overdue(now)
        self._act(actions)
        if self.register is not None and not stalled:
            self.hung += self.register.wake_the_hung(self.topology.settings.stall_after)
        for node, number in late:
            self._cancel(node, number)
        self.topology.budget.earn(served, now)
        due = self._prober.tick(now, starving, owed, stalled)
        for attempt in attempts:
            attempt.deadline = allowed(attempt, now, stalled)
            if attempt.deadline <= now:
                attempt.abandon()
            else:
                due = min(due, attempt.deadline)
        self._fill()
        return min(due, next_end)

    def _end_the_overdue(self, now: float) -> tuple[list[tuple[str, int]], float]:
        """Shut down the sockets of those whose time is over, or the grace of whose node.  Under the lock, as `_wake_the_hung`.

        Returns the nodes and numbers of these sessions, and when the next one's time is over.  The numbers are asked for before: whoever
        is woken closes the connection at once, and it has none any more.
        """
        late, due = overdue(self._book.shelves.values(), now)
        for session in late:
            session.timed_out = True
        drained, next_drained = outstayed(self._book.shelves.values(), now)
        numbers = [(session.node, self.number(session)) for session in (*late, *drained)]
        for session in (*late, *drained):
            session.tainted = True
            self.reading.abort(session.raw)
        return [(node, number) for node, number in numbers if number is not None], min(due, next_drained)

    def _wake_the_hung(self, now: float) -> dict[str, tuple[Owed, ...]]:
        """Shut down the sockets of statements that wait for a node which does not answer a probe either; recovery then takes over.

        A statement on a node that answers is never touched for being slow.  Who waits for notifications is owed nothing, and so is never
        asked about: he is woken when the node is judged dead by what its probes found.  Returns what the nodes owe, so that they are probed, and asked
        whether they still work on it.
        Under the lock, which `give_back` takes before it closes: a session that is in the book is not closed, nor its descriptor reused.
        """
        owed: dict[str, tuple[Owed, ...]] = {}
        for session in forsaken(self._book.shelves.values(), self.topology.view):
            session.listening = False  # once: what becomes of it is its holder's
            self._hang_up(session)
        for session in silent(self._book.shelves.values(), now - self.topology.settings.stall_after):
            node = self.topology.view.by_name.get(session.node)
            if node is not None and node.reach is Reach.DOWN:
                self._hang_up(session)
            number = self.number(session) if self.reading.dialect.running else None
            owed[session.node] = (*owed.get(session.node, ()), Owed(session, session.started, number))
        return owed

    def number(self, session: Session) -> int | None:
        """Return the server's number of a session, by which another one can cancel it; None: not known, or another client's a moment later."""
        return None if session.shared else self.reading.session_id(session.raw)

    def _hang_up(self, session: Session) -> None:
        session.tainted = True
        self.hung += 1
        self.reading.abort(session.raw)

    def _heard(self, owed: Sequence[Owed], running: Collection[int]) -> None:
        """A live node has told which of our sessions are at work.  What it does not work on will never be answered: the path is gone.

        A NAT or a firewall that forgot a connection drops its packets in silence.  The session is ended on the server too, for it may
        hold locks that the statement's second try would wait for.
        """
        with self._lock:
            gone = [one for one in owed if one.number is not None and one.number not in running and one.is_owed()]
            for one in gone:
                self._hang_up(one.session)
        for one in gone:
            self._prober.say(one.session.node, self.reading.dialect.terminate.format(one.number))

    def interrupted(self, session: Session) -> None:
        """Something broke into a call on ``session`` with its answer pending: it is closed, and its statement cancelled on the server.

        Until then it stays in flight: what was cancelled still costs the node.
        """
        session.tainted = True
        number = self.number(session)
        if number is not None:
            self._cancel(session.node, number)

    def _cancel(self, node: str, number: int) -> None:
        """Ask ``node``, on another connection, to end what its session ``number`` is executing.  In the background; nothing depends on it."""
        statement = self.reading.dialect.cancel
        if statement and not self.closed:
            self._prober.say(node, statement.format(number))

    def _take_in_orphans(self) -> None:
        while self.gone:
            with contextlib.suppress(IndexError), self._lock:
                self.gone.popleft().in_flight -= 1
        while self.orphans:
            with contextlib.suppress(IndexError):  # another thread was faster
                self.give_back(self.orphans.popleft(), keep=False)

    def _fill(self) -> None:
        settings = self.topology.settings
        if settings.min_idle:
            want = Want(Service.READ if settings.read_only else Service.WRITE, settings.read_only)
            with self._lock:
                shelves = self._book.shelves
                ready = self._book.chosen(want)  # an idle connection to another node is ready for nobody
                idle = sum(len(shelf.idle) for shelf in ready) + sum(shelf.dials for shelf in shelves.values())
                room = (
                    self._book.max_size - self._book.total if ready else 0
                )  # the prober is asking; its answer comes by here again
            self._drive_fill(fill(idle, settings.min_idle, room), Waiter(want))
