"""The figures for Prometheus, computed when it asks: a collector for `prometheus_client`'s registry.

``pip install "clustersql[prometheus]"``.  `clustersql.telemetry.http.serve` answers ``/metrics`` with the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    REGISTRY,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..cluster import Cluster
from ..registry import registered
from .families import COUNTER, FAMILIES, Family, Labels, Sample, Watching
from .histograms import HISTOGRAMS, Distribution, Histogram

__all__ = ["ClusterCollector", "exposition", "register"]

TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of `exposition`: the text format that every Prometheus reads."""


class ClusterCollector(Collector):
    """Yields every family of the reference for the clusters of a process, as they are at the scrape."""

    def __init__(self, clusters: Iterable[Cluster] | None = None) -> None:
        """``clusters``: which to show; None: all that are registered at the scrape."""
        self._chosen = None if clusters is None else {cluster.name: cluster for cluster in clusters}
        self._watching = Watching()

    def clusters(self) -> Mapping[str, Cluster]:
        """Return the clusters that are shown now."""
        return registered() if self._chosen is None else self._chosen

    def collect(self) -> Iterator[Metric]:
        """Yield the families, those without a sample too."""
        told = self._watching.told(self.clusters())
        for family in FAMILIES:
            yield metric(family, (each for one in told for each in family.samples(one)))
        for histogram in HISTOGRAMS:
            yield distribution(histogram, (each for one in told for each in histogram.samples(one)))

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples: a registry that is being filled must not ask the clusters."""
        yield from nothing()


def register(clusters: Iterable[Cluster] | None = None, registry: CollectorRegistry = REGISTRY) -> ClusterCollector:
    """Add the figures to ``registry``, and return the collector, for ``registry.unregister``.

    ``clusters``: which to show; None: all that are registered with `clustersql.register` or loaded from a file at the
    time of a scrape.  Raises ValueError when they are in that registry already.
    """
    collector = ClusterCollector(clusters)
    registry.register(collector)
    return collector


def exposition(collector: Collector) -> bytes:
    """Return the figures in Prometheus' text format, of media type `TYPE`."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def spelled(family: Family | Histogram) -> str:
    """Return the family's name as Prometheus spells it: underscores, and the unit where it is a base unit.

    The client library puts ``_total`` behind a counter's.
    """
    return family.name.replace(".", "_") + ("_seconds" if family.unit == "s" else "")


def nothing() -> Iterator[Metric]:
    """Yield every family without a sample."""
    for family in FAMILIES:
        yield metric(family, ())
    for histogram in HISTOGRAMS:
        yield distribution(histogram, ())


def metric(family: Family, samples: Iterable[Sample]) -> Metric:
    """Return a family with these samples."""
    made = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
    found: Metric = made(spelled(family), family.text)
    name = found.name + ("_total" if family.kind == COUNTER else "")
    for labels, value in samples:
        found.add_sample(name, _labels(labels), value)
    return found


def distribution(histogram: Histogram, samples: Iterable[tuple[Labels, Distribution]]) -> Metric:
    """Return a histogram with these samples."""
    made: Metric = HistogramMetricFamily(spelled(histogram), histogram.text)
    for labels, found in samples:
        for bound, count in zip((*map(str, found.bounds), "+Inf"), accumulate(found.counts), strict=True):
            made.add_sample(f"{made.name}_bucket", _labels(labels) | {"le": bound}, count)
        made.add_sample(f"{made.name}_count", _labels(labels), sum(found.counts))
        made.add_sample(f"{made.name}_sum", _labels(labels), found.total)
    return made


def _labels(labels: Labels) -> Labels:
    return {key.replace(".", "_"): label for key, label in labels.items()}
