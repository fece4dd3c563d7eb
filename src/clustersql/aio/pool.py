"""The pool of a cluster for one event loop: the awaiting around `pool.BasePool`.

Rules
-----
* Everything here runs in the loop's thread, and what is between two awaits happens at once: so there is no lock.
* An idle connection is looked at, without a round trip, before it is handed out.
* A checkout goes by the published view: who has seen there that a node is out is not given it.
* A cancellation is thrown in at an await.  Giving a connection back has none, so that nothing can come between: what
  takes a round trip to close is closed by a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.booking.opening import GaveUp, open_
from ..core.booking.shelf import Session, Shelf, Waiter
from ..core.steps import Await, Step, Steps
from ..core.view.use import Use
from ..core.view.view import View, Want
from ..drivers.contract import AsyncDriver
from ..nodes.topology import Topology
from ..pool.base import LOOKS, BasePool
from ..pool.holders import NOBODY
from ..pool.outside import OutsideConnections
from ..pool.session import awaited
from ..pool.upkeep import Upkeep
from . import causal
from .dial import Attempt, Background, connect
from .drive import drive
from .gate import Deadlines, Gate
from .mode import make
from .monitor import monitor
from .prober import Prober
from .settle import delete


class Pool(BasePool[Attempt]):
    """Connections to every node of one cluster, handed out best node first.  For the tasks of one event loop."""

    def __init__(self, topology: Topology, driver: AsyncDriver) -> None:
        super().__init__(topology, driver)
        self.driver = driver
        self.loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self.loop)
        self.monitor = monitor()
        self._background = Background(topology.name)
        self._upkeep = Upkeep(self)
        self._prober: Prober = Prober(topology, driver, self._upkeep.heard, self._background, self._wake)
        self._begin(_relay(weakref.ref(self), threading.get_ident()))
        self.monitor.watch(self._upkeep, self.forsaken)

    # -- checkout and return -------------------------------------------------------------------------------------------

    async def checkout(self, want: Want, timeout: float, avoid: str | None = None) -> Session:
        """Return a connection for ``want`` in the wanted mode, within ``timeout`` seconds.

        ``avoid`` is a node that is taken only when no other serves.  Raises `NoNodeAvailable`, `PoolTimeout` or
        `PoolClosed`, each also an instance of the driver's ``OperationalError``.  Cancelled, it has taken nothing.
        """
        if want.causal is not None:
            return await causal.checkout(self, want, timeout, lambda plain, left: self.checkout(plain, left, avoid))
        began = now = time.monotonic()
        while True:
            view = self.topology.view
            # Just published by another thread (`Topology.tell`), whose call is on its way.
            if self._book.view is not view:
                self._adopt(view)
            session = self._book.take(want, now, avoid)
            lapsed = looked_at = False
            if session is None:
                waiter = self._book.plain(want, now) if avoid is None else None
                if waiter is not None:
                    self._book.line_up(waiter)
                    session = await self._wait(waiter, began + timeout)
                else:
                    session = await self._open(want, began + timeout, avoid)
                now, looked_at = time.monotonic(), session.looked_at
                lapsed = not session.is_current(now)  # it had its way to go since it was handed over
            if lapsed or now >= session.expires or (not looked_at and self._is_stale(session.raw)):
                self.give_back(session, keep=False)  # without blame: servers close idle connections for many reasons
                now = time.monotonic()
                continue
            if session.autocommit is want.autocommit and session.read_only is want.read_only:
                return session
            if await self._switch_mode(session, want):
                return session
            now = time.monotonic()

    async def open_outside(
        self, want: Want, timeout: float, arguments: Mapping[str, Any], avoid: str | None = None
    ) -> Session:
        """Return a connection that the pool does not keep, with the caller's own driver ``arguments``; raises as
        `checkout`.
        """
        if want.causal is not None:
            return await causal.checkout(
                self, want, timeout, lambda plain, left: self.open_outside(plain, left, arguments, avoid)
            )
        session = await self._open(want, time.monotonic() + timeout, avoid, arguments)
        self._outside.add(session)
        return session

    async def dial(self, register: OutsideConnections, want: Want, timeout: float, arguments: Mapping[str, Any]) -> Any:
        """Return a connection of the driver for a pool of somebody else's; see `Cluster.adial`."""
        session = await self.open_outside(want, timeout, arguments)
        if want.read_only:
            try:
                with awaited(session):
                    await make(self.switching(session, session.autocommit, True), self.driver, session.raw)
            except BaseException:  # nobody has it yet, so nobody would give it back
                self.give_back(session, keep=False)
                raise
        return self.hand_over(session, register, want)

    async def _switch_mode(self, session: Session, want: Want) -> bool:
        """Set what differs from the mode that the session was left in; False: it was lost while we did."""
        try:
            with awaited(session):
                await make(self.switching(session, want.autocommit, want.read_only), self.driver, session.raw)
        except BaseException as exc:
            self.end_switch(session, exc)
            return False
        return True

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _wait(self, waiter: Waiter, deadline: float) -> Session:
        """Wait for a connection that comes back; on any other news go on as `_open` does."""
        waiter.signal = gate = Gate(self.loop)
        try:
            self._join(waiter)
            self._deadlines.add(gate, deadline)
            await gate.future
            session = waiter.given
            if session is not None or (session := self._general(waiter)) is not None:
                return self._served(waiter, session)
            waiter.signal = event = asyncio.Event()
            if waiter.events:
                event.set()
            return await self._look_around(waiter, deadline, waiter.since, None)
        except BaseException:  # what it was given in the same moment is the next one's
            self._interrupted(waiter)
            raise

    # -- opening -------------------------------------------------------------------------------------------------------

    async def _open(
        self, want: Want, deadline: float, avoid: str | None, arguments: Mapping[str, Any] | None = None
    ) -> Session:
        waiter = Waiter(want, avoid, asyncio.Event(), arguments is not None)
        self._enter_queue(waiter)
        try:
            return await self._look_around(waiter, deadline, time.monotonic(), arguments)
        except BaseException:  # what is dialled or served for it meanwhile is the next one's
            self._interrupted(waiter)
            raise

    async def _look_around(
        self, waiter: Waiter, deadline: float, began: float, arguments: Mapping[str, Any] | None
    ) -> Session:
        """Get a connection by whatever way there is."""
        steps = open_(deadline, self._stagger())
        outcome: Any | GaveUp = await drive(steps, lambda step: self._perform(step, waiter, arguments))
        return self._outcome(waiter, outcome, began)

    async def _perform(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None) -> object:
        if isinstance(step, Await):
            return await _next_event(waiter, step.seconds)
        return self._step(step, waiter, arguments)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def finish(self, timeout: float | None) -> None:
        """Give out nothing more, and wait for what is in use, for so many seconds at most; None: not at all."""
        self.refuse()
        deadline = time.monotonic() + (timeout or 0.0)
        while timeout and self.stats()["in_flight"] and time.monotonic() < deadline:
            await asyncio.sleep(LOOKS)

    async def aclose(self) -> None:
        """Close idle connections and wait for it; the others are closed when they are given back; whoever waits gets
        `PoolClosed`.
        """
        actions = self._shut()
        idle, actions.close = actions.close, []
        self._act(actions)
        for attempt in tuple(self._attempts):
            attempt.cancel()
        for raw in [session.raw for session in idle] + self._prober.end():
            self._background.close(self.driver, raw)
        await self._background.ended()  # each is bounded in time
        # A transport that was dropped ends in the loop's next rounds, and the loop may be closed after this.
        for _ in range(3):
            await asyncio.sleep(0)

    def is_here(self) -> bool:
        """Whether this is the pool of the running event loop."""
        return self.loop is asyncio.get_running_loop()

    def forsaken(self) -> None:
        """The event loop has ended, or does, while this pool is open: say so, and drop every connection."""
        if self.closed:
            return
        sessions = [session for shelf in self._book.shelves.values() for session in (*shelf.open, *shelf.outside)]
        raws = [session.raw for session in sessions] + self._prober.end()
        for shelf in self._book.shelves.values():
            shelf.idle.clear()
        self._book.closed = True
        self.monitor.forget(self._upkeep)
        for raw in raws:
            self._drop(raw)
        warnings.warn(
            f"the event loop ended while the database of cluster {self.topology.name!r} was open: close it, or use"
            " `async with`",
            ResourceWarning,
            2,
            source=self,
        )

    def __del__(self) -> None:
        if hasattr(self, "_listener"):
            self.forsaken()

    def after_fork(self) -> Sequence[Any]:
        """In a forked child there is no event loop to go on in."""
        raws = super().after_fork()
        self._book.closed = True
        return raws

    # -- what `BasePool` asks for --------------------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _is_locked(self) -> bool:
        return True  # there is nothing to wait for

    def _callers(self) -> tuple[Mapping[int, str], Mapping[int, str]]:
        return NOBODY, {frame: task.get_name() for task in asyncio.all_tasks(self.loop) for frame in _frames(task)}

    def _attempt(
        self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None, use: Use | None
    ) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            self._background,
            shelf.name,
            lambda attempt: connect(
                self.topology,
                self.driver,
                shelf.name,
                arguments,
                entered=attempt.entered,
                use=use,
                told=attempt.told,
            ),
            lambda attempt: self._dial_ended(attempt, shelf, waiter, bool(arguments), use),
        )

    def _close_all(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            self._close_later(session)

    def _close_later(self, session: Session) -> None:
        # In the middle of an answer a polite goodbye would wait for it.
        if session.tainted or self.loop.is_closed():
            self._drop(session.raw)
        else:
            self._background.close(self.driver, session.raw)

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        with contextlib.suppress(StopIteration):
            step = next(steps)
            while True:
                step = steps.send(self._fill_step(step, waiter))

    def _drop(self, raw: Any) -> None:
        self.driver.terminate(raw)

    def _wake(self) -> None:
        self.monitor.wake()

    def wake_by(self, moment: float) -> None:
        """Let the monitor come round at ``moment`` at the latest."""
        self.monitor.wake_by(moment)

    def _ensure_monitor(self) -> None:
        self.monitor.ensure()

    def delete_tokens(self, node: str) -> None:
        """Delete the commit guard's acknowledged tokens on ``node``, in the background."""
        if self.topology.guard is not None:
            delete(self, self.topology.guard, node)

    def _forget(self) -> None:
        self.monitor.forget(self._upkeep)


def _relay(pool: weakref.ref[Pool], thread: int) -> Any:
    """Return a listener that hands a view on to ``pool`` in its own thread: the other API, or another loop, may have
    published it.

    It does not keep the pool alive, or a loop that was closed without a word would stay for as long as the cluster.
    """

    def adopt(view: View) -> None:
        alive = pool()
        if alive is None or alive.loop.is_closed():
            return
        if threading.get_ident() == thread:
            alive._adopt(view)
        else:
            with contextlib.suppress(RuntimeError):  # it was closed in between
                alive.loop.call_soon_threadsafe(alive._adopt, view)

    return adopt


def _frames(task: asyncio.Task[Any]) -> Iterator[int]:
    """Yield the numbers of the frames that a task is inside of, the outermost first."""
    coroutine: Any = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield id(frame)
        coroutine = coroutine.cr_await


async def _next_event(waiter: Waiter, seconds: float) -> object:
    """Wait for what happens next to ``waiter``: nothing can come between the look and the wait, for there is no await
    between them.
    """
    waiter.signal.clear()
    if not waiter.events:
        # Not `asyncio.timeout`: in a task that was cancelled before, as one that cleans up, the first releases of
        # Python 3.11 take its end for another cancellation.
        timer = asyncio.get_running_loop().call_later(seconds, waiter.signal.set)
        try:
            await waiter.signal.wait()
        finally:
            timer.cancel()
    return waiter.events.popleft() if waiter.events else None
