"""The questions that the monitor puts to each node of a cluster, on connections of its own.

A probe asks for the role and the readiness, never merely for a pulse.  One at a time per node, in a short-lived thread, so that a node that
hangs delays no other.  A node that is not up is dialled anew: an old connection that still answers says nothing about new ones.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from ..core.node import Report
from ..core.observe import probe_due
from ..core.procedures import probe
from ..core.steps import Ask, Step, Tell
from ..topology import Topology
from . import monitor
from .dial import Attempt, ask, connect, connect_facts, tell_answer
from .drive import drive

HUNG = 2
"""Probes of one node that may hang in a driver that knows no timeout; with so many, no further one is begun."""


class Prober:
    """Probes every node of one cluster when it is due.  Used by the monitor's thread; its probes report from threads of their own."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.ran = 0
        self._last: dict[str, float] = {}
        self._asking: dict[str, Attempt] = {}
        self._running: dict[str, int] = {}
        self._kept: dict[str, Any] = {}
        self._closed = False
        self._lock = threading.Lock()

    def tick(self, now: float, starving: bool, silent: Collection[str] = ()) -> float:
        """Begin the probes that are due and abandon those that are late.  Returns when the next thing is due (monotonic seconds).

        ``starving``: a caller waits for a role that no node has.  ``silent``: the nodes that owe an answer for longer than ``stall_after``.
        """
        settings, due = self.topology.settings, now + self.topology.settings.probe_interval
        self._drop_removed()
        for node in self.topology.view:
            attempt = self._asking.get(node.name)
            if attempt is not None:
                if attempt.deadline <= now:
                    attempt.abandon()
                due = min(due, max(attempt.deadline, now))
                continue
            last = self._last.get(
                node.name, float("-inf")
            )  # a node that was just added is asked at once: reads may use it then
            at = probe_due(node, now, last, settings.probe_interval, starving, settings.failover_probe)
            if node.name in silent and last < now - settings.stall_after:
                at = now
            if at <= now:
                self._begin(node.name, fresh=node.distrusted, now=now)
                at = now + settings.failover_probe
            due = min(due, at)
        return due

    def _drop_removed(self) -> None:
        for name in [name for name in self._kept if name not in self.topology.addresses]:
            with self._lock:
                raw = self._kept.pop(name, None)
            if raw is not None:
                self.topology.driver.close(raw)

    def _begin(self, name: str, fresh: bool, now: float) -> None:
        self._last[name] = now
        with self._lock:
            if self._closed or self._running.get(name, 0) >= HUNG:
                return
            self._running[name] = self._running.get(name, 0) + 1
            kept = self._kept.pop(name, None)
            attempt = self._asking[name] = Attempt(
                self.topology,
                name,
                lambda attempt: self._work(attempt, kept, fresh),
                self._ended,
                self._patience(dials=fresh or kept is None),
                lambda result: tell_answer(
                    self.topology, name, result[1]
                ),  # a node that was frozen has come back to life
            )
        self.ran += 1
        attempt.start()

    def _patience(self, dials: bool) -> float:
        """Seconds that a node may take: an open connection is asked one small question, so silence there says more than at a dial."""
        settings = self.topology.settings
        return settings.connect_timeout if dials else min(settings.connect_timeout, settings.stall_after)

    def _work(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report, bool]:
        try:
            return self._question(attempt, kept, fresh)
        finally:
            with self._lock:
                self._running[attempt.name] -= 1

    def _question(self, attempt: Attempt, kept: Any, fresh: bool) -> tuple[Any, Report, bool]:
        """Return the connection, what the node said on it, and whether it was dialled for that."""
        driver = self.topology.driver
        if kept is not None:
            if not fresh:
                attempt.hold(kept)
                try:
                    return kept, ask(self.topology, kept), False
                except Exception:
                    attempt.let_go()
                    if attempt.settled:  # it hung, and was abandoned: a new dial would only hang as well
                        driver.close(kept)
                        raise
            driver.close(kept)
        raw, report = connect(self.topology, attempt.name, hold=attempt.hold, in_full=True)
        self.topology.connected(attempt.name)
        return raw, report, True

    def _ended(self, attempt: Attempt) -> None:
        name, topology = attempt.name, self.topology
        dialled = attempt.error is not None or attempt.result[2]
        drive(probe(name, lambda exc: connect_facts(topology, exc), dialled), lambda step: self._perform(step, attempt))
        if attempt.error is None:
            self._keep(name, attempt.result[0])
        with self._lock:
            if self._asking.get(name) is attempt:
                del self._asking[name]
        monitor.wake()

    def _perform(self, step: Step, attempt: Attempt) -> Report | None:
        match step:
            case Ask():
                if attempt.error is not None:
                    self.topology.failed(attempt.name, attempt.error)
                    raise attempt.error
                report: Report = attempt.result[1]
                return report
            case Tell(seen):
                self.topology.tell(seen)
                return None
        raise AssertionError(step)

    def _keep(self, name: str, raw: Any) -> None:
        with self._lock:
            keep = not self._closed and name in self.topology.addresses
            old = self._kept.pop(name, None)
            if keep:
                self._kept[name] = raw
        for useless in (old, None if keep else raw):
            if useless is not None:
                self.topology.driver.close(useless)

    def close(self) -> None:
        """Close the connections for probes; one that is under way is closed when it ends."""
        with self._lock:
            self._closed = True
            kept = list(self._kept.values())
            self._kept.clear()
        for raw in kept:
            self.topology.driver.close(raw)

    def after_fork(self) -> list[Any]:
        """In a forked child: forget everything, and return the parent's connections."""
        raws = [*self._kept.values(), *(attempt.held for attempt in self._asking.values() if attempt.held is not None)]
        self._kept, self._asking, self._running = {}, {}, {}
        self._lock = threading.Lock()
        return raws
