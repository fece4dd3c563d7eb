"""The pool of a cluster for threads: a lock, and the waiting around `pool.BasePool`.

Rules
-----
* Under the lock there is only the bookkeeping, never a call of a driver that may block.
* An idle connection is looked at, without a round trip, before it is handed out.
* A checkout goes by the published view: who has seen there that a node is out is not given it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.booking.opening import open_
from ..core.booking.shelf import UNDERWAY, Session, Shelf, Waiter
from ..core.steps import Await, Served, Step, Steps
from ..core.view.use import Use
from ..core.view.view import Want
from ..drivers.contract import Driver
from ..nodes.topology import Topology
from ..pool.base import LOOKS, BasePool
from ..pool.outside import OutsideConnections
from ..pool.session import awaited
from ..pool.upkeep import Upkeep
from . import causal, monitor
from .dial import Attempt, connect
from .drive import drive
from .entangled import apart
from .gate import Gate
from .mode import make
from .prober import Prober
from .settle import delete


class Pool(BasePool[Attempt]):
    """Connections to every node of one cluster, handed out best node first.  Thread-safe."""

    _lock: threading.Lock

    def __init__(self, topology: Topology, driver: Driver) -> None:
        super().__init__(topology, driver)
        self.driver = driver
        self._upkeep = Upkeep(self)
        self._prober = Prober(topology, driver, self._upkeep.heard)
        self._begin(self._adopt)
        monitor.watch(self._upkeep)

    # -- checkout and return -------------------------------------------------------------------------------------------

    def checkout(self, want: Want, timeout: float, avoid: str | None = None, holder: Any = UNDERWAY) -> Session:
        """Return a connection for ``want`` in the wanted mode, within ``timeout`` seconds.

        ``avoid`` is a node that is taken only when no other serves.  It is ``holder``'s before this returns.  Raises
        `NoNodeAvailable`, `PoolTimeout` or `PoolClosed`, each also an instance of the driver's ``OperationalError``.
        """
        if want.causal is not None:
            return causal.checkout(self, want, timeout, lambda plain, left: self.checkout(plain, left, avoid, holder))
        began = now = time.monotonic()
        while True:
            view = self.topology.view
            # Just published by another thread (`Topology.tell`), which is about to tell us.
            if self._book.view is not view:
                self._adopt(view)
            lapsed = looked_at = False
            waiter = None
            try:
                with self._lock:
                    session = self._book.take(want, now, avoid, holder)
                    if session is None and avoid is None:
                        waiter = self._book.plain(want, now, holder)
                        if waiter is not None:
                            waiter.signal = Gate()
                            self._book.line_up(waiter)
                if session is None:
                    if waiter is not None:
                        session = self._wait(waiter, began + timeout)
                    else:
                        session = self._open(want, began + timeout, avoid, holder=holder)
                    now, looked_at = time.monotonic(), session.looked_at
                    lapsed = not session.is_current(now)  # it had its way to go since it was handed over
            except BaseException:
                if waiter is not None:
                    self._interrupted(waiter)
                raise
            try:
                stale = lapsed or now >= session.expires or (not looked_at and self._is_stale(session.raw))
            except BaseException:  # nobody else knows of it
                self.give_back(session, keep=False)
                raise
            if stale:
                self.give_back(session, keep=False)  # without blame: servers close idle connections for many reasons
                now = time.monotonic()
                continue
            if session.autocommit is want.autocommit and session.read_only is want.read_only:
                return session
            if self._switch_mode(session, want):
                return session
            now = time.monotonic()

    def open_outside(
        self,
        want: Want,
        timeout: float,
        arguments: Mapping[str, Any],
        avoid: str | None = None,
        holder: Any = UNDERWAY,
    ) -> Session:
        """Return a connection that the pool does not keep, with the caller's own driver ``arguments``; raises as
        `checkout`.
        """
        if want.causal is not None:
            return causal.checkout(
                self, want, timeout, lambda plain, left: self.open_outside(plain, left, arguments, avoid, holder)
            )
        session = self._open(want, time.monotonic() + timeout, avoid, arguments, holder)
        self._outside.add(session)
        return session

    def dial(self, register: OutsideConnections, want: Want, timeout: float, arguments: Mapping[str, Any]) -> Any:
        """Return a connection of the driver for a pool of somebody else's; see `Cluster.dial`."""
        session = self.open_outside(want, timeout, arguments)
        if want.read_only:
            try:
                with awaited(session):
                    make(self.switching(session, session.autocommit, True), self.driver, session.raw)
            except BaseException:
                self.give_back(session, keep=False)
                raise
        return self.hand_over(session, register, want)

    def _switch_mode(self, session: Session, want: Want) -> bool:
        """Set what differs from the mode that the session was left in; False: it was lost while we did."""
        try:
            with awaited(session):
                make(self.switching(session, want.autocommit, want.read_only), self.driver, session.raw)
        except BaseException as exc:
            self.end_switch(session, exc)
            return False
        return True

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _wait(self, waiter: Waiter, deadline: float) -> Session:
        """Wait for a connection that comes back; on any other news go on as `_open` does."""
        self._join(waiter)
        left = deadline - waiter.since
        while waiter.plain and waiter.given is None and left > 0.0 and not waiter.signal.wait(min(left, UNSIGNALLED)):
            left = deadline - time.monotonic()
        session = waiter.given
        if session is not None or (session := self._general(waiter)) is not None:
            return self._served(waiter, session)
        return self._look_around(waiter, deadline, waiter.since, None)

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open(
        self,
        want: Want,
        deadline: float,
        avoid: str | None,
        arguments: Mapping[str, Any] | None = None,
        holder: Any = UNDERWAY,
    ) -> Session:
        waiter = Waiter(want, avoid, Gate(), arguments is not None, holder)
        try:
            self._enter_queue(waiter)
            return self._look_around(waiter, deadline, time.monotonic(), arguments)
        except BaseException:
            self._interrupted(waiter)
            raise

    def _look_around(
        self, waiter: Waiter, deadline: float, began: float, arguments: Mapping[str, Any] | None
    ) -> Session:
        """Get a connection by whatever way there is."""
        outcome = drive(open_(deadline, self._stagger()), lambda step: self._perform(step, waiter, arguments))
        return self._outcome(waiter, outcome, began)

    def _perform(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None) -> object:
        if isinstance(step, Await):
            return _next_event(waiter, step.seconds)
        return self._step(step, waiter, arguments)

    # -- what `BasePool` asks for --------------------------------------------------------------------------------------

    def _new_lock(self) -> threading.Lock:
        return threading.Lock()

    def _is_locked(self) -> bool:
        return self._lock.locked()

    def finish(self, timeout: float | None) -> None:
        """Give out nothing more, and wait for what is in use, for so many seconds at most; None: not at all."""
        self.refuse()
        deadline = time.monotonic() + (timeout or 0.0)
        while timeout and self.stats()["in_flight"] and time.monotonic() < deadline:
            time.sleep(LOOKS)

    def close(self) -> None:
        """As `shut`, and from anywhere: a signal handler may come in the middle of what holds the lock."""
        self.refuse()
        apart(self.shut)

    def _attempt(
        self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None, use: Use | None
    ) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            shelf.name,
            lambda attempt: connect(
                self.topology, self.driver, shelf.name, arguments, attempt.entered, use=use, told=attempt.told
            ),
            lambda attempt: self._dial_ended(attempt, shelf, waiter, bool(arguments), use),
            here=bool(arguments) and self.driver.own_thread(arguments or {}),
        )

    def _close_all(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            self.driver.close(session.raw)

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        drive(steps, lambda step: self._fill_step(step, waiter))

    def _drop(self, raw: Any) -> None:
        self.driver.close(raw)

    def _wake(self) -> None:
        monitor.wake()

    def wake_by(self, moment: float) -> None:
        """Let the monitor come round at ``moment`` at the latest."""
        monitor.wake_by(moment)

    def _ensure_monitor(self) -> None:
        monitor.ensure()

    def delete_tokens(self, node: str) -> None:
        """Delete the commit guard's acknowledged tokens on ``node``, in the background."""
        if self.topology.guard is not None:
            delete(self, self.topology.guard, node)

    def _forget(self) -> None:
        monitor.forget(self._upkeep)


UNSIGNALLED = 1.0
"""Seconds after which who waits looks by itself."""


def _next_event(waiter: Waiter, seconds: float) -> object:
    """Wait for what happens next to ``waiter``.

    The event is appended before the signal is set (`BasePool._act`) and the signal is cleared before the queue is
    looked at, so none is missed, but where a signal's handler raises in the thread that gives: so each wait is short.
    """
    deadline = time.monotonic() + seconds
    while True:
        waiter.signal.clear()
        if waiter.events:
            return waiter.events.popleft()
        if waiter.given is not None:
            return Served(waiter.given)
        left = deadline - time.monotonic()
        if left <= 0.0:
            return None
        waiter.signal.wait(min(left, UNSIGNALLED))
