"""The questions that the monitor puts to each node, for asyncio: see `prober.BaseProber`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

from ..config.patroni import Place
from ..core.steps import Ask, Connect, LetGo, Query, Step
from ..core.view.node import Report
from ..core.view.probe import Probe, probe
from ..drivers.contract import AsyncDriver
from ..nodes.dial import Order, is_answer, patience
from ..nodes.inquiry import Told
from ..nodes.prober import BaseProber, Heard
from ..nodes.topology import Topology
from .dial import Attempt, Background, ask, connect
from .drive import drive
from .patroni import ask_patroni


class Prober(BaseProber[Attempt]):
    """Probes every node of one cluster when it is due, each in a task.  Lives in one event loop."""

    driver: AsyncDriver

    def __init__(
        self, topology: Topology, driver: AsyncDriver, heard: Heard, background: Background, wake: Callable[[], None]
    ) -> None:
        super().__init__(topology, driver, heard)
        self._background = background
        self._wake_monitor = wake
        self._sayings: dict[str, list[Order]] = {}
        self._looking: set[asyncio.Task[Any]] = set()

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> Attempt:
        def ended(attempt: Attempt) -> None:
            if attempt.error is not None and kept is not None:  # here and not in the task, as in `_members_attempt`
                self.driver.terminate(kept)
            self._ended(attempt)

        # Inside the call it would be too long a line.
        work = lambda attempt: self._work(attempt, kept, fresh, question)  # noqa: E731
        return Attempt(self.topology, self.driver, self._background, name, work, ended, patience)

    async def _work(self, attempt: Attempt, kept: Any, fresh: bool, question: str) -> Probe:
        try:
            return await drive(probe(attempt.name, kept, fresh, question), lambda step: self._perform(step, attempt))
        finally:
            self._done(attempt.name)

    async def _perform(self, step: Step, attempt: Attempt) -> object:
        match step:
            case Ask(raw):
                attempt.asks(raw)
                return await ask(self.driver, raw)
            case Connect(name):
                answer = await connect(
                    self.topology, self.driver, name, in_full=True, entered=attempt.entered, told=attempt.told
                )
                self.topology.connected(name)
                return answer
            case Query(raw, statement):
                return await self._query(attempt, raw, statement)
            case LetGo(raw):
                return self._let_go(attempt, raw)
        raise AssertionError(step)

    async def _query(self, attempt: Attempt, raw: Any, statement: str) -> Any:
        attempt.asks(raw)
        try:
            return (await self.driver.ask(raw, (statement,)))[0]
        except BaseException:  # nobody else knows of the connection
            self.driver.terminate(raw)
            raise

    def _let_go(self, attempt: Attempt, raw: Any) -> bool:
        awaited = not attempt.settled
        if awaited:
            attempt.redial()
        self.driver.terminate(raw)
        return awaited

    def _members_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> Attempt:
        def ended(attempt: Attempt) -> None:
            if attempt.error is not None:  # here, not in the task: one that is cancelled before its first step has none
                self.driver.terminate(raw)
            self._inquiry.heard_out(name)
            self._inquiry.ended(attempt, report)

        # Inside the call it would be too long a line.
        work = lambda attempt: self._ask_members(attempt, raw, statements)  # noqa: E731
        allowed = patience(self.topology, dials=False)
        return Attempt(self.topology, self.driver, self._background, name, work, ended, allowed)

    async def _ask_members(self, attempt: Attempt, raw: Any, statements: Sequence[str]) -> Told:
        attempt.asks(raw)
        try:
            return Told(raw, await self.driver.ask(raw, statements))
        except Exception as exc:
            if not is_answer(self.driver, exc, raw):
                raise
            return Told(raw, refused=exc)

    def _look_up(self, name: str, host: str) -> None:
        async def look() -> None:
            found: Sequence[Any] = ()
            try:
                with contextlib.suppress(OSError, UnicodeError):  # a TimeoutError is an OSError
                    async with asyncio.timeout(self.topology.settings.connect_timeout):
                        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            finally:
                self._lookups.done(name, found)
                self._looking.discard(task)

        task = self._background.spawn(look(), f"lookup-{name}")
        self._looking.add(task)

    def _ask_patroni(self, places: Sequence[Place]) -> None:
        async def ask() -> None:
            place, told = None, None
            try:
                place, told = await ask_patroni(places, self.topology.settings.connect_timeout)
            finally:
                self._told(place, told)
                self._looking.discard(task)

        task = self._background.spawn(ask(), "patroni")
        self._looking.add(task)

    def say(self, name: str, order: Order) -> None:
        """Give ``name`` an order in the background, on the connection for probes; one connection per node for all of
        them.
        """
        waiting = self._sayings.setdefault(name, [])
        waiting.append(order)
        if len(waiting) == 1:
            self._background.spawn(self._say(name, waiting), f"say-{name}")

    async def _say(self, name: str, waiting: list[Order]) -> None:
        at, identity, new = name, self._kept.identity(name), None
        raw = self._kept.take(name)
        try:
            async with asyncio.timeout(self.topology.settings.connect_timeout):
                if raw is None:
                    answer = await connect(self.topology, self.driver, name)
                    raw, identity = answer.raw, answer.report.identity
                    at, new = self.topology.reached(name, answer.report), identity
                while waiting:
                    if waiting[0].is_for(identity):  # elsewhere, the number is a stranger's
                        await self._one(raw, waiting[0])
                    del waiting[0]
        except Exception:  # the statement's connection is dropped either way
            if raw is not None:
                self.driver.terminate(raw)
        except BaseException:  # the loop ends
            if raw is not None:
                self.driver.terminate(raw)
            raise
        else:
            self._kept.keep(at, raw, new, name)
        finally:
            waiting.clear()

    async def _one(self, raw: Any, order: Order) -> None:
        question = self.driver.dialect.uptime
        try:
            if question:
                uptime = (await self.driver.ask(raw, (question,)))[0]
                if order.is_anothers(uptime, await ask(self.driver, raw)):
                    return
            await self.driver.ask(raw, (order.statement,))
        except Exception as exc:  # MySQL: the session is gone already
            if not is_answer(self.driver, exc, raw):
                raise

    def _close(self, raw: Any) -> None:
        self._background.close(self.driver, raw)

    def _wake(self) -> None:
        self._wake_monitor()

    def end(self) -> list[Any]:
        """Ask no more.  Returns the connections of the probes that are not under way; they are the caller's
        to close.
        """
        for attempt in (*self._asking.values(), *self._inquiry.under_way):
            attempt.cancel()
        for task in tuple(self._looking):
            task.cancel()
        return self._kept.end()
