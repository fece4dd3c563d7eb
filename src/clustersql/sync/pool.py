"""The pool of a cluster for threads: the lock, the clock and the I/O around `core.pooling`.

Rules
-----
* Decide under the lock, act outside it: under `Pool._lock` there is only the bookkeeping, never a call of a driver.
* An idle connection is looked at, without a round trip, before it is handed out.
* Whatever was dialled is in the book, handed to somebody, or closed; so is what was abandoned.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import fork
from ..core.node import Reach
from ..core.observe import Refused, SessionLost
from ..core.obstacles import behind, too_far_behind
from ..core.policy import policy
from ..core.pooling import Actions, Book, Session, Shelf, Waiter, dial_plan
from ..core.procedures import GaveUp, drain, fill, open_
from ..core.steps import Await, Close, Dial, Look, Picture, Step
from ..core.view import Service, View, Want
from ..errors import ClusterError, NoNodeAvailable, PoolClosed, PoolTimeout, bind
from ..topology import Topology
from . import monitor
from .dial import Attempt, connect, tell_answer, tell_failure
from .drive import drive
from .prober import Prober

_random = random.random


class Pool:
    """Connections to every node of one cluster, handed out best node first.  Thread-safe."""

    def __init__(self, topology: Topology) -> None:
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
        self._driver = topology.driver
        self._is_stale = topology.driver.is_stale
        self._lock = threading.Lock()
        self._book = self._empty_book()
        self._attempts: set[Attempt] = set()
        self._outside: weakref.WeakSet[Session] = weakref.WeakSet()  # in no book: only a forked child asks
        self._prober = Prober(topology)
        self._book.adopt(topology.view)
        topology.listeners.append(self._adopt)
        fork.track(self)
        monitor.watch(self)

    def _empty_book(self) -> Book:
        s = self.topology.settings
        return Book(s.max_size, s.max_dials_per_node, policy(s.policy), _random, s.slow_start)

    # -- checkout and return -------------------------------------------------------------------------------------------------------

    def checkout(self, want: Want, timeout: float, avoid: str | None = None) -> Session:
        """Return a connection for ``want`` in the wanted mode, within ``timeout`` seconds.

        ``avoid`` is a node that is taken only when no other serves.  Raises `NoNodeAvailable`, `PoolTimeout` or `PoolClosed`, each also
        an instance of the driver's ``OperationalError``.
        """
        began = now = time.monotonic()
        while True:
            with self._lock:
                session = self._book.take(want, now, avoid)
            if session is None:
                session = self._open(want, began + timeout, avoid)
            elif now >= session.expires or self._is_stale(session.raw):
                self.give_back(session, keep=False)  # without blame: servers close idle connections for many reasons
                continue
            if session.autocommit is want.autocommit and session.read_only is want.read_only:
                return session
            if self._switch_mode(session, want):
                return session
            now = time.monotonic()

    def give_back(self, session: Session, keep: bool = True) -> None:
        """Take a connection back.  The caller has made it clean, or says that it is not worth keeping."""
        with self._lock:
            actions = self._book.give_back(session, time.monotonic(), keep)
        if actions is not None:
            self._act(actions)

    def open_outside(
        self, want: Want, timeout: float, arguments: Mapping[str, Any], avoid: str | None = None
    ) -> Session:
        """Return a connection that the pool does not keep, with the caller's own driver ``arguments``; raises as `checkout`."""
        session = self._open(want, time.monotonic() + timeout, avoid, arguments)
        self._outside.add(session)
        return session

    def let_go(self, session: Session) -> Any:
        """Return the driver's connection of an outside session, which is the caller's alone from now on, until `gone` says that it ended."""
        with self._lock:
            session.shelf.outside.discard(session)
        return session.raw

    def reset(self, session: Session) -> bool:
        """Give a session its first state back; False: this database cannot, the connection must be closed."""
        statements = self._driver.dialect.reset
        if not statements:
            return False
        self._driver.ask(session.raw, statements)
        session.read_only = False
        hook = self.topology.settings.on_connect
        if hook is not None:
            hook(session.raw)
        return True

    def blame(self, session: Session, seen: SessionLost | Refused, error: BaseException) -> None:
        """Take what an error of ``session`` says about its node into account."""
        self.topology.failed(session.node, error)
        with self._lock:
            session.shelf.penalize(time.monotonic())
        self.topology.tell(seen)

    def _switch_mode(self, session: Session, want: Want) -> bool:
        """Set what differs from the mode that the session was left in; False: it was lost while we did, and nothing of the caller's was sent."""
        try:
            with awaited(session):
                self.set_mode(session, want.autocommit, want.read_only)
        except Exception as exc:
            facts = self._driver.facts(exc, session.raw)
            generation, node = session.generation, session.node
            self.give_back(session, keep=False)
            if not facts.lost:
                raise
            self.blame(session, SessionLost(node, generation, str(exc)), exc)
            return False
        return True

    def set_mode(self, session: Session, autocommit: bool, read_only: bool) -> None:
        """Make a session read-only or not, and autocommit or not; what it is already costs nothing."""
        driver, dialect = self._driver, self._driver.dialect
        if session.read_only is not read_only:
            statements = dialect.read_only_on if read_only else dialect.read_only_off if session.read_only else ()
            if statements:
                driver.ask(session.raw, statements)
            session.read_only = read_only
        if session.autocommit is not autocommit:
            if driver.abilities.autocommit:
                driver.set_autocommit(session.raw, autocommit)
            session.autocommit = autocommit

    # -- opening -------------------------------------------------------------------------------------------------------------------

    def _open(
        self, want: Want, deadline: float, avoid: str | None, arguments: Mapping[str, Any] | None = None
    ) -> Session:
        self.waits += 1
        self._take_in_orphans()
        waiter = Waiter(want, avoid, threading.Event(), outside=arguments is not None)
        with self._lock:
            self._book.enqueue(waiter)
        began = time.monotonic()
        session: Session | None = None
        try:
            outcome = drive(open_(deadline, self._stagger()), lambda step: self._perform(step, waiter, arguments))
        except BaseException:
            late = self._withdraw(waiter, None)
            if late is not None:  # served in the moment of the interruption: nobody else knows of it
                self.give_back(late)
            raise
        if not isinstance(outcome, GaveUp):
            session = outcome
        late = self._withdraw(waiter, session)
        if session is not None:
            return session
        if late is not None:
            return late
        raise self._gave_up(outcome, want, time.monotonic() - began)

    def _stagger(self) -> float:
        return 0.0 if self._book.policy.at_once else self.topology.settings.stagger

    def _withdraw(self, waiter: Waiter, held: Session | None) -> Session | None:
        """Leave the queue.  A connection that was served in the same moment is returned."""
        with self._lock:
            given, actions = self._book.withdraw(waiter)
        self._act(actions)
        if given is None or given is held:
            return None
        return given

    def _perform(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None, fresh: bool = False) -> object:
        match step:
            case Look():
                return self._look(waiter)
            case Dial(node):
                return self.begin_dial(node, None if fresh else waiter, arguments)
            case Await(seconds):
                return _next_event(waiter, seconds)
        raise AssertionError(step)

    def _look(self, waiter: Waiter) -> Picture:
        now = time.monotonic()
        with self._lock:
            if self._book.closed:
                raise self.error(PoolClosed, f"the pool of cluster {self.topology.name!r} is closed")
            names = dial_plan(self._book, waiter.want, now, waiter.avoid)
            view = self._book.view
        if not names and not view.serving(waiter.want):
            monitor.wake()  # the one prober that asks for all waiters
        return Picture(now, names, view.hopeless(waiter.want))

    def begin_dial(self, name: str, waiter: Waiter | None = None, arguments: Mapping[str, Any] | None = None) -> bool:
        """Begin to dial ``name`` in a thread of its own; False when there is no room for a further connection or dial."""
        with self._lock:
            begun, actions = self._book.begin_dial(name, waiter)
        self._act(actions)
        shelf = actions.dial
        if shelf is not None:
            attempt = Attempt(
                self.topology,
                name,
                lambda attempt: connect(self.topology, name, arguments, attempt.hold),
                lambda attempt: self._dial_ended(attempt, shelf, waiter),
            )
            with self._lock:
                self._attempts.add(attempt)
            monitor.ensure()  # a forked child has none yet, and nobody else abandons a dial that is late
            attempt.start()
        return begun

    def _dial_ended(self, attempt: Attempt, shelf: Shelf, waiter: Waiter | None) -> None:
        topology, name = self.topology, attempt.name
        if attempt.error is not None:
            tell_failure(
                topology, name, attempt.error
            )  # before the waiter is told: its next look must not see the node up
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dial_failed(shelf, attempt.error, time.monotonic(), waiter)
        else:
            raw, report = attempt.result
            topology.connected(name)
            tell_answer(topology, name, report)
            session = self._session(raw, shelf)
            unfit = self._unfit(name, waiter)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dialled(session, attempt.seconds, time.monotonic(), waiter, unfit)
        self._act(actions)
        if self.topology.settings.min_idle:
            monitor.wake()  # to go on filling

    def _session(self, raw: Any, shelf: Shelf) -> Session:
        now = time.monotonic()
        node = self.topology.view.by_name.get(shelf.name)
        jitter = 0.9 + 0.1 * _random()  # or all would be replaced in the same second
        lifetime = self.topology.settings.max_lifetime * jitter
        session = Session(raw, shelf, node.generation if node else -1, now, now + lifetime)
        session.jitter = jitter
        session.autocommit = self._driver.autocommit(raw)
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
        error = bind(NoNodeAvailable, self._driver.operational_error)(text, errors)
        error.__cause__ = list(errors.values())[-1] if errors else None
        return error

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        return bind(kind, self._driver.operational_error)(text)

    # -- upkeep, called by the monitor -----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Do what is due, and return when to come again (monotonic seconds).  Never blocks on a server."""
        self._take_in_orphans()
        with self._lock:
            if self._book.closed:
                return now + 1.0
            actions = self._book.reap(now, self.topology.settings.max_idle_time)
            self._book.note_oldest()
            served, self._book.served = self._book.served, 0
            starving = self._book.starving
            attempts = tuple(self._attempts)
            silent = self._wake_the_hung(now)
            next_end = self._end_the_overdue(now)
        self._act(actions)
        self.topology.budget.earn(served)
        due = self._prober.tick(now, starving, silent)
        for attempt in attempts:
            if attempt.deadline <= now:
                attempt.abandon()
            else:
                due = min(due, attempt.deadline)
        self._fill()
        return min(due, next_end)

    def _end_the_overdue(self, now: float) -> float:
        """Shut down the sockets of those whose time is over, or the grace of whose node; returns when the next one's is.  Under the lock, as `_wake_the_hung`."""
        late, due = self._book.overdue(now)
        for session in late:
            session.tainted = session.timed_out = True
            self._driver.abort(session.raw)
        drained, next_drained = self._book.outstayed(now)
        for session in drained:
            session.tainted = True
            self._driver.abort(session.raw)
        return min(due, next_drained)

    def _wake_the_hung(self, now: float) -> set[str]:
        """Shut down the sockets of statements that wait for a node which does not answer a probe either; recovery then takes over.

        A statement on a node that answers is never touched, however slow.  Returns the nodes that owe an answer, so that they are probed.
        Under the lock, which `give_back` takes before it closes: a session that is in the book is not closed, nor its descriptor reused.
        """
        silent = self._book.silent(now - self.topology.settings.stall_after)
        for session in silent:
            node = self.topology.view.by_name.get(session.node)
            if node is not None and node.reach is Reach.DOWN:
                session.tainted = True
                self.hung += 1
                self._driver.abort(session.raw)
        return {session.node for session in silent}

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
            drive(fill(idle, settings.min_idle, room), lambda step: self._perform(step, Waiter(want), None, fresh=True))

    def _adopt(self, view: View) -> None:
        with self._lock:
            news = view.version != self._book.view.version
            actions = self._book.adopt(view)
        self._act(actions)
        if news:
            monitor.wake()  # a suspect node is dialled, and a refusal is looked into, at once

    def _act(self, actions: Actions) -> None:
        for waiter in actions.wake:
            waiter.signal.set()
        drive(drain(actions.close), self._close)
        if actions.close and self.topology.settings.min_idle:
            monitor.wake()  # to fill up what was closed

    def _close(self, step: Step) -> None:
        assert isinstance(step, Close)
        self._driver.close(step.session.raw)

    # -- the end, and forks ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close idle connections now, the others when they are given back; whoever waits gets `PoolClosed`."""
        with self._lock:
            actions = self._book.close()
        if self._adopt in self.topology.listeners:
            self.topology.listeners.remove(self._adopt)
        monitor.forget(self)
        self._take_in_orphans()
        self._act(actions)
        self._prober.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._book.closed

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: begin anew, and return the parent's connections, which must never be finalized here."""
        inherited = [session for shelf in self._book.shelves.values() for session in (*shelf.open, *shelf.outside)]
        inherited += [*self._outside, *self.orphans]
        for session in inherited:
            if session.holder is not None:
                session.holder.inherit()
        raws = [session.raw for session in inherited] + self._prober.after_fork()
        raws += [attempt.held for attempt in self._attempts if attempt.held is not None]
        closed = self._book.closed
        self._lock = threading.Lock()
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
            self._driver.close(session.raw)  # nobody comes by any more to do it
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

    def __repr__(self) -> str:
        s = self.stats()
        return f"<Pool {self.topology.name!r} size={s['size']}/{s['max_size']} idle={s['idle']} in_flight={s['in_flight']} waiting={s['waiting']}>"


@contextlib.contextmanager
def awaited(session: Session) -> Iterator[None]:
    """Within the block an answer is awaited that is no statement's: the monitor sees it, and it is no sample of the node's latency."""
    before = session.started, session.ended
    session.started = time.monotonic()
    try:
        yield
    finally:
        session.started, session.ended = before


def _next_event(waiter: Waiter, seconds: float) -> object:
    """Wait for what happens next to ``waiter``.

    The event is appended before the signal is set (`Pool._act`) and the signal is cleared before the queue is looked at, so none is missed.
    """
    deadline = time.monotonic() + seconds
    while True:
        waiter.signal.clear()
        if waiter.events:
            return waiter.events.popleft()
        left = deadline - time.monotonic()
        if left <= 0.0 or not waiter.signal.wait(left):
            return waiter.events.popleft() if waiter.events else None
