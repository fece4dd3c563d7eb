"""The questions that the monitor puts to each node, for threads: see `prober.BaseProber`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Any

from ..core.view.node import Report
from ..core.view.observe import Answered
from ..drivers.contract import Driver
from ..nodes.prober import BaseProber, Heard
from ..nodes.topology import Topology
from . import monitor
from .dial import Attempt, ask, connect, in_background


class Prober(BaseProber[Attempt]):
    """Probes every node of one cluster when it is due, each in a short-lived thread.  Used by the monitor's thread."""

    driver: Driver

    def __init__(self, topology: Topology, driver: Driver, heard: Heard) -> None:
        super().__init__(topology, driver, heard)
        self._sayings: dict[str, list[str]] = {}

    def _new_lock(self) -> threading.Lock:
        return threading.Lock()

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            name,
            lambda attempt: self._work(attempt, kept, fresh, question),
            self._ended,
            patience,
            # a node that was frozen has come back to life
            lambda result: self.topology.tell(Answered(name, result[1])),
        )

    def _work(self, attempt: Attempt, kept: Any, fresh: bool, question: str) -> tuple[Any, Report, bool, Any]:
        try:
            raw, report, dialled = self._question(attempt, kept, fresh)
            if not question:
                return raw, report, dialled, None
            attempt.asks(raw)
            return raw, report, dialled, self.driver.ask(raw, (question,))[0]
        finally:
            self._done(attempt.name)

    def _question(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report, bool]:
        """Return the connection, what the node said on it, and whether it was dialled for that."""
        driver = self.driver
        if kept is not None:
            if not fresh:
                attempt.asks(kept)
                try:
                    return kept, ask(driver, kept), False
                except Exception:
                    attempt.let_go()
                    if attempt.settled:  # it hung, and was abandoned: a new dial would only hang as well
                        driver.close(kept)
                        raise
                    attempt.redial()
            driver.close(kept)
        raw, report = connect(self.topology, driver, attempt.name, hold=attempt.entered, in_full=True)
        self.topology.connected(attempt.name)
        return raw, report, True

    def _learn_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            name,
            lambda attempt: self._ask_members(attempt, raw, statements),
            lambda attempt: self._learned(attempt, report),
            self._patience(dials=False),
        )

    def _ask_members(self, attempt: Attempt, raw: Any, statements: Sequence[str]) -> tuple[Any, Any]:
        attempt.asks(raw)
        try:
            return raw, self.driver.ask(raw, statements)
        except Exception as exc:
            if attempt.settled or self.driver.is_closed(raw):
                attempt.let_go()
                self.driver.close(raw)
                raise
            return raw, exc  # it was refused: the connection is as good as before
        finally:
            self._heard_out(attempt.name)

    def _look_up(self, name: str, host: str) -> None:
        """In a thread of its own: a lookup can hang for longer than a probe may take."""

        def look() -> None:
            found: Sequence[Any] = ()
            with contextlib.suppress(OSError, UnicodeError):
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            self._lookups.done(name, found)

        in_background(look, f"clustersql-lookup-{self.topology.name}-{name}")

    def say(self, name: str, statement: str) -> None:
        """Send ``statement`` to ``name`` in the background, on the connection for probes; one thread per node for all of them."""
        with self._lock:
            waiting = self._sayings.setdefault(name, [])
            waiting.append(statement)
            first = len(waiting) == 1
        if first:
            Attempt(self.topology, self.driver, name, lambda attempt: self._say(attempt, waiting), self._said).start()

    def _say(self, attempt: Attempt, waiting: list[str]) -> tuple[Any, None]:
        with self._lock:
            raw = self._kept.pop(attempt.name, None)
        if raw is None:
            raw, _ = connect(self.topology, self.driver, attempt.name, hold=attempt.hold)
        attempt.hold(raw)
        while True:
            with self._lock:
                if not waiting:
                    return raw, None
                statement = waiting.pop(0)
            try:
                self.driver.ask(raw, (statement,))
            except Exception:  # MySQL: the session is gone already
                if self.driver.is_closed(raw):
                    raise

    def _said(self, attempt: Attempt) -> None:
        with self._lock:
            self._sayings.pop(attempt.name, None)  # what came too late to be said is forgotten: nothing depends on it
        if attempt.error is None:
            self._keep(attempt.name, attempt.result[0])

    def _close(self, raw: Any) -> None:
        self.driver.close(raw)

    def _wake(self) -> None:
        monitor.wake()
