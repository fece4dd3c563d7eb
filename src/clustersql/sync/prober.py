"""The questions that the monitor puts to each node, for threads: see `prober.BaseProber`."""

from __future__ import annotations

import threading
from typing import Any

from ..core.node import Report
from ..core.observe import Answered
from ..drivers.contract import Driver
from ..prober import BaseProber
from ..topology import Topology
from . import monitor
from .dial import Attempt, ask, connect


class Prober(BaseProber[Attempt]):
    """Probes every node of one cluster when it is due, each in a short-lived thread.  Used by the monitor's thread."""

    driver: Driver

    def __init__(self, topology: Topology, driver: Driver) -> None:
        super().__init__(topology, driver)

    def _new_lock(self) -> threading.Lock:
        return threading.Lock()

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float) -> Attempt:
        return Attempt(
            self.topology,
            self.driver,
            name,
            lambda attempt: self._work(attempt, kept, fresh),
            self._ended,
            patience,
            # a node that was frozen has come back to life
            lambda result: self.topology.tell(Answered(name, result[1])),
        )

    def _work(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report]:
        try:
            return self._question(attempt, kept, fresh)
        finally:
            self._done(attempt.name)

    def _question(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report]:
        driver = self.driver
        if kept is not None:
            if not fresh:
                attempt.hold(kept)
                try:
                    return kept, ask(driver, kept)
                except Exception:
                    attempt.let_go()
                    if attempt.settled:  # it hung, and was abandoned: a new dial would only hang as well
                        driver.close(kept)
                        raise
            driver.close(kept)
        raw, report = connect(self.topology, driver, attempt.name, hold=attempt.hold)
        self.topology.connected(attempt.name)
        return raw, report

    def _close(self, raw: Any) -> None:
        self.driver.close(raw)

    def _wake(self) -> None:
        monitor.wake()
