"""The pool's bookkeeping: which connection goes to whom.  It decides and returns what must be done; it knows no driver and does no I/O.

Rules
-----
1. The caller holds the pool's lock around each method, and carries out the returned `Actions` after releasing it.
2. ``total`` = connections open + dials under way, never above ``max_size``, over all nodes together.
3. One queue for the whole cluster, first come, first served: whichever node frees a connection first serves the first waiter it fits.
4. A connection of an older generation, or past its lifetime, is never handed out and never goes idle.
5. A connection that is given back while waiters are queued and fits none of them is closed: it would only hold their room.
6. A waiter for whom there is no room is passed over, by later ones whom a connection fits, ``max_size`` times at most; the next connection
   is closed, to make room.  Else readers, whom any node fits, would keep every writer waiting for ever once all connections are to
   replicas, as they are after a demotion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .latency import Load
from .plan import avoiding, plan
from .policy import LeastLatency, Policy, Random, admitted
from .steps import Changed, DialFailed, Served
from .view import SLOW_START, View, Want

EVICT = 2.0
"""At the limit an idle connection on another node is used, unless that node's score is more than this many times the best one's."""


class Shelf(Load):
    """One node, as the pool sees it: the connections that are idle, and how many are open or being dialled."""

    __slots__ = ("checkouts", "dials", "ends_at", "generation", "idle", "open", "outside", "retired")

    def __init__(self, name: str, order: int = 0) -> None:
        super().__init__(name, order)
        self.generation = 0
        self.idle: list[Session] = []
        self.open: set[Session] = set()
        self.outside: set[Session] = (
            set()
        )  # not the pool's to count, but watched: a hung one is woken, a forked child keeps off
        self.dials = 0
        self.checkouts = 0
        self.retired = False  # removed, or being drained: what is given back here is closed
        self.ends_at: float | None = None

    def lend(self, want: Want) -> Session:
        """Pop the most recently used connection, one that is in the wanted mode already where there is one."""
        idle = self.idle
        session = idle.pop()
        if session.autocommit is not want.autocommit or session.read_only is not want.read_only:
            idle.append(session)
            session = idle.pop(_in_mode(idle, want))
        owing = self.owing
        if owing is None or owing.ended >= owing.started:  # `note_oldest` is exact, but comes by only once a second
            self.owing = session
        self.in_flight += 1
        self.checkouts += 1
        return session


class Session:
    """One open connection.  ``autocommit`` and ``read_only`` are its mode as we set it last; None: not set by us yet.

    ``started`` and ``ended`` are the latest statement's, in monotonic seconds, written by the one who holds it without a lock.
    ``started > ended``: an answer is awaited.  ``started == ended``: the latest answer was an error, whose time is no sample.  ``count``: statements of the open transaction; ``statements``: those before it.  ``tainted``: nothing makes it clean again, it is closed at its return.
    ``deadline`` (monotonic) and ``patience`` (seconds for each statement) bound what the holder waits for; 0.0: nothing does.
    """

    __slots__ = (
        "__weakref__",
        "autocommit",
        "count",
        "deadline",
        "ended",
        "expires",
        "generation",
        "holder",
        "idle_since",
        "jitter",
        "opened",
        "outside",
        "patience",
        "raw",
        "read_only",
        "shelf",
        "started",
        "statements",
        "tainted",
        "timed_out",
    )

    def __init__(
        self, raw: Any, shelf: Shelf, generation: int, opened: float = 0.0, expires: float = float("inf")
    ) -> None:
        self.raw = raw
        self.shelf = shelf
        self.generation = generation
        self.opened = opened
        self.expires = expires
        self.idle_since = opened
        self.jitter = 1.0  # scales its times, or all that were opened in one burst would be closed in one
        self.autocommit: bool | None = None
        self.read_only: bool | None = None
        self.started = 0.0
        self.ended = 0.0
        self.statements = 0
        self.count = 0
        self.tainted = False
        self.outside = False
        self.deadline = 0.0
        self.patience = 0.0
        self.timed_out = False
        self.holder: Any = None  # what is known of the handle that has it; only a forked child asks

    @property
    def node(self) -> str:
        """The node's name."""
        return self.shelf.name

    def __repr__(self) -> str:
        return f"<Session {self.node} generation={self.generation}{' tainted' if self.tainted else ''}>"


