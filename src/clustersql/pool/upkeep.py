"""What the monitor does for a pool at each round.

Rules
-----
* A statement on a node that answers is never touched for being slow; one on a node that does not answer is woken, and
  recovery takes over.
* What did not answer while this process stood still is not judged: it may have answered.
* Decide under the pool's lock, act outside it.  A pool of the asyncio API lives in one thread, and its lock is none.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from ..core.booking.owing import forsaken, note_oldest, outstayed, overdue, silent
from ..core.booking.shelf import Session
from ..core.policies.cold import try_the_cold
from ..core.view.node import Reach
from ..core.view.view import Want
from ..nodes.dial import Order, Owed, allowed
from ..nodes.guard import CommitGuard
from .base import BasePool
from .holders import Leaks, held

log = logging.getLogger("clustersql")


class Upkeep:
    """What is done for one pool.  The pool holds it, and the monitor of threads holds it weakly: a pool that nobody
    else holds is collected, and its upkeep with it.
    """

    def __init__(self, pool: BasePool[Any]) -> None:
        self.pool = pool
        self._leaks = Leaks()

    def __repr__(self) -> str:
        return f"<Upkeep of {self.pool!r}>"

    def tick(self, now: float, stalled: float = 0.0) -> float:
        """Do what is due, and return when to come again (monotonic seconds).  Never blocks on a server.

        ``stalled``: seconds for which this process did not run (suspended, a blocked event loop, no CPU).  The nodes
        may have answered meanwhile, so it is no time of theirs: deadlines are moved, and nobody is judged in this
        round.
        """
        pool = self.pool
        pool.take_in_orphans()
        pool.take_in_lost()
        with pool._lock:
            book = pool._book
            if book.closed:
                return now + 1.0
            actions = book.reap(now, pool.topology.settings.max_idle_time)
            note_oldest(book.shelves.values())
            try_the_cold(book.shelves.values(), now)
            served, book.served = book.served, 0
            starving = book.starving
            attempts = tuple(pool._attempts)
            owed = {} if stalled else self._wake_the_hung(now)
            late, next_end = self._end_the_overdue(now)
            leaked = self._leaks.found(book, now, pool.topology.settings.leak_after)
        pool._act(actions)
        for session in leaked:
            self._tell_of(session, now)
        if pool.register is not None and not stalled:
            pool.hung += pool.register.wake_the_hung(pool.topology.settings.stall_after)
        for session, number in late:
            pool.cancel(session, number)
        pool.topology.budget.earn(served, now)
        due = min(next_end, pool._prober.tick(now, starving, owed, stalled))
        for attempt in attempts:
            attempt.deadline = allowed(attempt, now, stalled)
            if attempt.deadline <= now:
                attempt.abandon()
            else:
                due = min(due, attempt.deadline)
        pool.fill_up()
        if pool.topology.guard is not None and not stalled:
            self._delete_tokens(pool.topology.guard, now)
        return due

    def _delete_tokens(self, guard: CommitGuard, now: float) -> None:
        """Have the commit guard's acknowledged tokens deleted, where a node can do that now."""
        serving = self.pool.topology.view.serving(Want())
        if serving and guard.is_active(serving[0]) and guard.due(now):
            self.pool.delete_tokens(serving[0])

    def _tell_of(self, session: Session, now: float) -> None:
        """Say in the log that a connection has been held for long: it may never be given back."""
        found, topology = held(session, now, *self.pool._callers()), self.pool.topology
        if found is not None:  # else it was given back in this moment
            text = topology.without_passwords(found.in_full())
            log.warning("cluster %s: a connection to %s is %s", topology.name, found.node, text)
            topology.events.note("held", found.node, text)

    def _end_the_overdue(self, now: float) -> tuple[list[tuple[Session, int]], float]:
        """Shut down the sockets of those whose time is over, or the grace of whose node.  Under the lock, as
        `_wake_the_hung`.

        Returns these sessions and their numbers, and when the next one's time is over.  The numbers are asked
        for before: whoever is woken closes the connection at once, and it has none any more.
        """
        late, due = overdue(self.pool._book.shelves.values(), now)
        for session in late:
            session.timed_out = True
        drained, next_drained = outstayed(self.pool._book.shelves.values(), now)
        numbers = [(session, self.pool.number(session)) for session in (*late, *drained)]
        for session in (*late, *drained):
            session.tainted = True
            self.pool.reading.abort(session.raw)
        return [(session, number) for session, number in numbers if number is not None], min(due, next_drained)

    def _wake_the_hung(self, now: float) -> dict[str, tuple[Owed, ...]]:
        """Shut down the sockets of statements that wait for a node which does not answer a probe either; recovery then
        takes over.

        A statement on a node that answers is never touched for being slow.  A session that waits for notifications owes
        us nothing, so its silence proves nothing: it is woken when the node is judged dead by what its probes found.

        Returns what the nodes owe, so that they are probed, and asked whether they still work on it.  Under the lock,
        which `give_back` takes before it closes: a session that is in the book is not closed, nor its descriptor
        reused.
        """
        owed: dict[str, tuple[Owed, ...]] = {}
        for session in forsaken(self.pool._book.shelves.values(), self.pool.topology.view):
            session.listening = False  # once: what becomes of it is its holder's
            self._hang_up(session)
        for session in silent(self.pool._book.shelves.values(), now - self.pool.topology.settings.stall_after):
            node = self.pool.topology.view.by_name.get(session.node)
            if node is not None and node.reach is Reach.DOWN:
                self._hang_up(session)
            number = self.pool.number(session) if self.pool.reading.dialect.running else None
            owed[session.node] = (*owed.get(session.node, ()), Owed(session, session.started, number))
        return owed

    def _hang_up(self, session: Session) -> None:
        session.tainted = True
        self.pool.hung += 1
        self.pool.reading.abort(session.raw)

    def heard(self, owed: Sequence[Owed], running: Collection[int], identity: str = "") -> None:
        """A live node has told which of our sessions are at work.  What it does not work on will never be answered: the
        path is gone.

        A NAT or a firewall that forgot a connection drops its packets in silence.  The session is ended on the server
        too, for it may hold locks that the statement's second try would wait for.
        """
        with self.pool._lock:
            gone = [one for one in owed if self._is_gone(one, running, identity)]
            for one in gone:
                self._hang_up(one.session)
        for one in gone:
            session, form = one.session, self.pool.reading.dialect.terminate
            order = Order(form, one.number or 0, session.opened, session.server, session.identity)
            self.pool._prober.say(session.node, order)

    def _is_gone(self, one: Owed, running: Collection[int], identity: str) -> bool:
        """Whether nobody works on an answer that is owed, by the word of the server of that ``identity``.

        An answer that has come, and waits for a thread of ours to read it, is not owed: after a standstill of the
        process each caller has one, and the monitor may be faster.  Of another server's sessions the word says nothing,
        but where the node stands for another one, or for another start of the same, by now: then the session's own has
        gone.
        """
        if one.number is None or not one.is_owed() or self.pool.reading.has_answered(one.session.raw, None):
            return False
        if not identity or one.session.identity in ("", identity):
            return one.number not in running
        node = self.pool.topology.view.by_name.get(one.session.node)
        return node is not None and node.identity != one.session.identity
