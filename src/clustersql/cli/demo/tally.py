"""What the workload saw: counted as it happens, read by the screen and the summary."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import NamedTuple

from ...testing.workload import Told
from .timeline import ERROR

__all__ = ["Fault", "Phase", "Sample", "Tally"]

KEPT = 10_000
"""Samples kept for the table; it shows the last seconds only."""


class Sample(NamedTuple):
    """One good operation.  Times in seconds of the monotonic clock."""

    ended: float
    """When it ended."""
    seconds: float
    """How long it took."""
    node: str
    """Where it was served."""
    kind: str
    """What it was: a read or a write."""


@dataclass(slots=True)
class Phase:
    """What happened in one phase; an operation belongs to the phase in which it ended."""

    name: str
    operations: int = 0
    slowest: Sample | None = None


@dataclass(slots=True)
class Fault:
    """What was done to a node, and how the workers came through it."""

    name: str
    """The node's name."""
    at: float
    """When it was killed or frozen."""
    gone: float = inf
    """When it was gone."""
    back: dict[int, tuple[float, str]] = field(default_factory=dict)
    """When each worker had its first good answer to what it asked after that, and where."""
    mended: float | None = None
    """When somebody had promoted another node; None: nobody had to."""

    def recovery(self, kind: str) -> float | None:
        """Seconds until the last worker of that kind had a good answer again."""
        ends = [ended for ended, which in self.back.values() if which == kind]
        return max(ends) - self.at if ends else None


class Tally(Told):
    """What the workload was told, and when.  Thread-safe."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers
        self.started = monotonic()
        self.recent: deque[Sample] = deque(maxlen=KEPT)
        self.phases: list[Phase] = [Phase("first operations")]
        self.faults: list[Fault] = []
        self.errors: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.counts: Counter[tuple[int, str, str]] = Counter()
        self.marks: list[tuple[float, str]] = []

    def phase(self, name: str) -> None:
        """Begin a phase."""
        with self.changed:
            self.phases.append(Phase(name))

    def fault(self, name: str) -> Fault:
        """Note that a fault is about to be done."""
        found = Fault(name, monotonic())
        with self.changed:
            self.faults.append(found)
        self.mark(name)
        return found

    def mark(self, text: str) -> None:
        """Note what was done to a node, for the picture."""
        with self.changed:
            self.marks.append((monotonic(), text))

    def done(self, fault: Fault) -> None:
        """Note that the node is gone: what ended well before proves nothing."""
        with self.changed:
            fault.gone = monotonic()

    def good(self, worker: int, kind: str, node: str, began: float, number: int | None = None) -> None:
        """Count an operation that ended well now; ``number``: the write's."""
        ended = monotonic()
        sample = Sample(ended, ended - began, node, kind)
        with self.changed:
            self.recent.append(sample)
            self.counts[int(ended - self.started), node, kind] += 1
            phase = self.phases[-1]
            phase.operations += 1
            if phase.slowest is None or phase.slowest.seconds < sample.seconds:
                phase.slowest = sample
            for fault in self.faults:
                if began >= fault.gone and worker not in fault.back:
                    fault.back[worker] = ended, kind
        super().good(worker, kind, node, began, number)

    def bad(self, error: Exception, kind: str, number: int | None = None) -> None:
        """Count an error that the program saw; ``number``: the write's."""
        name = type(error).__name__
        first = str(error).strip().partition("\n")[0]
        with self.changed:
            self.errors[name] += 1
            self.counts[int(monotonic() - self.started), "", ERROR] += 1
            self.examples.setdefault(name, f"{monotonic() - self.started:.1f} s, {kind}: {first}")
        super().bad(error, kind, number)

    def all_back(self, fault: Fault, seconds: float) -> bool:
        """Wait until every worker has had a good answer after ``fault``."""
        return self.wait(lambda: len(fault.back) == self.workers, seconds)

    def latest(self) -> list[Sample]:
        """Return a copy of the recent samples."""
        with self.changed:
            return list(self.recent)