class Waiter:
    """A caller in the queue.  ``events`` is what happened for it; ``signal`` belongs to the performer, who waits on it."""

    __slots__ = ("avoid", "blocked_on", "events", "names", "outside", "passed_over", "signal", "want")

    def __init__(self, want: Want, avoid: str | None = None, signal: Any = None, outside: bool = False) -> None:
        self.want = want
        self.avoid = avoid
        self.signal = signal
        self.outside = (
            outside  # wants a connection of its own, which the pool does not keep: only the dials per node are counted
        )
        self.names: tuple[str, ...] = ()
        self.events: deque[Any] = deque()
        self.passed_over = 0
        self.blocked_on: set[str] = set()  # nodes whose dials are at their limit, and "" for the whole pool


@dataclass(slots=True)
class Actions:
    """What the caller does after releasing the lock: wake these waiters, close these connections, begin the dial it asked for."""

    wake: list[Waiter] = field(default_factory=list)
    close: list[Session] = field(default_factory=list)
    dial: Shelf | None = None


class Book:
    """The bookkeeping of one pool over all nodes of a cluster."""

    def __init__(
        self, max_size: int, max_dials: int, policy: Policy, random: Random, slow_start: float = SLOW_START
    ) -> None:
        self.max_size = max_size
        self.max_dials = max_dials
        self.policy = policy
        self.random = random
        self.slow_start = slow_start
        self.view = View()
        self.shelves: dict[str, Shelf] = {}
        self.waiters: deque[Waiter] = deque()
        self.total = 0
        self.served = 0
        self.closed = False
        self._candidates: dict[Want, tuple[Shelf, ...]] = {}

    # -- the view ------------------------------------------------------------------------------------------------------------------

    def adopt(self, view: View) -> Actions:
        """Take over a newer view: retire idle connections of older generations, and tell every waiter to look again."""
        actions = Actions()
        if view.version < self.view.version:
            return actions  # two threads publish in one order and get here in the other
        news, self.view = view.version != self.view.version, view
        if not news:
            self._measured(actions)
            return actions
        self._candidates.clear()
        for name in [name for name in self.shelves if name not in view.by_name]:
            self.shelves[name].retired = True
            self._retire(self.shelves.pop(name), actions)
        for node in view.nodes:
            shelf = self.shelves.get(node.name)
            if shelf is None:
                shelf = self.shelves[node.name] = Shelf(node.name, node.order)
            if shelf.slow_since != node.slow_since:
                shelf.slow_since = node.slow_since
                self._welcome_back(shelf)
            shelf.retired, shelf.ends_at = node.draining, node.ends_at
            if shelf.generation != node.generation:
                shelf.generation = node.generation
                self._retire(shelf, actions)
        for waiter in self.waiters:
            self._aim(waiter)
            self._notify(waiter, Changed(), actions)
        return actions

    def _welcome_back(self, shelf: Shelf) -> None:
        """A node that was down serves again: what it was once, or the penalty of its failure, says nothing about it now.

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
        for session in shelf.idle:
            self._forget(session)
            actions.close.append(session)
        shelf.idle.clear()

    def _aim(self, waiter: Waiter) -> None:
        if waiter.outside:
            return
        names = self.view.eligible(waiter.want)
        others = tuple(name for name in names if name != waiter.avoid)
        waiter.names = others or names

    # -- checkout ------------------------------------------------------------------------------------------------------------------

    def take(self, want: Want, now: float, avoid: str | None = None) -> Session | None:
        """Hand out an idle connection on the best node; None: a dial is better, or there is none."""
        shelves = self._candidates.get(want)
        if shelves is None:
            shelves = tuple(self.shelves[name] for name in self.view.eligible(want, now))
            if want.max_lag is None:  # a lag grows by itself
                if len(self._candidates) >= 256:  # every view of a database has a `Want` of its own
                    self._candidates.clear()
                self._candidates[want] = shelves
        if avoid is not None and len(shelves) > 1:
            shelves = tuple(shelf for shelf in shelves if shelf.name != avoid)
        if not shelves:
            return None
        if len(shelves) == 1:
            best = shelves[0]
        else:
            eligible: Sequence[Shelf] = shelves
            if now < self.view.slow_until:
                eligible = admitted(shelves, now, self.random, self.slow_start)
            best = self.policy.pick(eligible, now, self.random)
        if not best.idle:
            other = self._second_best(best, shelves, now)
            if other is None:
                return None
            best = other
        return best.lend(want)

    def _second_best(self, best: Shelf, shelves: Iterable[Shelf], now: float) -> Shelf | None:
        """The best node has no idle connection.  With room for a dial there, dial; at the limit use another node, if it is not much worse."""
        if self.total < self.max_size and best.dials < self.max_dials:
            return None
        idle = [shelf for shelf in shelves if shelf.idle]
        if not idle:
            return None
        other = self.policy.pick(idle, now, self.random)
        worse = isinstance(self.policy, LeastLatency) and other.score(now) > EVICT * best.score(now)
        return None if worse and best.dials < self.max_dials else other

    # -- the queue -----------------------------------------------------------------------------------------------------------------

    def enqueue(self, waiter: Waiter) -> None:
        """Put a caller in the queue; from now on it may be served at any moment."""
        self._aim(waiter)
        self.waiters.append(waiter)

    def withdraw(self, waiter: Waiter) -> tuple[Session | None, Actions]:
        """Take a caller out of the queue.  Returns the connection that it was given in the same moment, if so: it must not be lost."""
        actions = Actions()
        if waiter in self.waiters:
            self.waiters.remove(waiter)
        self._room(actions)  # it may have been told of room that it did not use
        given = next((event.session for event in waiter.events if isinstance(event, Served)), None)
        return given, actions

    def begin_dial(self, name: str, waiter: Waiter | None = None) -> tuple[bool, Actions]:
        """Reserve a dial of ``name``; a fitting idle connection there serves the waiter instead.  False: there is no room now."""
        actions = Actions()
        shelf = self.shelves.get(name)
        if shelf is None or self.closed:
            return False, actions
        if waiter is not None and shelf.idle and name in waiter.names and waiter in self.waiters:
            self._serve(waiter, shelf.lend(waiter.want), actions)
            return True, actions
        if shelf.dials >= self.max_dials:
            return self._block(waiter, name, actions), actions
        outside = waiter is not None and waiter.outside
        if not outside and self.total >= self.max_size and not self._evict(shelf, actions):
            return self._block(waiter, "", actions), actions
        shelf.dials += 1
        self.total += 0 if outside else 1
        actions.dial = shelf
        if waiter is not None:
            waiter.blocked_on.discard(name)  # not what else it wanted: this dial may end in nothing
        self._room(actions)  # there may be room for the next one in the queue too
        return True, actions

    def _block(self, waiter: Waiter | None, on: str, actions: Actions) -> bool:
        if waiter is not None:
            waiter.blocked_on.add(on)
            self._room(actions)  # what it was told of, and cannot use, is the next one's
        return False

    def _evict(self, wanted: Shelf, actions: Actions) -> bool:
        """Make room by closing the connection that has been idle longest, on another node."""
        idle = [shelf.idle[0] for shelf in self.shelves.values() if shelf.idle and shelf is not wanted]
        if not idle:
            return False
        oldest = min(idle, key=lambda session: session.idle_since)
        oldest.shelf.idle.remove(oldest)
        self._forget(oldest)
        actions.close.append(oldest)
        return True

    def dialled(
        self, session: Session, seconds: float, now: float, waiter: Waiter | None = None, unfit: Exception | None = None
    ) -> Actions:
        """A dial succeeded after ``seconds``: the connection goes to the first waiter it fits, or idle.

        ``unfit`` says why it does not suit the waiter who asked for it (the node turned out to be a replica).
        """
        shelf, actions = session.shelf, Actions()
        shelf.dials -= 1
        if shelf.sampled_at == 0.0:
            shelf.guess(seconds, now)
        if waiter is not None and waiter.outside:
            self._hand_over(waiter, session, unfit, actions)
        else:
            shelf.open.add(session)
            self._settle(session, now, actions)
        if waiter is not None and waiter in self.waiters:
            self._notify(
                waiter, DialFailed(session.node, unfit) if unfit is not None else Changed(session.node), actions
            )
        self._room(actions)
        return actions

    def _hand_over(self, waiter: Waiter, session: Session, unfit: Exception | None, actions: Actions) -> None:
        """An outside connection goes to the one who dialled it, or, when that one has another by now, is closed."""
        session.outside = True
        if unfit is None and waiter in self.waiters and not self.closed:
            session.shelf.outside.add(session)
            session.shelf.in_flight += (
                1  # not the pool's, but load of this client's all the same: without it all would go to one node
            )
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
            self._notify(waiter, DialFailed(shelf.name, error), actions)
        self._room(actions)
        return actions

    @property
    def starving(self) -> bool:
        """Whether a caller waits for a role that no node has now: then every node is probed in a hurry."""
        return any(not self.view.serving(waiter.want) for waiter in self.waiters)

    # -- return --------------------------------------------------------------------------------------------------------------------

    def give_back(self, session: Session, now: float, keep: bool = True) -> Actions | None:
        """A caller is done with a connection.  ``keep`` False: it is broken, or cannot be made clean.  None: there is nothing to do."""
        shelf = session.shelf
        session.holder = None
        session.deadline = session.patience = 0.0
        shelf.in_flight -= 1
        if session.outside:
            shelf.outside.discard(session)
            self._settled(session)
            return Actions(close=[session])
        self.served += session.statements
        session.statements = 0
        if session.ended > session.started > 0.0:
            shelf.sample(session.ended - session.started, session.ended)
        elif session.ended > 0.0:
            shelf.touch(session.ended)
        session.started = session.ended = 0.0
        if (
            keep
            and not self.waiters
            and session.generation == shelf.generation
            and now < session.expires
            and not (self.closed or shelf.retired)
        ):
            session.idle_since = now
            shelf.idle.append(session)
            return None  # by far the most: what `_settle` would do, without anything to act on
        actions = Actions()
        if keep:
            self._settle(session, now, actions)
        else:
            self._forget(session)
            actions.close.append(session)
            self._room(actions)
        return actions

    def _settle(self, session: Session, now: float, actions: Actions) -> None:
        """Give a connection that nobody holds to the first waiter it fits; else let it idle, or close it."""
        shelf = session.shelf
        usable = not (self.closed or shelf.retired or session.generation != shelf.generation or now >= session.expires)
        if usable and self.waiters:
            for waiter in self.waiters:
                if shelf.name in waiter.names:
                    shelf.in_flight += 1
                    shelf.checkouts += 1
                    self._serve(waiter, session, actions)
                    return
                if self._is_due(waiter):
                    break
            usable = self.total < self.max_size or not any("" in waiter.blocked_on for waiter in self.waiters)  # rule 5
        if usable:
            session.idle_since = now
            shelf.idle.append(session)
        else:
            self._forget(session)
            actions.close.append(session)
            self._room(actions)

    def _is_due(self, waiter: Waiter) -> bool:
        """Whether a waiter whom a connection does not fit was passed over often enough, so that it is closed for it (rule 6)."""
        if "" not in waiter.blocked_on or self.total < self.max_size:
            return False
        due = waiter.passed_over >= self.max_size
        waiter.passed_over = 0 if due else waiter.passed_over + 1
        return due

    def _serve(self, waiter: Waiter, session: Session, actions: Actions) -> None:
        self.waiters.remove(waiter)
        session.shelf.owing = session.shelf.owing or session
        waiter.events.append(Served(session))
        actions.wake.append(waiter)

    def _forget(self, session: Session) -> None:
        session.shelf.open.discard(session)
        self._settled(session)
        self.total -= 1

    @staticmethod
    def _settled(session: Session) -> None:
        """It owes nothing any more, and what is closed must not be kept alive."""
        if session.shelf.owing is session:
            session.shelf.owing = None

    def _room(self, actions: Actions) -> None:
        """Whatever room there is for a dial: the first waiter that was refused for want of it looks again.

        Called whenever room may have come free, and when the one who was told of it used it otherwise or has left the queue.
        """
        free = {name for name, shelf in self.shelves.items() if shelf.dials < self.max_dials}
        if self.total < self.max_size:
            free.add("")
        for waiter in self.waiters:
            if room := waiter.blocked_on & free:
                free -= room
                waiter.blocked_on.clear()  # it looks at everything anew
                self._notify(waiter, Changed(), actions)

    @staticmethod
    def _notify(waiter: Waiter, event: Any, actions: Actions) -> None:
        waiter.events.append(event)
        actions.wake.append(waiter)

    # -- upkeep --------------------------------------------------------------------------------------------------------------------

    def reap(self, now: float, max_idle_time: float) -> Actions:
        """Take out idle connections that are past their lifetime or were idle for too long."""
        actions = Actions()
        for shelf in self.shelves.values():
            kept = []
            for session in shelf.idle:
                if now >= session.expires or now - session.idle_since >= max_idle_time * session.jitter:
                    self._forget(session)
                    actions.close.append(session)
                else:
                    kept.append(session)
            shelf.idle[:] = kept
        if actions.close:
            self._room(actions)
        return actions

    def note_oldest(self) -> None:
        """Find, per node, the connection that has owed an answer the longest."""
        for shelf in self.shelves.values():
            since, owing = float("inf"), None
            for session in (*shelf.open, *shelf.outside):
                if session.ended < session.started < since:
                    since, owing = session.started, session
            shelf.owing = owing

    def silent(self, before: float) -> list[Session]:
        """Return the connections that owe an answer since ``before`` or longer, and were not given up yet."""
        return [
            session
            for shelf in self.shelves.values()
            for session in (*shelf.open, *shelf.outside)
            if session.ended < session.started <= before and not session.tainted
        ]

    def overdue(self, now: float) -> tuple[list[Session], float]:
        """Return the connections whose holder's time for the answer it waits for is over, and when the next one's will be."""
        late, due = [], float("inf")
        for shelf in self.shelves.values():
            for session in (*shelf.open, *shelf.outside):
                if (session.deadline or session.patience) and session.ended < session.started and not session.tainted:
                    end = _end(session)
                    if end <= now:
                        late.append(session)
                    else:
                        due = min(due, end)
        return late, due

    def outstayed(self, now: float) -> tuple[list[Session], float]:
        """Return the connections in use on drained nodes whose grace is over, and when the next node's will be."""
        late, due = [], float("inf")
        for shelf in self.shelves.values():
            if shelf.ends_at is not None and shelf.ends_at <= now:
                idle = set(shelf.idle)
                late += [s for s in (*shelf.open, *shelf.outside) if s not in idle and not s.tainted]
            elif shelf.ends_at is not None:
                due = min(due, shelf.ends_at)
        return late, due

    def close(self) -> Actions:
        """Close the pool: idle connections now, the others when they are given back; waiters are woken to find it closed."""
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


def _in_mode(idle: list[Session], want: Want) -> int:
    for i in range(len(idle) - 2, -1, -1):
        if idle[i].autocommit is want.autocommit and idle[i].read_only is want.read_only:
            return i
    return -1


def _end(session: Session) -> float:
    ends = [session.deadline] if session.deadline else []
    return min([*ends, session.started + session.patience] if session.patience else ends)


def dial_plan(book: Book, want: Want, now: float, avoid: str | None = None) -> tuple[str, ...]:
    """Return the plan of ``want`` over the pool's own loads, ``avoid`` last."""
    return avoiding(plan(book.view, want, book.shelves, book.policy, now, book.random, book.slow_start), avoid)
