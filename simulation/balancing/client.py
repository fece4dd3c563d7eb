"""One client: a pool of the third face, and what `clustersql.connection` does around a statement, as events.

An operation is one proven read in autocommit mode: checkout, statement, time to think, return.  In flight is what is
checked out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from clustersql.config.address import Address
from clustersql.config.knobs import Knobs
from clustersql.core.booking.shelf import Session
from clustersql.core.faults import Fault
from clustersql.core.policies.named import Policy
from clustersql.core.recovery.recover import Lost, recover
from clustersql.core.recovery.verdict import Situation
from clustersql.core.steps import Acquire, Discard, Execute, Failed, Step, Tell

from .dial import Network
from .drive import LATER, Task
from .driver import ADAPTER, Error
from .pool import Pool


@dataclass(slots=True)
class Log:
    """What all clients of a run saw."""

    arrived: list[float] = field(default_factory=list)
    """When operations arrived."""
    began: list[float] = field(default_factory=list)
    """When those began that were done."""
    seconds: list[float] = field(default_factory=list)
    """The seconds that these took."""
    errors: list[float] = field(default_factory=list)
    """When those began that failed for their user."""
    away: list[float] = field(default_factory=list)
    """When those began that a node of another zone than the client's has done."""
    dials: int = 0
    """How many connections the pools dialled."""

    def dialled(self) -> None:
        """Count a dial."""
        self.dials += 1


class Client:
    """A process with one pool over all servers.  ``rate``: operations per second (Poisson); ``think``: mean seconds
    before a return.
    """

    pool: Pool

    def __init__(
        self, network: Network, draw: Random, policy: Policy, settings: Knobs, log: Log, rate: float, think: float
    ) -> None:
        self.network = network
        self.clock = network.clock
        self.draw = draw
        self.policy = policy
        self.settings = settings
        self.log = log
        self.rate = rate
        self.think = think
        self._saw: Callable[[str, float, float], None] | None = getattr(policy, "saw", None)

    def start(self) -> None:
        """Configure the nodes, and begin.  The first operation comes once the first probes can have their answers."""
        self.configure()
        self.clock.at(self.clock.now + self.draw.expovariate(self.rate), self.begin)

    def configure(self) -> None:
        """Make the pool, and tell it the nodes."""
        self.pool = Pool(self.network, self.settings, self.policy, self.log.dialled)
        for name in self.network.servers:
            self.pool.topology.add(name, Address(node=name, zone=self.network.servers[name].zone or None))

    def begin(self) -> None:
        """An operation arrives; the next will, until the ``rate`` is 0."""
        now = self.clock.now
        if self.rate == 0.0:
            return
        self.log.arrived.append(now)
        self.clock.at(now + self.draw.expovariate(self.rate), self.begin)
        self.pool.checkout(None, partial(self.first, now))

    def first(self, began: float, session: Session | None) -> None:
        """The operation that arrived at ``began`` has a connection; None: there is none."""
        if session is None:
            self.log.errors.append(began)
        else:
            self.execute(session, partial(self._answered, session, began))

    def execute(self, session: Session, answered: Callable[[Fault | None], object]) -> None:
        """Send the statement."""
        session.started = self.clock.now
        session.raw.execute(answered)

    def _answered(self, session: Session, began: float, fault: Fault | None) -> None:
        if fault is None:
            self.succeeded(session, began)
        else:
            _Recovery(self, session, began).begin(fault)

    def succeeded(self, session: Session, began: float) -> None:
        """The operation has its answer."""
        now = session.ended = self.clock.now
        session.statements += 1
        self.log.began.append(began)
        self.log.seconds.append(now - began)
        if self.network.servers[session.node].zone != self.settings.zone:
            self.log.away.append(began)
        if self._saw is not None:
            self._saw(session.node, now - session.started, now)
        if self.think:
            self.clock.at(now + self.draw.expovariate(1 / self.think), self.give_back, session)
        else:
            self.give_back(session)

    def give_back(self, session: Session, keep: bool = True) -> None:
        """Return the connection."""
        self.pool.give_back(session, keep and not session.tainted)


class _Recovery:
    """Does what `recover` asks for, with the operation in hand."""

    __slots__ = ("_began", "_client", "_error", "_session")

    def __init__(self, client: Client, session: Session, began: float) -> None:
        self._client = client
        self._session: Session | None = session
        self._began = began

    def begin(self, fault: Fault) -> None:
        client, session = self._client, self._session
        assert session is not None
        error, situation = self._failed(session, fault)
        topology = client.pool.topology
        where, limit = (session.node, session.generation), topology.settings.retry_limit
        Task(recover(error, situation, *where, limit, topology.budget.spend), self._perform, self._done).resume()

    def _failed(self, session: Session, fault: Fault) -> tuple[Error, Situation]:
        session.started = session.ended = self._client.clock.now  # an error's latency is no sample
        self._error = Error(fault)
        facts = ADAPTER.facts(self._error, session.raw)
        return self._error, Situation(facts, proven=True, read_only=True, timed_out=session.timed_out)

    def _perform(self, step: Step, task: Task) -> Any:
        client, session = self._client, self._session
        match step:
            case Acquire(avoid):
                client.pool.checkout(avoid, partial(self._acquired, task))
                return LATER
            case Tell(seen) if session is not None:
                client.pool.blame(session, seen, self._error)
            case Discard() if session is not None:
                self._session = None
                client.give_back(session, keep=False)
            case Execute() if session is not None:
                client.execute(session, partial(self._answered, session, task))
                return LATER
            case _:
                raise AssertionError(step)
        return None

    def _acquired(self, task: Task, session: Session | None) -> None:
        self._session = session
        if session is None:
            self._client.log.errors.append(self._began)
        else:
            task.resume((session.node, session.generation))

    def _answered(self, session: Session, task: Task, fault: Fault | None) -> None:
        task.resume(None if fault is None else Failed(*self._failed(session, fault)))

    def _done(self, outcome: Any) -> None:
        client, session = self._client, self._session
        assert session is not None
        if isinstance(outcome, Lost):
            client.log.errors.append(self._began)
            client.give_back(session, keep=outcome.error.args[0] is not Fault.LOST)
        else:
            client.succeeded(session, self._began)
