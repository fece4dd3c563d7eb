"""What the pools of both APIs have in common: the clock, the view and the monitor around the bookkeeping of `core.pooling`.

Rules
-----
* Nothing here waits: `sync.pool` waits with threads, `aio.pool` in an event loop; what they do while waiting is theirs.
* Decide under the lock, act outside it: under ``_lock`` there is only the bookkeeping, never a call of a driver that may block.
  A pool of the asyncio API lives in one thread, and its lock is none.
* Whatever was dialled is in the book, handed to somebody, or closed; so is what was abandoned.
"""

from __future__ import annotations

import contextlib
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from . import fork
from .core.faults import Facts, Fault
from .core.node import Reach
from .core.observe import Answered, Refused, SessionLost, Unreachable
from .core.obstacles import behind, too_far_behind
from .core.policy import policy
from .core.pooling import Actions, Book, Session, Shelf, Waiter, dial_plan
from .core.procedures import GaveUp, fill, first_line
from .core.steps import Dial, Look, Picture, Step, Steps
from .core.view import Service, View, Want
from .dialled import Dialled, Origin
from .drivers.contract import Reading
from .errors import ClusterError, ConfigError, NoNodeAvailable, PoolClosed, PoolTimeout, bind
from .topology import Topology

_random = random.random


class Dialling(Protocol):
    """A dial under way: `sync.dial.Attempt` or `aio.dial.Attempt`.  ``deadline`` in monotonic seconds."""

    name: str
    patience: float
    deadline: float
    seconds: float
    result: Any
    error: BaseException | None

    @property
    def held(self) -> Any:
        """The driver's connection that it is working on, if any."""

    def start(self) -> None:
        """Begin."""

    def abandon(self) -> None:
        """Stop waiting for it: it is late."""


@dataclass(frozen=True, slots=True)
class Owed:
    """An answer that a node owes: to the statement that ``session`` began at ``started``.  ``number``: the server's of the session, if known."""

    session: Session
    started: float
    number: int | None

    def is_owed(self) -> bool:
        """Whether it still is, to the same statement."""
        session = self.session
        return session.started == self.started > session.ended and not session.tainted


def allowed(attempt: Dialling, now: float, stalled: float) -> float:
    """Return the deadline of a dial after this process did not run for ``stalled`` seconds: later by that, but no more than its patience."""
    return min(attempt.deadline + stalled, now + attempt.patience) if stalled else attempt.deadline


class Probing(Protocol):
    """Who asks each node what it is: `sync.prober.Prober` or `aio.prober.Prober`."""

    def tick(self, now: float, starving: bool, owed: Mapping[str, tuple[Owed, ...]], stalled: float) -> float:
        """Begin the probes that are due; return when to come again."""

    def say(self, name: str, statement: str) -> None:
        """Send a statement to a node in the background."""

    def close(self) -> None:
        """Close its connections."""

    def after_fork(self) -> list[Any]:
        """Begin anew; return the parent's connections."""


D = TypeVar("D", bound=Dialling)


