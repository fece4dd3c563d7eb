"""How long things take, as histograms: counted only while somebody asks (`Cluster.measure`).

Rules
-----
1. Off, the hot path does not know of it: a session's `ended` is a plain slot.  On, its sessions are `MeasuredSession`,
   whose `ended` is a property, so that each statement of either API and of every driver is counted in one place.
2. No lock.  Two threads may count in the same moment; nothing calls between the reading and the writing of a count, so
   CPython's own lock is held throughout.
3. What was no statement's is none here: a COMMIT, a mode that is set, a session that is made clean.  Nor what has
   failed: an instant error must not look fast.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from .shelf import Session, Shelf

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Upper bounds of the buckets, in seconds; one more bucket has no bound.  Those that OpenTelemetry's semantic
conventions advise for ``db.client.operation.duration``
(https://opentelemetry.io/docs/specs/semconv/database/database-metrics/)."""

KINDS = ("create", "wait", "use", "operation")
"""What is measured: a dial, the waiting of a checkout that found no idle connection, the time from a checkout to the
return, and a statement."""


class Histogram:
    """How many durations there were, by their size."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        at = bisect_left(BOUNDS, seconds)
        self.counts[at] += 1
        self.total += seconds


class NodeDurations:
    """The histograms of one node."""

    __slots__ = KINDS

    def __init__(self) -> None:
        self.create = Histogram()
        self.wait = Histogram()
        self.use = Histogram()
        self.operation = Histogram()


class Durations:
    """The histograms of one cluster, over all its pools."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeDurations] = {}

    def of(self, node: str) -> NodeDurations:
        """Return the histograms of a node."""
        return self._nodes.setdefault(node, NodeDurations())

    def told(self, nodes: Collection[str]) -> dict[str, dict[str, Histogram]]:
        """Return the histograms by kind and node, of ``nodes``; of the others they are forgotten."""
        for gone in self._nodes.keys() - set(nodes):
            self._nodes.pop(gone, None)
        known = dict(self._nodes)
        return {kind: {name: getattr(each, kind) for name, each in sorted(known.items())} for kind in KINDS}

    def clear(self) -> None:
        """Begin anew: in a forked child the counts are the parent's."""
        for each in tuple(self._nodes.values()):
            for kind in KINDS:
                getattr(each, kind).clear()


_ended: Callable[[Session], float] = Session.__dict__["ended"].__get__
_set_ended: Callable[[Session, float], None] = Session.__dict__["ended"].__set__


class MeasuredSession(Session):
    """A session whose statements are counted.  It adds no slot, so that one that is open becomes one, and back."""

    __slots__ = ()

    def _answered(self, now: float) -> None:
        before, started = _ended(self), self.started
        _set_ended(self, now)
        # Whoever awaits an answer that is no statement's puts back what was there before: that was counted already.
        if now > started > 0.0 and now > before and (durations := self.shelf.durations) is not None:
            durations.operation.add(now - started)

    # Read by the slot's own function, without a frame of Python's.
    ended = property(_ended, _answered)


def measure(shelf: Shelf, durations: Durations | None) -> None:
    """Count into ``durations`` from now on what happens with the node of ``shelf``; None: no more."""
    shelf.durations = None if durations is None else durations.of(shelf.name)
    for session in (*tuple(shelf.open), *tuple(shelf.outside)):
        session.__class__ = Session if durations is None else MeasuredSession
