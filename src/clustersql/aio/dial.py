"""Open one connection to one node, in a task of its own, with a deadline.

A dial outlives the caller who asked for it: the next node is dialled after the stagger, and who was cancelled must not
take a dial down that serves another by then.  A dial that is late is cancelled: its room is given back at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from ..config.address import Address
from ..core.booking.mode import greet
from ..core.view.node import Report, Role
from ..core.view.probe import Probe
from ..core.view.use import Use
from ..drivers.contract import AsyncDriver
from ..nodes.dial import (
    HOOK,
    Answer,
    Raised,
    Told,
    address_of,
    is_hooks,
    is_login_refused,
    is_refusal,
    late,
    means_of,
    more_time,
    recognized,
    target_of,
    told_at_connect,
)
from ..nodes.topology import Topology
from .login import ENDS, credentials_for
from .mode import make

PATIENCE = 1.0
"""Seconds that a polite close may take; then the connection is dropped without a word."""


class Background:
    """Tasks of one pool that nobody awaits.  The loop itself holds tasks weakly, and one could vanish in the middle."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it handles its own errors."""
        task = asyncio.get_running_loop().create_task(work, name=f"clustersql-{what}-{self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self, driver: AsyncDriver, raw: Any) -> None:
        """Close a connection of the driver in the background: politely, and when that takes too long or is cancelled,
        at once.
        """

        def gone(task: asyncio.Task[Any]) -> None:
            if task.cancelled():  # there is no time for a goodbye; a task that had not begun yet has not even tried
                driver.terminate(raw)

        self.spawn(_close(driver, raw), "close").add_done_callback(gone)

    async def ended(self) -> None:
        """Wait until all have ended."""
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            await asyncio.wait(tasks)


async def _close(driver: AsyncDriver, raw: Any) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await driver.close(raw)
    except Exception:  # a goodbye that fails or is late: the connection is to go either way
        driver.terminate(raw)


async def connect(
    topology: Topology,
    driver: AsyncDriver,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    in_full: bool = False,
    entered: Callable[[], object] | None = None,
    use: Use | None = None,
    told: Told | None = None,
) -> Probe:
    """Dial ``name`` and ask it what it is.  Returns the driver's connection and the node's report.

    ``arguments`` are the caller's driver arguments and win over the node's, but for address and credentials.
    ``in_full``: ask everything, as a probe does.  ``entered`` is called when the login has succeeded.  ``use``: what
    its sessions are made with.  ``told`` is told where a function of the program's raises, its password function or
    ``on_connect``.  Raises what the driver raises, what those raise, and `ConfigError`.  Cancelled, it leaves nothing
    open.
    """
    while True:
        address = address_of(topology, name)
        try:
            answer = await _connected(topology, driver, name, address, arguments, in_full, entered, use, told)
        except Exception:
            # The node was given another address meanwhile: what the old one did is no news about the new one.
            if topology.is_at(name, address):
                raise
            if told is not None:
                told(None)
        else:
            if topology.is_at(name, address):
                return answer
            driver.terminate(answer.raw)


async def _connected(
    topology: Topology,
    driver: AsyncDriver,
    name: str,
    address: Address,
    arguments: Mapping[str, Any] | None,
    in_full: bool,
    entered: Callable[[], object] | None,
    use: Use | None,
    told: Told | None,
) -> Probe:
    """As `connect`, to the address that the node has at this moment: it may have another one when this returns."""
    given = await credentials_for(topology, address, False, told)
    target = target_of(topology, driver, name, arguments, given.address)
    try:
        raw = await driver.connect(target, topology.settings.connect_timeout)
    except Exception as exc:
        if given.credentials is None or not is_login_refused(driver, exc):
            raise
        given.settled(False)
        # At once, before any pause: the user or the password may have been changed a moment ago.
        other = await credentials_for(topology, address, True, told)
        if other.is_same(given):
            raise
        given = other
        target = target_of(topology, driver, name, arguments, given.address)
        raw = await driver.connect(target, topology.settings.connect_timeout)
    given.settled(True)
    if entered is not None:
        entered()
    try:
        report = await _asked(topology, driver, name, raw, in_full)
        try:
            await make(greet(means_of(topology, driver, use)), driver, raw)
        except BaseException as exc:
            if told is not None and not isinstance(exc, ENDS) and is_hooks(driver, raw, exc):
                told(Raised(HOOK, Probe(raw, report).news(name, driver.peer(raw))))
            raise
    except BaseException:  # nobody would know of it any more
        driver.terminate(raw)
        raise
    return Probe(raw, report, ends=given.ends)


async def _asked(topology: Topology, driver: AsyncDriver, name: str, raw: Any, in_full: bool) -> Report:
    """Ask a new connection what it has led to: as little as will do, unless ``in_full``."""
    pushed = None if in_full else told_at_connect(topology, driver, name, raw)
    if pushed is not None:
        who = driver.dialect.who(await driver.ask(raw, driver.dialect.ask_who))
        if (known := recognized(topology, name, pushed, who)) is not None:
            return known
    return await ask(driver, raw)


async def ask(driver: AsyncDriver, raw: Any) -> Report:
    """Ask the node behind ``raw`` for its role and readiness, with the dialect's probe."""
    dialect, asked = driver.dialect, time.monotonic()
    if not dialect.probe:
        return Report(Role.PRIMARY)
    report = replace(dialect.report(await driver.ask(raw, dialect.probe)), asked=asked)
    if not (further := dialect.ask_further(report)):
        return report
    try:
        answers = await driver.ask(raw, further)
    except Exception as exc:
        if not is_refusal(driver, exc, raw):
            raise
        return report  # the node is believed as far as it has told
    return dialect.further(report, answers)


class Attempt:
    """One dial or probe that runs in a task, and may be abandoned.

    Whatever ends it, its answer, its error, `abandon` or the end of the loop, ``ended`` is called once, so that its
    room is given back.
    """

    def __init__(
        self,
        topology: Topology,
        driver: AsyncDriver,
        background: Background,
        name: str,
        work: Callable[[Attempt], Awaitable[Answer]],
        ended: Callable[[Attempt], None],
        patience: float | None = None,
    ) -> None:
        """``patience``: seconds until it is late, by default ``connect_timeout``."""
        self.name = name
        self.began = time.monotonic()
        self.patience = topology.settings.connect_timeout if patience is None else patience
        self.deadline = self.began + self.patience
        self.seconds = 0.0
        self.result: Any = None
        self.error: BaseException | None = None
        self.let_in = self.late = False
        self.raised: Raised | None = None
        self._driver = driver
        self._connect_timeout = topology.settings.connect_timeout
        self._background = background
        self._work = work
        self._ended = ended
        self._raw: Any = None
        self._received: int | None = None
        self._settled = False
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Begin in a task of its own."""
        self._task = self._background.spawn(self._run(), f"dial-{self.name}")

    def asks(self, raw: Any) -> None:
        """A question is put on ``raw`` now.  Its time runs from here: until now it was this process that had to come to
        it.
        """
        self._raw, self._received = raw, self._driver.received(raw)
        self.deadline = max(self.deadline, time.monotonic() + self.patience)

    def heed(self, now: float, most: float) -> None:
        """Move the deadline where the node has sent something since it was asked, or since it was last heeded; see
        `more_time`.
        """
        raw = self._raw
        if raw is not None and not self._settled and self._driver.has_answered(raw, self._received):
            self._received = self._driver.received(raw)
            self.deadline = more_time(self, now, most)

    def entered(self) -> None:
        """The login has succeeded."""
        self.let_in = True

    def told(self, raised: Raised | None) -> None:
        """It is in this function of the program's, or that has raised; None: it is in none any more."""
        self.raised = raised

    def redial(self) -> None:
        """The open connection that it asked is gone, so it dials: that may take longer than one small answer."""
        self._raw = None
        self.patience = self._connect_timeout
        self.deadline = time.monotonic() + self.patience

    @property
    def settled(self) -> bool:
        """Whether it has ended, or was abandoned."""
        return self._settled

    @property
    def held(self) -> Any:
        """Nothing: an event loop is not carried over into a forked child."""
        return None

    def abandon(self) -> None:
        """Stop waiting for it: the node did not answer within its deadline."""
        self.late = not self._settled
        if self._task is not None:
            self._task.cancel()  # what it has opened is closed as it unwinds
        self._settle(None, late(self))

    def cancel(self) -> None:
        """Nobody wants it any more, which says nothing about the node."""
        if self._task is not None:
            self._task.cancel()
        self.raised = None
        self._settle(None, asyncio.CancelledError())

    async def _run(self) -> None:
        try:
            result = await self._work(self)
        except Exception as exc:
            self._settle(None, exc)
        except BaseException as exc:  # `abandon` or `cancel` was faster, or somebody cancels every task
            self._settle(None, exc)
            if isinstance(exc, ENDS):
                raise
        else:
            # False: the cancellation was lost on the way (asyncio.wait_for drops one that comes with the answer).
            if not self._settle(result, None):
                self._driver.terminate(result.raw)
        finally:
            self._raw = None
            # a cycle by way of its error: what psycopg had half opened would stay until the collector comes by
            self._task = None

    def _settle(self, result: Any, error: BaseException | None) -> bool:
        """Say how it ended; False: that was said already."""
        if self._settled:
            return False
        self._settled = True
        self.result, self.error = result, error
        self.seconds = time.monotonic() - self.began
        self._ended(self)
        return True