class BasePool(Generic[D]):
    """Connections to every node of one cluster, handed out best node first: all but the waiting."""

    _prober: Probing

    def __init__(self, topology: Topology, driver: Reading) -> None:
        self.topology = topology
        self.timeout = topology.settings.timeout
        self.orphans: deque[Session] = (
            deque()
        )  # given up by the garbage collector, which may run under any lock: `tick` takes them in
        self.gone: deque[Shelf] = (
            deque()
        )  # of connections that a framework has dropped; the garbage collector may be the one who says so
        self.waits = 0
        self.hung = 0
        self.reading = driver
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._attempts: set[D] = set()
        self._outside: weakref.WeakSet[Session] = weakref.WeakSet()  # in no book: only a forked child asks

    def _begin(self, listener: Callable[[View], None]) -> None:
        """Take part from now on: called at the end of the constructor.  ``listener`` hands new views on to `_adopt`."""
        self._listener = listener
        self._book.adopt(self.topology.view)
        self.topology.listeners.append(listener)
        fork.track(self)

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

    # -- checkout and return -------------------------------------------------------------------------------------------------------

    def _empty_book(self) -> Book:
        s = self.topology.settings
        return Book(s.max_size, s.max_dials_per_node, policy(s.policy), _random, s.slow_start)

    def give_back(self, session: Session, keep: bool = True) -> None:
        """Take a connection back.  The caller has made it clean, or says that it is not worth keeping."""
        with self._lock:
            actions = self._book.give_back(session, time.monotonic(), keep)
        if actions is not None:
            self._act(actions)

    def hand_over(self, session: Session, register: Dialled, want: Want) -> Any:
        """Return the driver's connection of an outside session, which is the caller's alone from now on, until `gone` says that it ended."""
        raw, shelf, gone = session.raw, session.shelf, self.gone
        with self._lock:
            shelf.outside.discard(session)
        register.remember(raw, Origin(shelf.name, session.generation, want, self.reading), lambda: gone.append(shelf))
        return raw

    def blame(self, session: Session, seen: SessionLost | Refused, error: BaseException) -> None:
        """Take what an error of ``session`` says about its node into account."""
        self.topology.failed(session.node, error)
        with self._lock:
            session.shelf.penalize(time.monotonic())
        self.topology.tell(seen)

    def mode_statements(self, session: Session, read_only: bool) -> tuple[str, ...]:
        """Return what makes a session read-only, or not; nothing for what it is already."""
        dialect = self.reading.dialect
        if session.read_only is read_only:
            return ()
        if read_only:
            return dialect.read_only_on
        return dialect.read_only_off if session.read_only else ()

    def lost_in_switch(self, session: Session, error: Exception) -> bool:
        """Setting a session's mode raised: it goes.  True: it was lost, and nothing of the caller's was sent; False: the error is the caller's."""
        facts = self.reading.facts(error, session.raw)
        generation, node = session.generation, session.node
        self.give_back(session, keep=False)
        if facts.lost:
            self.blame(session, SessionLost(node, generation, str(error)), error)
        return facts.lost

    # -- opening -------------------------------------------------------------------------------------------------------------------

    def _stagger(self) -> float:
        return 0.0 if self._book.policy.at_once else self.topology.settings.stagger

    def _enter_queue(self, want: Want, avoid: str | None, signal: Any, outside: bool) -> Waiter:
        """Put a caller in the queue; from now on it may be served at any moment, and ends by `_outcome` or `_interrupted`."""
        self.waits += 1
        self._take_in_orphans()
        waiter = Waiter(want, avoid, signal, outside)
        with self._lock:
            self._book.enqueue(waiter)
        return waiter

    def _interrupted(self, waiter: Waiter) -> None:
        """The caller waits no more.  What it was served in the same moment nobody else knows of."""
        late = self._withdraw(waiter, None)
        if late is not None:
            self.give_back(late)

    def _outcome(self, waiter: Waiter, outcome: Any | GaveUp, began: float) -> Session:
        """Return the connection that `open_` ended with, or raise why there is none.  ``began`` in monotonic seconds."""
        session: Session | None = None if isinstance(outcome, GaveUp) else outcome
        late = self._withdraw(waiter, session)
        if session is not None:
            return session
        if late is not None:
            return late
        raise self._gave_up(outcome, waiter.want, time.monotonic() - began)

    def _withdraw(self, waiter: Waiter, held: Session | None) -> Session | None:
        """Leave the queue.  A connection that was served in the same moment is returned."""
        with self._lock:
            given, actions = self._book.withdraw(waiter)
        self._act(actions)
        if given is None or given is held:
            return None
        return given

    def _fill_step(self, step: Step, waiter: Waiter) -> object:
        """Perform a step of `fill`, whose dials are nobody's in particular."""
        return self.begin_dial(step.node) if isinstance(step, Dial) else self._look(waiter)

    def _step(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None) -> object:
        """Perform a step of `open_` that never waits."""
        match step:
            case Look():
                return self._look(waiter)
            case Dial(node):
                return self.begin_dial(node, waiter, arguments)
        raise AssertionError(step)

    def _look(self, waiter: Waiter) -> Picture:
        now = time.monotonic()
        with self._lock:
            if self._book.closed:
                raise self.error(PoolClosed, f"the pool of cluster {self.topology.name!r} is closed")
            names = dial_plan(self._book, waiter.want, now, waiter.avoid)
            view = self._book.view
        if not names and not view.serving(waiter.want):
            self._wake()  # the one prober that asks for all waiters
        return Picture(now, names, view.hopeless(waiter.want))

    def begin_dial(self, name: str, waiter: Waiter | None = None, arguments: Mapping[str, Any] | None = None) -> bool:
        """Begin to dial ``name``, in the background; False when there is no room for a further connection or dial."""
        with self._lock:
            begun, actions = self._book.begin_dial(name, waiter)
        self._act(actions)
        shelf = actions.dial
        if shelf is not None:
            attempt = self._attempt(shelf, waiter, arguments)
            with self._lock:
                self._attempts.add(attempt)
            self._ensure_monitor()  # a forked child has none yet, and nobody else abandons a dial that is late
            attempt.start()
        return begun

    def _dial_ended(self, attempt: D, shelf: Shelf, waiter: Waiter | None) -> None:
        topology, name = self.topology, attempt.name
        if attempt.error is not None:
            if isinstance(attempt.error, Exception):  # a cancellation is no news about the node
                # Before the waiter is told: its next look must not see the node up.
                tell_failure(topology, self.reading, name, attempt.error)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dial_failed(shelf, attempt.error, time.monotonic(), waiter)
        else:
            raw, report = attempt.result
            topology.connected(name)
            topology.tell(Answered(name, report))
            session = self._session(raw, shelf)
            unfit = self._unfit(name, waiter)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dialled(session, attempt.seconds, time.monotonic(), waiter, unfit)
        self._act(actions)
        if self.topology.settings.min_idle:
            self._wake()  # to go on filling

    def _session(self, raw: Any, shelf: Shelf) -> Session:
        now = time.monotonic()
        node = self.topology.view.by_name.get(shelf.name)
        jitter = 0.9 + 0.1 * _random()  # or all would be replaced in the same second
        lifetime = self.topology.settings.max_lifetime * jitter
        session = Session(raw, shelf, node.generation if node else -1, now, now + lifetime)
        session.jitter = jitter
        session.autocommit = self.reading.autocommit(raw)
        session.read_only = False
        return session

    def _unfit(self, name: str, waiter: Waiter | None) -> ClusterError | None:
        view = self.topology.view
        if waiter is None or name in view.eligible(waiter.want):
            return None
        node = view.by_name.get(name)
        what = f"is {node.role.value}, {node.readiness.value}" if node else "was removed"
        if node and (lag := behind(view, node, waiter.want.max_lag, time.monotonic())):
            what += f", {lag}"
        return ClusterError(f"node {name!r} answered, but {what}{f' ({node.why})' if node and node.why else ''}")

    def _gave_up(self, outcome: GaveUp, want: Want, seconds: float) -> ClusterError:
        name, errors = self.topology.name, {**self.topology.latest, **outcome.errors}
        book = self._book
        busy = book.in_flight and book.total >= book.max_size
        if busy and outcome.plan and not outcome.errors and not outcome.silent:
            text = f"no connection of cluster {name!r} became free within {seconds:.1f} s: {book.in_flight} of at most {book.max_size} are in use"
            return self.error(PoolTimeout, text)
        stale = too_far_behind(self.topology.view, want, time.monotonic())
        errors |= {node: ClusterError(why) for node, why in stale.items()}
        for node in outcome.silent:
            errors[node] = TimeoutError(f"node {node!r} has not answered yet")
        if not self.topology.addresses:
            return self.error(NoNodeAvailable, f"cluster {name!r} has no nodes; add_node() one")
        wanted = (
            f"node {want.node!r}"
            if want.node
            else {Service.WRITE: "a primary", Service.REPLICA: "a replica"}.get(want.service, "a ready node")
        )
        told = "; ".join(
            f"{n}: {self.topology.redacted(n, str(e).strip().replace(chr(10), ' '))}" for n, e in errors.items()
        )
        text = f"cluster {name!r}: {wanted} could not be had within {seconds:.1f} s{': ' + told if told else ''}"
        error = bind(NoNodeAvailable, self.reading.operational_error)(text, errors)
        error.__cause__ = list(errors.values())[-1] if errors else None
        return error

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        return bind(kind, self.reading.operational_error)(text)

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
            actions = self._book.reap(now, self.topology.settings.max_idle_time)
            self._book.note_oldest()
            served, self._book.served = self._book.served, 0
            starving = self._book.starving
            attempts = tuple(self._attempts)
            owed = {} if stalled else self._wake_the_hung(now)
            late, next_end = self._end_the_overdue(now)
        self._act(actions)
        for node, number in late:
            self._cancel(node, number)
        self.topology.budget.earn(served)
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
        late, due = self._book.overdue(now)
        for session in late:
            session.timed_out = True
        drained, next_drained = self._book.outstayed(now)
        numbers = [(session.node, self.reading.session_id(session.raw)) for session in (*late, *drained)]
        for session in (*late, *drained):
            session.tainted = True
            self.reading.abort(session.raw)
        return [(node, number) for node, number in numbers if number is not None], min(due, next_drained)

    def _wake_the_hung(self, now: float) -> dict[str, tuple[Owed, ...]]:
        """Shut down the sockets of statements that wait for a node which does not answer a probe either; recovery then takes over.

        A statement on a node that answers is never touched for being slow.  Returns what the nodes owe, so that they are probed, and asked
        whether they still work on it.
        Under the lock, which `give_back` takes before it closes: a session that is in the book is not closed, nor its descriptor reused.
        """
        owed: dict[str, tuple[Owed, ...]] = {}
        for session in self._book.silent(now - self.topology.settings.stall_after):
            node = self.topology.view.by_name.get(session.node)
            if node is not None and node.reach is Reach.DOWN:
                self._hang_up(session)
            number = self.reading.session_id(session.raw) if self.reading.dialect.running else None
            owed[session.node] = (*owed.get(session.node, ()), Owed(session, session.started, number))
        return owed

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
                ready = self._book.view.eligible(want)  # an idle connection to another node is ready for nobody
                idle = sum(len(shelves[name].idle) for name in ready) + sum(shelf.dials for shelf in shelves.values())
                room = (
                    self._book.max_size - self._book.total if ready else 0
                )  # the prober is asking; its answer comes by here again
            self._drive_fill(fill(idle, settings.min_idle, room), Waiter(want))

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

    # -- the end, and forks ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
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
        self._take_in_orphans()
        return actions

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._book.closed

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: begin anew, and return the parent's connections and cursors, which must never be finalized here."""
        inherited = [session for shelf in self._book.shelves.values() for session in (*shelf.open, *shelf.outside)]
        inherited += [*self._outside, *self.orphans]
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

    def abandon(self, session: Session) -> None:
        """Take a session from the garbage collector, which may run in a thread that holds any lock: so none is taken here."""
        if self._book.closed:
            self._drop(session.raw)  # nobody comes by any more to do it
        else:
            self.orphans.append(session)

    def stats(self) -> dict[str, Any]:
        """Return sizes and counts: of the pool, and per node under ``nodes``."""
        with self._lock:
            book = self._book
            nodes = {
                name: {
                    "open": len(shelf.open),
                    "idle": len(shelf.idle),
                    "in_flight": shelf.in_flight,
                    "checkouts": shelf.checkouts,
                    "dialling": shelf.dials,
                    "ewma": shelf.ewma,
                }
                for name, shelf in book.shelves.items()
            }
            return {
                "max_size": book.max_size,
                "size": book.total,
                "idle": book.idle,
                "in_flight": book.in_flight,
                "waiting": len(book.waiters),
                "waits": self.waits,
                "hung": self.hung,
                "closed": book.closed,
                "nodes": nodes,
            }

    def words(self) -> str:
        """Return the state of the pool for a `repr`."""
        s = self.stats()
        return "closed" if s["closed"] else f"{s['in_flight']} in flight, {s['idle']} idle, at most {s['max_size']}"

    def __repr__(self) -> str:
        s = self.stats()
        return f"<Pool {self.topology.name!r} size={s['size']}/{s['max_size']} idle={s['idle']} in_flight={s['in_flight']} waiting={s['waiting']}>"


class awaited:  # noqa: N801 - used as a statement: ``with awaited(session):``
    """Within the block an answer is awaited that is no statement's: the monitor sees it, and it is no sample of the node's latency."""

    __slots__ = ("_before", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        session = self._session
        self._before = session.started, session.ended
        session.started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._session.started, self._session.ended = self._before


def tell_failure(topology: Topology, driver: Reading, name: str, error: BaseException) -> None:
    """Record that a dial or probe of ``name`` failed with ``error``."""
    topology.failed(name, error)
    facts = connect_facts(driver, error)
    topology.tell(Unreachable(name, facts.fault, first_line(error)))


def connect_facts(driver: Reading, error: BaseException) -> Facts:
    """Return what an error at connect proves."""
    if isinstance(error, ConfigError):
        return Facts(Fault.MISCONFIGURED, lost=True, not_sent=True)
    return driver.facts(error, None)
