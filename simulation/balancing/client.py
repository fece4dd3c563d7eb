"""One client: the project's own core, with the clock, the network and the threads replaced.

What decides is `clustersql.core`: `Book` (pool, plan, policy, slow start), `Load`, `observe` (breaker), `Budget`, `open_`, `recover`.  What
`clustersql.sync` does around it with threads is done here with events (`Client`, and `Monitor` for the upkeep).

An operation is one proven read in autocommit mode: checkout, statement, time to think, return.  In flight is what is checked out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from clustersql.config.knobs import Knobs
from clustersql.core.booking.book import Book, dial_plan
from clustersql.core.booking.opening import GaveUp, open_
from clustersql.core.booking.shelf import Actions, Session, Shelf, Waiter
from clustersql.core.faults import Facts, Fault
from clustersql.core.policies.named import Policy
from clustersql.core.recovery.budget import Budget
from clustersql.core.recovery.recover import Lost, recover
from clustersql.core.recovery.verdict import Situation
from clustersql.core.steps import Acquire, Await, Dial, Discard, Execute, Failed, Look, Picture, Step, Tell
from clustersql.core.view.observe import Added, Answered, Breaker, Observation, Unreachable, observe
from clustersql.core.view.view import Service, View, Want

from .clock import Clock
from .drive import LATER, Task
from .monitor import Monitor
from .server import Link, Server

WANT = Want(Service.READ, read_only=True, autocommit=True)
EXECUTED = "executed"


@dataclass(slots=True)
class Log:
    """What all clients of a run saw: when operations arrived; when those began that were done and the seconds they took; when one failed."""

    arrived: list[float] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    dials: int = 0


class Client:
    """A process with one pool over all servers.  ``rate``: operations per second (Poisson); ``think``: mean seconds before a return."""

    def __init__(
        self,
        clock: Clock,
        servers: Mapping[str, Server],
        rtt: Mapping[str, float],
        draw: Random,
        policy: Policy,
        settings: Knobs,
        log: Log,
        rate: float,
        think: float,
    ) -> None:
        self.clock = clock
        self.servers = servers
        self.rtt = rtt
        self.draw = draw
        self.settings = settings
        self.log = log
        self.rate = rate
        self.think = think
        self.view = View()
        self.book = Book(settings.max_size, settings.max_dials_per_node, policy, draw.random, settings.slow_start)
        self.budget = Budget(settings.retry_ratio, settings.retry_reserve)
        self._breaker = Breaker(settings.breaker_base, settings.breaker_cap)
        self._saw: Callable[[str, float, float], None] | None = getattr(policy, "saw", None)
        self.monitor = Monitor(self)

    def start(self) -> None:
        """Configure the nodes, and begin.  The first operation comes once the first probes can have their answers."""
        for name in self.servers:
            self.tell(Added(name))
        self.clock.at(self.clock.now + self.draw.expovariate(self.rate), self.begin)

    # -- operations ------------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """An operation arrives; the next will, until the ``rate`` is 0."""
        now = self.clock.now
        if self.rate == 0.0:
            return
        self.log.arrived.append(now)
        self.clock.at(now + self.draw.expovariate(self.rate), self.begin)
        self._checkout(None, partial(self._first, now))

    def _checkout(self, avoid: str | None, got: Callable[[Session | None], object]) -> None:
        """Give ``got`` a connection, as ``Pool.checkout`` does: an idle one at once, or by way of the queue."""
        now, book = self.clock.now, self.book
        session = book.take(WANT, now, avoid)
        while session is not None and not (session.raw.alive and now < session.expires):
            self._give_back(session, keep=False)  # found dead without a round trip, and without blame
            session = book.take(WANT, now, avoid)
        if session is None:
            self._open(avoid, got)
        else:
            got(session)

    def _first(self, began: float, session: Session | None) -> None:
        if session is None:
            self.log.errors.append(began)
        else:
            self._execute(session, partial(self._answered, session, began))

    def _execute(self, session: Session, answered: Callable[[Fault | None], object]) -> None:
        session.started = self.clock.now
        session.raw.execute(answered)

    def _answered(self, session: Session, began: float, fault: Fault | None) -> None:
        if fault is None:
            self._succeeded(session, began)
            return
        self._failed_statement(session)
        performer = _Recovery(self, session, began)
        steps = recover(
            _error(fault),
            _situation(fault, session),
            session.node,
            session.generation,
            self.settings.retry_limit,
            self.budget.spend,
        )
        Task(steps, performer.perform, performer.done).resume()

    def _succeeded(self, session: Session, began: float) -> None:
        now = session.ended = self.clock.now
        session.statements += 1
        self.log.began.append(began)
        self.log.seconds.append(now - began)
        if self._saw is not None:
            self._saw(session.node, now - session.started, now)
        if self.think:
            self.clock.at(now + self.draw.expovariate(1 / self.think), self._give_back, session)
        else:
            self._give_back(session)

    def _failed_statement(self, session: Session) -> None:
        session.started = session.ended = self.clock.now  # as `Connection._recover`: an error's latency is no sample

    def _give_back(self, session: Session, keep: bool = True) -> None:
        actions = self.book.give_back(session, self.clock.now, keep and not session.tainted)
        if actions is not None:
            self.act(actions)

    # -- opening ---------------------------------------------------------------------------------------------------------------------

    def _open(self, avoid: str | None, got: Callable[[Session | None], object]) -> None:
        waiter = Waiter(WANT, avoid)
        self.book.enqueue(waiter)
        stagger = 0.0 if self.book.policy.at_once else self.settings.stagger
        steps = open_(self.clock.now + self.settings.timeout, stagger)
        task = Task(steps, partial(self._perform, waiter), partial(self._opened, waiter, got))
        waiter.signal = task
        task.resume()

    def _opened(self, waiter: Waiter, got: Callable[[Session | None], object], outcome: Any) -> None:
        session = None if isinstance(outcome, GaveUp) else outcome
        given, actions = self.book.withdraw(waiter)
        self.act(actions)
        got(given if session is None else session)

    def _perform(self, waiter: Waiter, step: Step, task: Task) -> Any:
        match step:
            case Look():
                names = dial_plan(self.book, waiter, self.clock.now)
                if not names and not self.book.view.serving(waiter.want):
                    self.monitor.wake()
                return Picture(self.clock.now, names, self.book.view.hopeless(waiter.want))
            case Dial(node):
                return self._dial(node, waiter)
            case Await(seconds):
                if waiter.events:
                    return waiter.events.popleft()
                task.waits += 1
                task.waiting = True
                self.clock.at(self.clock.now + seconds, self._ripe, waiter, task.waits)
                return LATER
        raise AssertionError(step)

    def _ripe(self, waiter: Waiter, wait: int) -> None:
        """A wait is over: something happened for the waiter, or its time is up."""
        task: Task = waiter.signal
        if task.waiting and task.waits == wait:
            task.waiting = False
            task.resume(waiter.events.popleft() if waiter.events else None)

    def _dial(self, name: str, waiter: Waiter) -> bool:
        begun, actions = self.book.begin_dial(name, waiter)
        self.act(actions)
        if actions.dial is not None:
            self.log.dials += 1
            _Attempt(self, actions.dial, waiter)
        return begun

    # -- what is known ---------------------------------------------------------------------------------------------------------------

    def tell(self, seen: Observation) -> None:
        """Take an observation into account, as ``Topology.tell``."""
        before = self.view
        self.view = observe(before, seen, self.clock.now, self.draw.random(), self._breaker)
        if self.view is not before:
            self.act(self.book.adopt(self.view))
            self.monitor.wake()

    def blame(self, session: Session, seen: Observation) -> None:
        """A session's error is news about its node, as ``Pool.blame``."""
        session.shelf.penalize(self.clock.now)
        self.tell(seen)

    def act(self, actions: Actions) -> None:
        """Carry out what the book decided."""
        for waiter in actions.wake:
            self.clock.at(self.clock.now, self._ripe, waiter, waiter.signal.waits)
        for session in actions.close:
            session.raw.close()


