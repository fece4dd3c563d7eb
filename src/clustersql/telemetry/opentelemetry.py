"""The figures for OpenTelemetry, read by its SDK when it exports: observable instruments of a meter.

``pip install "clustersql[opentelemetry]"``.  Only the API is needed here; what collects and exports is the program's
choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from ..cluster import Cluster
from ..registry import registered
from .families import COUNTER, FAMILIES, Family, Watching

__all__ = ["observe"]


def observe(clusters: Iterable[Cluster] | None = None, meter: Meter | None = None) -> None:
    """Make an observable instrument of every family of the reference.

    ``clusters``: which to show; None: all that are registered at the time of an export.  ``meter``: where the
    instruments belong; None: the meter ``clustersql`` of the global provider.  Call it once per meter, after the
    provider is set.
    """
    where = get_meter("clustersql") if meter is None else meter
    chosen = None if clusters is None else {cluster.name: cluster for cluster in clusters}
    watching = Watching()
    for family in FAMILIES:
        make = where.create_observable_counter if family.kind == COUNTER else where.create_observable_gauge
        make(family.name, [_callback(family, chosen, watching)], unit=family.unit, description=family.text)


def _callback(
    family: Family, chosen: dict[str, Cluster] | None, watching: Watching
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observed(options: CallbackOptions) -> Iterator[Observation]:
        for told in watching.told(registered() if chosen is None else chosen):
            for labels, value in family.samples(told):
                yield Observation(value, dict(labels))

    return observed
