"""The pool's bookkeeping: which connection goes to whom.  It decides and returns what must be done; it knows no driver
and does no I/O.

Rules
-----
1. The caller holds the pool's lock around each method, and carries out the returned `Actions` after releasing it.
2. ``total`` = connections open + dials under way, never above ``max_size``, over all nodes together.
3. A connection of an older generation, or past its lifetime, is never handed out and never goes idle.
4. The connection that is kept for probes to a node is given to who is in need: something failed for it, or no node had
   the role that it wants.  Nobody else takes it: while there is none, a node that hangs is found out later.
5. Who waits, and whom what is free goes to, is `core.booking.queue`'s; who owes an answer is `core.booking.owing`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..policies.named import Policy, Random, admitted
from ..policies.plan import plan
from ..steps import Changed, DialFailed
from ..view.node import Origin
from ..view.servers import is_alone
from ..view.use import Use
from ..view.view import SLOW_START, View, Want
from .durations import Durations, measure
from .queue import Queue
from .shelf import UNDERWAY, Actions, Session, Shelf, Waiter

EVICT_EVERY = 1.0
"""Seconds between two connections that are closed for a faster node's sake: an eviction costs a dial, and two equal
nodes whose estimates differ for a moment would go on taking connections from each other."""


class Book(Queue):
    """The bookkeeping of one pool over all nodes of a cluster."""

    def __init__(
        self, max_size: int, max_dials: int, policy: Policy, random: Random, slow_start: float = SLOW_START
    ) -> None:
        super().__init__(max_size, max_dials, policy)
        self.random = random
        self.slow_start = slow_start
        self.served = 0
        # Where durations are counted; None: nobody has asked for them.
        self.durations: Durations | None = None
        self._evicted_at = float("-inf")

    def measure(self, durations: Durations | None) -> None:
        """Count durations into ``durations`` from now on; None: no more."""
        self.durations = durations
        for shelf in tuple(self.shelves.values()):
            measure(shelf, durations)

    # -- the view ------------------------------------------------------------------------------------------------------

    def adopt(self, view: View) -> Actions:
        """Take over a newer view: retire idle connections of older generations, and tell every waiter to look again."""
        actions = Actions()
        if view.version < self.view.version:
            return actions  # two threads publish in one order and get here in the other
        before, self.view = self.view, view
        if view.version == before.version:
            if view.track is not before.track or [n.position for n in view] != [n.position for n in before]:
                self._measured(actions)
            return actions
        self._forget_candidates()
        for name in [name for name in self.shelves if name not in view.by_name]:
            self.shelves[name].retired = True
            self._retire(self.shelves.pop(name), actions)
        for node in view.nodes:
            if node.origin is Origin.REPORTED:
                continue  # it has not answered yet, and is nobody's
            shelf = self.shelves.get(node.name)
            if shelf is None:
                shelf = self.shelves[node.name] = Shelf(node.name, node.order)
                measure(shelf, self.durations)
            if shelf.slow_since != node.slow_since:
                shelf.slow_since = node.slow_since
                self._welcome_back(shelf)
            shelf.order = node.order  # of a discovered node it changes when another one comes
            shelf.retired, shelf.ends_at = node.draining, node.ends_at
            shelf.weight, shelf.priority, shelf.zone = node.weight, node.priority, view.zone(node)
            if shelf.generation != node.generation:
                shelf.generation = node.generation
                self._retire(shelf, actions)
        for waiter in self.waiters:
            self._aim(waiter)
            self._notify(waiter, Changed(), actions)
        return actions

    def resize(self, max_size: int, max_dials: int, policy: Policy | None, slow_start: float) -> Actions:
        """Work with other bounds from now on; ``policy`` None: with the one there is.

        Beyond a smaller ``max_size`` idle connections are closed, the oldest first; those in use when they are given
        back.
        """
        actions = Actions()
        self.max_size, self.max_dials, self.slow_start = max_size, max_dials, slow_start
        if policy is not None:
            self.policy = policy
            for waiter in self.waiters:
                waiter.policy = policy.turn()
                self._aim(waiter)
            self._forget_candidates()
        idle = sorted((s for shelf in self.shelves.values() for s in shelf.idle), key=lambda s: s.idle_since)
        for session in idle[: max(0, self.total - max_size)]:
            session.shelf.idle.remove(session)
            self._forget(session)
            actions.close.append(session)
        self._room(actions)
        return actions

    def _welcome_back(self, shelf: Shelf) -> None:
        """A node that was down serves again: what it was once, or the penalty of its failure, says nothing about it
        now.

        It begins with what the others take on the mean.  With the penalty it would get no work for 40 s more.
        """
        known = [other.ewma for other in self.shelves.values() if other is not shelf and other.samples]
        if known and shelf.slow_since is not None:
            shelf.guess(sum(known) / len(known), shelf.slow_since)

    def _measured(self, actions: Actions) -> None:
        """Only measurements have changed: that concerns those who set a bound to the lag."""
        for waiter in self.waiters:
            if waiter.want.max_lag is not None:
                self._aim(waiter)
                self._notify(waiter, Changed(), actions)

    def _retire(self, shelf: Shelf, actions: Actions) -> None:
        idle, shelf.idle = shelf.idle, []
        for session in idle:
            self._forget(session)
            actions.close.append(session)

    # -- checkout ------------------------------------------------------------------------------------------------------

    def take(self, want: Want, now: float, avoid: str | None = None, holder: Any = UNDERWAY) -> Session | None:
        """Hand ``holder`` an idle connection on the best node; None: a dial is better, or there is none."""
        shelves = self._candidates.get(want)
        if shelves is None:
            shelves = self.chosen(want, now)
            if want.max_lag is None and want.among is None:  # a lag grows by itself, and such a choice is made once
                if len(self._candidates) >= 256:  # every view of a database has a `Want` of its own
                    self._forget_candidates()
                self._candidates[want] = shelves
        if avoid is not None:
            shelves = self.chosen(want, now, avoid)
        if not shelves:
            return None
        match shelves:  # no call, unlike `len`
            case (best,):
                pass
            case _:
                eligible: Sequence[Shelf] = shelves
                if now < self.view.slow_since + self.slow_start:
                    eligible = admitted(shelves, now, self.random, self.slow_start)
                best = self.policy.pick(eligible, now, self.random)
        session = best.lend(want, holder) if best.idle else None
        if session is None:
            other = self._second_best(best, shelves, now, want.use)
            session = None if other is None else other.lend(want, holder)
        if session is not None:
            session.lent_at = now
            session.chosen = self.view
        return session

    def _second_best(self, best: Shelf, shelves: Iterable[Shelf], now: float, use: Use | None = None) -> Shelf | None:
        """The best node has no idle connection.  With room for a dial there, dial; at the limit use another node.

        Where the policy finds the best one worth it, one caller at a time makes room for a dial of that, and the others
        do not wait for it.
        """
        if self.total < self.max_size and best.dials < self.max_dials:
            return None
        idle = [shelf for shelf in shelves if shelf.has_idle(use)]
        if not idle:
            return None
        other = self.policy.pick(idle, now, self.random)
        if best.dials or now < self._evicted_at + EVICT_EVERY or not self.policy.is_worth_a_dial(best, other, now):
            return other
        self._evicted_at = now
        return None

    # -- dials ---------------------------------------------------------------------------------------------------------

    def begin_dial(
        self, name: str, waiter: Waiter | None = None, actions: Actions | None = None
    ) -> tuple[bool | None, Actions]:
        """Reserve a dial of ``name``; a fitting idle connection there serves the waiter instead.

        False: no room for a further dial of this node now; None: none in the pool, for no node.  ``actions``: the
        caller's own, who then knows what was reserved also when something breaks in.
        """
        actions = Actions() if actions is None else actions
        shelf = self.shelves.get(name)
        if shelf is None or self.closed:
            return False, actions
        if waiter is not None and shelf.idle and name in waiter.names and waiter in self.waiters:
            lent = shelf.lend(waiter.want, waiter.holder)
            if lent is not None:
                waiter.given = lent
                lent.looked_at = False  # it lay idle
                self._tell_served(waiter, lent, actions)
                return True, actions
        if shelf.dials >= self.max_dials:
            self._block(waiter, name, actions)
            return False, actions
        outside = waiter is not None and waiter.outside
        if not outside and self.total >= self.max_size and not self._evict(shelf, waiter, actions):
            self._block(waiter, "", actions)
            return None, actions
        shelf.dials += 1
        self.total += 0 if outside else 1
        actions.dial = shelf
        if waiter is not None:
            if waiter.urgent and not outside and waiter.want.use is None and not self._needs_dial(name, waiter):
                actions.spare = shelf.generation
            self._wants_no_room(waiter, name)  # not what else it wanted: this dial may end in nothing
        self._room(actions)  # there may be room for the next one in the queue too
        return True, actions

    def _needs_dial(self, name: str, waiter: Waiter) -> bool:
        """Tell whether the probe's connection will not do: new ones may be refused, or the dial of a node before it is
        to have its chance.
        """
        return self.view.by_name[name].distrusted or bool(self.view.undecided(waiter.want, name))

    def _block(self, waiter: Waiter | None, on: str, actions: Actions) -> None:
        if waiter is not None:
            self._wants_room(waiter, on)
            self._room(actions)  # what it was told of, and cannot use, is the next one's

    def _evict(self, wanted: Shelf, waiter: Waiter | None, actions: Actions) -> bool:
        """Make room by closing the connection that has been idle longest, on another node.

        For a waiter on this one too: were it any use to it, it had it by now.  So when there is no room for it here,
        there is none anywhere.
        """
        unfit = [shelf for shelf in self.shelves.values() if shelf.idle and (shelf is not wanted or waiter is not None)]
        idle = [shelf.idle[0] for shelf in unfit]
        if not idle:
            return False
        oldest = min(idle, key=lambda session: session.idle_since)
        oldest.shelf.idle.remove(oldest)
        self._forget(oldest)
        actions.close.append(oldest)
        return True

    def dialled(
        self,
        session: Session,
        seconds: float,
        now: float,
        waiter: Waiter | None = None,
        unfit: Exception | None = None,
        asked: Shelf | None = None,
    ) -> Actions:
        """A dial succeeded after ``seconds``: the connection goes to the first waiter it fits, or idle.

        ``unfit`` says why it does not suit the waiter who asked for it (the node turned out to be a replica).
        ``asked``: the node that was dialled, where its address has led to another server; what suits nobody then is
        closed.
        """
        shelf, actions, outside = session.shelf, Actions(), waiter is not None and waiter.outside
        asked = asked or shelf
        asked.dials -= 1
        if not outside:
            shelf.open |= {session}
        shelf.connected(seconds, now, dialled=session.opened == session.idle_since)
        if waiter is not None and outside:
            self._hand_over(waiter, session, unfit, actions)
        else:
            self._settle(session, now, actions)
            if unfit is not None and shelf is not asked and session in shelf.idle:
                shelf.idle.remove(session)
                self._forget(session)
                actions.close.append(session)
        if waiter is not None and waiter in self.waiters:
            failed = DialFailed(asked.name, unfit, self._leads_elsewhere(asked.name)) if unfit is not None else None
            self._notify(waiter, failed or Changed(asked.name), actions)
        self._room(actions)
        return actions

    def _leads_elsewhere(self, name: str) -> bool:
        """Whether the next dial of the same address may reach another server."""
        node = self.view.by_name.get(name)
        return node is not None and not is_alone(self.view.nodes, node)

    def _hand_over(self, waiter: Waiter, session: Session, unfit: Exception | None, actions: Actions) -> None:
        """An outside connection goes to the one who dialled it, or, when that one has another by now, is closed."""
        session.outside = True
        if unfit is None and waiter in self.waiters and not self.closed:
            session.shelf.outside.add(session)
            # It is not the pool's, but in flight, as load of this client's: without it all would go to one node.
            self._serve(waiter, session, actions)
        else:
            actions.close.append(session)

    def dial_failed(self, shelf: Shelf, error: BaseException, now: float, waiter: Waiter | None = None) -> Actions:
        """A dial failed: its room is free again."""
        actions = Actions()
        shelf.dials -= 1
        self.total -= 0 if waiter is not None and waiter.outside else 1
        shelf.penalize(now)
        if waiter is not None:
            waiter.urgent = True
            self._notify(waiter, DialFailed(shelf.name, error, self._leads_elsewhere(shelf.name)), actions)
        self._room(actions)
        return actions

    # -- return --------------------------------------------------------------------------------------------------------

    def give_back(self, session: Session, now: float, keep: bool = True, holder: Any = None) -> Actions | Waiter | None:
        """A caller is done with a connection.  ``keep`` False: it is broken, or cannot be made clean.

        None: there is nothing to do.  A waiter: it has the connection, and is to be woken.  ``holder``: whose it is.
        When it is that one's no more, it was given back already, and nothing is done.
        """
        if holder is not None and session.holder is not holder:
            return None
        shelf = session.shelf
        session.deadline = session.patience = 0.0
        session.statement = None
        if session.outside:
            shelf.outside.discard(session)
            self._settled(session)
            actions = Actions(close=[session])
            session.holder = None
            shelf.in_flight -= 1
            return actions
        if shelf.durations is not None:
            shelf.durations.use.add(now - (session.lent_at or now))
        self.served += session.statements
        session.statements = 0
        ended = session.ended
        if ended > 0.0:
            if ended > session.started > 0.0:
                shelf.sample(ended - session.started, ended)
            else:
                shelf.touch(ended)
            session.ended = 0.0
        session.started = 0.0
        # By far the most, written out: what `_settle` would do, with nothing or little to act on.
        if (
            keep
            and session.generation == shelf.generation
            and now < session.expires
            and self.total <= self.max_size
            and not (self.closed or shelf.retired)
        ):
            if not self.waiters:
                session.idle_since = now
                session.holder = None
                shelf.in_flight -= 1
                shelf.idle += [session]
                return None
            waiter = next(iter(self.waiters))
            if waiter.plain and shelf.name in waiter.names and session.use is waiter.want.use:
                shelf.owing = shelf.owing or session
                shelf.checkouts += 1
                session.lent_at = now
                session.chosen = self.view
                session.holder, waiter.given = waiter.holder, session
                del self.waiters[waiter]
                self._blocked[""] -= 1
                return waiter
        actions = Actions()
        session.holder = None
        shelf.in_flight -= 1
        if keep:
            self._settle(session, now, actions)
        else:
            self._forget(session)
            actions.close.append(session)
            self._room(actions)
        return actions

    def lost(self, is_unreachable: Callable[[Any], bool]) -> list[Session]:
        """Return the connections that nobody will give back: something broke in while they changed hands, or in their
        holder's end.

        ``is_unreachable`` tells of a holder whether nobody can use it any more.
        """
        return [
            session
            for shelf in self.shelves.values()
            for session in shelf.open
            if (session not in shelf.idle if session.holder is None else is_unreachable(session.holder))
        ]

    def take_in(self, session: Session, actions: Actions) -> None:
        """Close a connection that was `lost`: its room is free again."""
        if session.holder is not None:
            session.holder = None
            session.shelf.in_flight -= 1
        self._forget(session)
        actions.close.append(session)
        self._room(actions)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def reap(self, now: float, max_idle_time: float) -> Actions:
        """Take out idle connections that are past their lifetime, were idle for too long, or whose use nobody has any
        more.
        """
        actions = Actions()
        for shelf in self.shelves.values():
            kept = []
            for session in shelf.idle:
                forsaken = session.use is not None and not session.use.is_claimed
                if forsaken or now >= session.expires or now - session.idle_since >= max_idle_time * session.jitter:
                    self._forget(session)
                    actions.close.append(session)
                else:
                    kept.append(session)
            shelf.idle[:] = kept
        if actions.close:
            self._room(actions)
        return actions

    def close(self) -> Actions:
        """Close the pool: idle connections now, the others when they are given back; waiters are woken to find it
        closed.
        """
        actions = Actions()
        self.closed = True
        for shelf in self.shelves.values():
            self._retire(shelf, actions)
        for waiter in self.waiters:
            self._notify(waiter, Changed(), actions)
        return actions

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return sum(len(shelf.idle) for shelf in self.shelves.values())

    @property
    def in_flight(self) -> int:
        """How many of the pool's connections are checked out."""
        return sum(len(shelf.open) - len(shelf.idle) for shelf in self.shelves.values())


def dial_plan(book: Book, waiter: Waiter, now: float) -> tuple[str, ...]:
    """Return the plan of ``waiter`` over the pool's own loads.  What it is to dial now it may also be given, from
    whatever group it is.
    """
    if waiter.names and book.is_exhausted and not waiter.outside:
        # none of them can be dialled: ranking them, for each of a thousand callers, would cost as much as serving them
        return waiter.names
    ranking = waiter.policy or book.policy
    names = plan(book.view, waiter.want, book.shelves, ranking, now, book.random, book.slow_start, waiter.avoid)
    if more := [name for name in names if name not in waiter.names and name != waiter.avoid]:
        fits = book.view.eligible(waiter.want, now)
        waiter.names += tuple(name for name in more if name in fits and not waiter.outside)
    return names
