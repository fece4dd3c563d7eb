"""The figures for OpenTelemetry, read by its SDK when it exports: observable instruments of a meter.

``pip install "clustersql[opentelemetry]"``.  Only the API is needed here; what collects and exports is the program's
choice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from ..cluster import Cluster
from ..registry import registered
from .families import COUNTER, FAMILIES, Family, Told, Watching

__all__ = ["observe"]

TOGETHER = 1.0
"""Seconds within which the instruments of one export are read."""


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