class _Attempt:
    """One dial, abandoned after ``connect_timeout``."""

    __slots__ = ("began", "client", "ended", "shelf", "waiter")

    def __init__(self, client: Client, shelf: Shelf, waiter: Waiter) -> None:
        self.client = client
        self.shelf = shelf
        self.waiter = waiter
        self.began = client.clock.now
        self.ended = False
        client.servers[shelf.name].connect(client.rtt[shelf.name], self.end)
        client.clock.at(self.began + client.settings.connect_timeout, self.end, None)

    def end(self, link: Link | None) -> None:
        client, shelf, now = self.client, self.shelf, self.client.clock.now
        if self.ended:
            if link is not None:
                link.close()
            return
        self.ended = True
        if link is None:
            client.tell(Unreachable(shelf.name))
            client.act(client.book.dial_failed(shelf, _error(Fault.LOST), now, self.waiter))
            return
        client.tell(Answered(shelf.name, link.server.report))
        node = client.view.by_name[shelf.name]
        session = Session(link, shelf, node.generation, now, now + client.settings.max_lifetime)
        session.autocommit = session.read_only = True
        unfit = None if shelf.name in client.view.eligible(WANT) else _error(Fault.NOT_READY)
        client.act(client.book.dialled(session, now - self.began, now, self.waiter, unfit))


class _Recovery:
    """Does what `recover` asks for, with the operation in hand."""

    __slots__ = ("began", "client", "session")

    def __init__(self, client: Client, session: Session, began: float) -> None:
        self.client = client
        self.session: Session | None = session
        self.began = began

    def perform(self, step: Step, task: Task) -> Any:
        client, session = self.client, self.session
        match step:
            case Tell(seen) if session is not None:
                client.blame(session, seen)
                return None
            case Discard() if session is not None:
                self.session = None
                client._give_back(session, keep=False)
                return None
            case Acquire(avoid):
                client._checkout(avoid, partial(self._acquired, task))
                return LATER
            case Execute() if session is not None:
                client._execute(session, partial(self._answered, session, task))
                return LATER
        raise AssertionError(step)

    def _acquired(self, task: Task, session: Session | None) -> None:
        self.session = session
        if session is None:
            self.client.log.errors.append(self.began)
        else:
            task.resume((session.node, session.generation))

    def _answered(self, session: Session, task: Task, fault: Fault | None) -> None:
        if fault is None:
            task.resume(EXECUTED)
        else:
            self.client._failed_statement(session)
            task.resume(Failed(_error(fault), _situation(fault, session)))

    def done(self, outcome: Any) -> None:
        session = self.session
        assert session is not None
        if isinstance(outcome, Lost):
            self.client.log.errors.append(self.began)
            self.client._give_back(session, keep=outcome.error.args[0] is not Fault.LOST)
        else:
            self.client._succeeded(session, self.began)


def _error(fault: Fault) -> Exception:
    return RuntimeError(fault)


def _situation(fault: Fault, session: Session) -> Situation:
    return Situation(Facts(fault, lost=fault is Fault.LOST), proven=True, read_only=True, timed_out=session.timed_out)
