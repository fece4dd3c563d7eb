"""A third face of the real pool and nodes, beside `clustersql.sync` and `clustersql.aio`: what waits there is an event
here.

What decides, counts, probes and publishes is `clustersql.pool`, `clustersql.nodes` and `clustersql.core`, within
`Clock.installed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from clustersql.config.knobs import Knobs
from clustersql.core.booking.book import Book
from clustersql.core.booking.opening import open_
from clustersql.core.booking.shelf import Session, Shelf, Waiter
from clustersql.core.policies.named import Policy
from clustersql.core.steps import Await, Step, Steps
from clustersql.core.view.probe import Probe, probe
from clustersql.core.view.use import Use
from clustersql.core.view.view import Service, Want
from clustersql.nodes.prober import BaseProber
from clustersql.nodes.topology import Topology
from clustersql.pool.base import BasePool
from clustersql.pool.rounds import IDLE, LEAST
from clustersql.pool.upkeep import Upkeep
from clustersql.sync.drive import drive

from .clock import Clock
from .dial import Attempt, Network, dial
from .drive import LATER, Task
from .driver import ADAPTER
from .server import Link

WANT = Want(Service.READ, read_only=True, autocommit=True)
Got = Callable[[Session | None], object]


class Rounds:
    """The monitor of one client, as `sync.monitor.Monitor`."""

    def __init__(self, clock: Clock, upkeep: Upkeep) -> None:
        self._clock = clock
        self._upkeep = upkeep
        self._due = float("inf")
        self._ran = float("-inf")

    def come(self, moment: float) -> None:
        """Go round at ``moment`` at the latest."""
        if moment < self._due:
            self._due = max(moment, self._ran + LEAST)
            self._clock.at(self._due, self._round, self._due)

    def _round(self, moment: float) -> None:
        if moment == self._due:  # else an earlier one has taken its place
            self._due, self._ran = float("inf"), moment
            self.come(min(moment + IDLE, self._upkeep.tick(moment)))


class Prober(BaseProber[Attempt]):
    """The probes of one client."""

    def __init__(self, pool: Pool, upkeep: Upkeep) -> None:
        super().__init__(pool.topology, pool.reading, upkeep.heard)
        self._pool = pool

    def _new_lock(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> Attempt:
        return self._pool.attempt(name, probe(name, kept, fresh, question), self._over, patience)

    def _over(self, attempt: Attempt) -> None:
        self._done(attempt.name)
        self._ended(attempt)

    def _close(self, raw: Link) -> None:
        raw.close()

    def _wake(self) -> None:
        self._pool._wake()


class Waiting:
    """What wakes a caller who waits: the signal of its `Waiter`."""

    def __init__(self, clock: Clock) -> None:
        self.waiter: Waiter | None = None
        self._clock = clock
        self._task: Task | None = None
        self._count = 0

    def wait(self, task: Task, seconds: float) -> None:
        """Resume ``task`` with what happens to the waiter next, or with None after so many seconds."""
        self._task, self._count = task, self._count + 1
        self._clock.at(self._clock.now + seconds, self._ripe, self._count)

    def set(self) -> None:
        """Something has happened."""
        self._clock.at(self._clock.now, self._ripe, self._count)

    def _ripe(self, count: int) -> None:
        if count == self._count and (task := self._task) is not None:
            self._task = None
            events = self.waiter.events if self.waiter else ()
            task.resume(events.popleft() if events else None)


class Pool(BasePool[Attempt]):
    """The pool of one client."""

    def __init__(self, network: Network, settings: Knobs, policy: Policy, dialled: Callable[[], object]) -> None:
        self.network = network
        self.clock = network.clock
        self._policy = policy
        self._dialled = dialled
        super().__init__(Topology("simulated", ADAPTER, settings), ADAPTER)
        upkeep = Upkeep(self)
        self.rounds = Rounds(self.clock, upkeep)
        self._prober = Prober(self, upkeep)
        self._begin(self._adopt)

    def checkout(self, avoid: str | None, got: Got) -> None:
        """Give ``got`` a connection, or None within ``timeout``; as `sync.pool.Pool.checkout`."""
        session = self._book.take(WANT, self.clock.now, avoid)
        if session is not None:
            self._looked_at(avoid, got, session)
            return
        waiting = Waiting(self.clock)
        waiting.waiter = waiter = Waiter(WANT, avoid, waiting)
        self._enter_queue(waiter)
        steps = open_(self.clock.now + self.timeout, self._stagger())
        done = partial(self._opened, waiter, self.clock.now, partial(self._looked_at, avoid, got))
        Task(steps, partial(self._perform, waiter), done).resume()

    def _looked_at(self, avoid: str | None, got: Got, session: Session | None) -> None:
        if session is not None and (self.reading.is_stale(session.raw) or self.clock.now >= session.expires):
            self.give_back(session, keep=False)
            self.checkout(avoid, got)
            return
        if session is not None:
            session.read_only = True  # the simulated database has no such mode, so it costs nothing
        got(session)

    def _perform(self, waiter: Waiter, step: Step, task: Task) -> Any:
        if not isinstance(step, Await):
            return self._step(step, waiter, None)
        if waiter.events:
            return waiter.events.popleft()
        waiter.signal.wait(task, step.seconds)
        return LATER

    def _opened(self, waiter: Waiter, began: float, got: Got, outcome: Any) -> None:
        try:
            session = self._outcome(waiter, outcome, began)
        except self.reading.operational_error:
            got(None)
        else:
            got(session)

    def attempt(self, name: str, steps: Steps[Probe], ended: Callable[[Attempt], object], patience: float) -> Attempt:
        """Return a dial or probe that is not started yet."""
        return Attempt(self.network, self.topology.settings, name, steps, ended, patience)

    # -- what `BasePool` asks for --------------------------------------------------------------------------------------

    def _empty_book(self) -> Book:
        book = super()._empty_book()
        book.policy = self._policy
        return book

    def _new_lock(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _attempt(
        self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None, use: Use | None
    ) -> Attempt:
        self._dialled()
        ended = partial(self._dial_over, shelf, waiter)
        return self.attempt(shelf.name, dial(shelf.name), ended, self.topology.settings.connect_timeout)

    def _dial_over(self, shelf: Shelf, waiter: Waiter | None, attempt: Attempt) -> None:
        self._dial_ended(attempt, shelf, waiter)

    def _close_all(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            session.raw.close()

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        drive(steps, lambda step: self._fill_step(step, waiter))

    def _wake(self) -> None:
        self.rounds.come(self.clock.now)

    def _ensure_monitor(self) -> None:
        """There is one."""
