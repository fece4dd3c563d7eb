"""The questions that the monitor puts to each node, for threads: see `prober.BaseProber`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Any

from ..config.patroni import Place
from ..core.steps import Ask, Connect, LetGo, Query, Step
from ..core.view.node import Report
from ..core.view.observations import Answered
from ..core.view.probe import Probe, probe
from ..drivers.contract import Driver
from ..nodes.dial import Order, is_answer, patience
from ..nodes.inquiry import Told
from ..nodes.prober import BaseProber, Heard
from ..nodes.topology import Topology
from . import monitor
from .background import in_background
from .dial import Attempt, ask, connect
from .drive import drive
from .patroni import ask_patroni


class Prober(BaseProber[Attempt]):
    """Probes every node of one cluster when it is due, each in a short-lived thread.  Used by the monitor's thread."""

    driver: Driver

    def __init__(self, topology: Topology, driver: Driver, heard: Heard) -> None:
        super().__init__(topology, driver, heard)
        self._sayings: dict[str, list[Order]] = {}

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
            lambda answer: self.topology.tell(Answered(name, answer.report)),
        )

    def _work(self, attempt: Attempt, kept: Any, fresh: bool, question: str) -> Probe:
        try:
            return drive(probe(attempt.name, kept, fresh, question), lambda step: self._perform(step, attempt))
        finally:
            self._done(attempt.name)

    def _perform(self, step: Step, attempt: Attempt) -> object:
        match step:
            case Ask(raw):
                attempt.asks(raw)
                return ask(self.driver, raw)
            case Connect(name):
                answer = connect(
                    self.topology, self.driver, name, hold=attempt.entered, in_full=True, told=attempt.told
                )
                self.topology.connected(name)
                return answer
            case Query(raw, statement):
                return self._query(attempt, raw, statement)
            case LetGo(raw):
                return self._let_go(attempt, raw)
        raise AssertionError(step)

    def _query(self, attempt: Attempt, raw: Any, statement: str) -> Any:
        attempt.asks(raw)
        try:
            return self.driver.ask(raw, (statement,))[0]
        except BaseException:  # nobody else knows of the connection
            attempt.let_go()
            self.driver.close(raw)
            raise

    def _let_go(self, attempt: Attempt, raw: Any) -> bool:
        attempt.let_go()
        awaited = not attempt.settled
        if awaited:
            attempt.redial()  # before it is closed, which can take a while
        self.driver.close(raw)
        return awaited

    def _members_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            name,
            lambda attempt: self._ask_members(attempt, raw, statements),
            lambda attempt: self._inquiry.ended(attempt, report),
            patience(self.topology, dials=False),
        )

    def _ask_members(self, attempt: Attempt, raw: Any, statements: Sequence[str]) -> Told:
        attempt.asks(raw)
        try:
            return Told(raw, self.driver.ask(raw, statements))
        except Exception as exc:
            if attempt.settled or not is_answer(self.driver, exc, raw):
                attempt.let_go()
                self.driver.close(raw)
                raise
            return Told(raw, refused=exc)
        except BaseException:  # nobody else knows of the connection
            attempt.let_go()
            self.driver.close(raw)
            raise
        finally:
            self._inquiry.heard_out(attempt.name)

    def _look_up(self, name: str, host: str) -> None:
        """In a thread of its own: a lookup can hang for longer than a probe may take."""

        def look() -> None:
            found: Sequence[Any] = ()
            with contextlib.suppress(OSError, UnicodeError):
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            self._lookups.done(name, found)

        in_background(look, f"clustersql-lookup-{self.topology.name}-{name}")

    def _ask_patroni(self, places: Sequence[Place]) -> None:
        def ask() -> None:
            place, told = None, None
            try:
                place, told = ask_patroni(places, self.topology.settings.connect_timeout)
            finally:
                self._told(place, told)

        in_background(ask, f"clustersql-patroni-{self.topology.name}")

    def say(self, name: str, order: Order) -> None:
        """Give ``name`` an order in the background, on the connection for probes; one thread per node for
        all of them.
        """
        try:
            with self._lock:
                waiting = self._sayings.setdefault(name, [])
                first = not waiting
                waiting.append(order)
            if first:
                Attempt(
                    self.topology, self.driver, name, lambda attempt: self._say(attempt, waiting), self._said
                ).start()
        except BaseException:  # or the next order would wait for ever for the thread of this one
            with self._lock:
                self._sayings.pop(name, None)
            raise

    def _say(self, attempt: Attempt, waiting: list[Order]) -> Told:
        name, identity, new = attempt.name, self._kept.identity(attempt.name), None
        raw = self._kept.take(attempt.name)
        if raw is None:
            answer = connect(self.topology, self.driver, attempt.name, hold=attempt.hold)
            raw, identity = answer.raw, answer.report.identity
            name, new = self.topology.reached(name, answer.report), identity
        attempt.hold(raw)
        while True:
            with self._lock:
                if not waiting:
                    return Told(raw, name=name, identity=new)
                order = waiting.pop(0)
            if not order.is_for(identity):
                continue  # there, the number is a stranger's
            try:
                question = self.driver.dialect.uptime
                if question and order.is_anothers(self.driver.ask(raw, (question,))[0], ask(self.driver, raw)):
                    continue
                self.driver.ask(raw, (order.statement,))
            except BaseException as exc:
                if isinstance(exc, Exception) and is_answer(self.driver, exc, raw):
                    continue  # MySQL: the session is gone already
                attempt.let_go()
                self.driver.close(raw)
                raise

    def _said(self, attempt: Attempt) -> None:
        with self._lock:
            self._sayings.pop(attempt.name, None)  # what came too late to be said is forgotten: nothing depends on it
        if attempt.error is None:
            told: Told = attempt.result
            self._kept.keep(told.name, told.raw, told.identity, attempt.name)

    def _close(self, raw: Any) -> None:
        self.driver.close(raw)

    def _wake(self) -> None:
        monitor.wake()
