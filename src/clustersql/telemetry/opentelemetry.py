"""The figures for OpenTelemetry, read by its SDK when it exports: observable instruments of a meter.  And what befalls
an operation, on the span of whoever runs it.

``pip install "clustersql[opentelemetry]"``.  Only the API is needed here; what collects and exports is the program's
choice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
from opentelemetry.trace import get_current_span

from ..cluster import Cluster
from ..registry import registered
from .families import COUNTER, FAMILIES, Family, Told, Watching

__all__ = ["annotate", "observe"]

TOGETHER = 1.0
"""Seconds within which the instruments of one export are read."""
BEFALLS = {"recovery", "timeout", "outcome"}
"""The kinds of events that happen to one operation, where its caller waits for it; the others are of a node, or of
several callers together.
"""


def observe(clusters: Iterable[Cluster] | None = None, meter: Meter | None = None) -> None:
    """Make an observable instrument of every family of the reference.

    ``clusters``: which to show; None: all that are registered at the time of an export.  ``meter``: where the
    instruments belong; None: the meter ``clustersql`` of the global provider.  Call it once per meter, after the
    provider is set.
    """
    where = get_meter("clustersql") if meter is None else meter
    chosen = None if clusters is None else {cluster.name: cluster for cluster in clusters}
    export = _Export(chosen)
    for family in FAMILIES:
        make = where.create_observable_counter if family.kind == COUNTER else where.create_observable_gauge
        make(family.name, [_callback(family, export)], unit=family.unit, description=family.text)


class _Export:
    """What all instruments of one export are read from: a snapshot for each would cost as many as there are, and they
    would not fit together.
    """

    def __init__(self, chosen: dict[str, Cluster] | None) -> None:
        self._chosen = chosen
        self._watching = Watching()
        self._told: list[Told] = []
        self._had: set[str] = set()
        self._at = float("-inf")
        self._lock = threading.Lock()

    def told(self, family: Family) -> list[Told]:
        """Return what the clusters tell.  A family that asks again begins the next export, and so does one that asks
        `TOGETHER` later, as of another reader.
        """
        with self._lock:
            now = time.monotonic()
            if family.name in self._had or now - self._at > TOGETHER:
                self._told = self._watching.told(registered() if self._chosen is None else self._chosen)
                self._had, self._at = set(), now
            self._had.add(family.name)
            return self._told


def _callback(family: Family, export: _Export) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observed(options: CallbackOptions) -> Iterator[Observation]:
        for told in export.told(family):
            for labels, value in family.samples(told):
                yield Observation(value, dict(labels))

    return observed


def annotate(clusters: Iterable[Cluster] | None = None) -> Callable[[], None]:
    """Add what befalls an operation to the span in which it runs, as a span event.

    The events are ``clustersql.recovery`` (a statement failed and went on), ``clustersql.timeout`` (no connection was
    to be had) and ``clustersql.outcome`` (a transaction was lost, or nobody can know), with the attributes
    ``clustersql.cluster``, ``clustersql.node`` ("" where there is none) and ``clustersql.text``.  ``clusters``: whose;
    None: all that are registered now.  Without a span that records nothing happens, and an operation that goes well
    costs nothing.  Returns the function that ends this.
    """
    chosen = list(registered().values() if clusters is None else clusters)
    ends = [each.on_event(_annotation(each.name)) for each in chosen]

    def end() -> None:
        for each in ends:
            each()

    return end


def _annotation(cluster: str) -> Callable[[Any], None]:
    def told(event: Any) -> None:
        span = get_current_span()
        if event.kind in BEFALLS and span.is_recording():
            what = {"clustersql.cluster": cluster, "clustersql.node": event.node, "clustersql.text": event.text}
            span.add_event(f"clustersql.{event.kind}", what)

    return told
