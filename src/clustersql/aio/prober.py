"""The questions that the monitor puts to each node, for asyncio: see `prober.BaseProber`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

from ..core.view.node import Report
from ..drivers.contract import AsyncDriver
from ..nodes.prober import BaseProber, Heard
from ..nodes.topology import Topology
from .dial import Attempt, Background, ask, connect


class Prober(BaseProber[Attempt]):
    """Probes every node of one cluster when it is due, each in a task.  Lives in one event loop."""

    driver: AsyncDriver

    def __init__(
        self, topology: Topology, driver: AsyncDriver, heard: Heard, background: Background, wake: Callable[[], None]
    ) -> None:
        super().__init__(topology, driver, heard)
        self._background = background
        self._wake_monitor = wake
        self._sayings: dict[str, list[str]] = {}
        self._looking: set[asyncio.Task[Any]] = set()

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> Attempt:
        def ended(attempt: Attempt) -> None:
            if attempt.error is not None and kept is not None:  # here and not in the task, as in `_learn_attempt`
                self.driver.terminate(kept)
            self._ended(attempt)

        work = lambda attempt: self._work(attempt, kept, fresh, question)  # noqa: E731 - a line too long inside the call
        return Attempt(self.topology, self.driver, self._background, name, work, ended, patience)

    async def _work(self, attempt: Attempt, kept: Any, fresh: bool, question: str) -> tuple[Any, Report, bool, Any]:
        try:
            raw, report, dialled = await self._question(attempt, kept, fresh)
            if not question:
                return raw, report, dialled, None
            attempt.asks(raw)
            return raw, report, dialled, await self._rows(raw, question)
        finally:
            self._done(attempt.name)

    async def _question(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report, bool]:
        """Return the connection, what the node said on it, and whether it was dialled for that."""
        driver = self.driver
        if kept is not None:
            if not fresh:
                attempt.asks(kept)
                try:
                    return kept, await ask(driver, kept), False
                except Exception:  # it may be this connection only: a new one tells
                    attempt.redial()
            driver.terminate(kept)
        raw, report = await connect(self.topology, driver, attempt.name, in_full=True, entered=attempt.entered)
        self.topology.connected(attempt.name)
        return raw, report, True

    async def _rows(self, raw: Any, question: str) -> Any:
        try:
            return (await self.driver.ask(raw, (question,)))[0]
        except BaseException:  # nobody else knows of the connection
            self.driver.terminate(raw)
            raise

    def _learn_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> Attempt:
        def ended(attempt: Attempt) -> None:
            if (
                attempt.error is not None
            ):  # here and not in the task: one that is cancelled before its first step has none
                self.driver.terminate(raw)
            self._heard_out(name)
            self._learned(attempt, report)

        work = lambda attempt: self._ask_members(attempt, raw, statements)  # noqa: E731 - a line too long inside the call
        patience = self._patience(dials=False)
        return Attempt(self.topology, self.driver, self._background, name, work, ended, patience)

    async def _ask_members(self, attempt: Attempt, raw: Any, statements: Sequence[str]) -> tuple[Any, Any]:
        attempt.asks(raw)
        try:
            return raw, await self.driver.ask(raw, statements)
        except Exception as exc:
            if self.driver.is_closed(raw):
                raise
            return raw, exc  # it was refused: the connection is as good as before

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

    def say(self, name: str, statement: str) -> None:
        """Send ``statement`` to ``name`` in the background, on the connection for probes; one connection per node for all of them."""
        waiting = self._sayings.setdefault(name, [])
        waiting.append(statement)
        if len(waiting) == 1:
            self._background.spawn(self._say(name, waiting), f"say-{name}")

    async def _say(self, name: str, waiting: list[str]) -> None:
        raw = self._kept.pop(name, None)
        try:
            async with asyncio.timeout(self.topology.settings.connect_timeout):
                if raw is None:
                    raw, _ = await connect(self.topology, self.driver, name)
                while waiting:
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
            self._keep(name, raw)
        finally:
            waiting.clear()

    async def _one(self, raw: Any, statement: str) -> None:
        try:
            await self.driver.ask(raw, (statement,))
        except Exception:  # MySQL: the session is gone already
            if self.driver.is_closed(raw):
                raise

    def _close(self, raw: Any) -> None:
        self._background.close(self.driver, raw)

    def _wake(self) -> None:
        self._wake_monitor()

    def end(self) -> list[Any]:
        """Ask no more.  Returns the connections of the probes that are not under way; they are the caller's to close."""
        for attempt in (*self._asking.values(), *self._learning.values()):
            attempt.cancel()
        for task in tuple(self._looking):
            task.cancel()
        raws = list(self._kept.values())
        self._kept.clear()
        self._closed = True
        return raws
