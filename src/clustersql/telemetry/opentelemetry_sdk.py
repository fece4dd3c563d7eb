"""The histograms for OpenTelemetry: added to what an exporter of its SDK sends.

``pip install "clustersql[opentelemetry]" opentelemetry-sdk``.  An instrument of OpenTelemetry's would have to be told
of each statement, and the SDK's own bookkeeping takes more than ten microseconds each time; no instrument is asked for
a whole histogram.  So ours are counted by the cluster, and handed to the exporter as they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics import Histogram as Instrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as Points
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from .. import __version__
from ..cluster import Cluster
from ..registry import registered
from .families import Labels, Watching
from .histograms import HISTOGRAMS, Distribution, Histogram

__all__ = ["with_histograms"]

CUMULATIVE, DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA


def with_histograms(exporter: MetricExporter, clusters: Iterable[Cluster] | None = None) -> MetricExporter:
    """Return an exporter that sends what ``exporter`` does, and the histograms of the reference.

    Give it to the SDK's reader in place of ``exporter``: ``PeriodicExportingMetricReader(with_histograms(exporter))``.
    ``clusters``: which to show; None: all that are registered at the time of an export.  Durations are measured from
    the first export on.  What ``exporter`` prefers, cumulative or delta, is heeded.
    """
    return _Exporter(exporter, None if clusters is None else {each.name: each for each in clusters})


class _Exporter(MetricExporter):
    def __init__(self, exporter: MetricExporter, chosen: Mapping[str, Cluster] | None) -> None:
        # What the SDK's own readers ask of an exporter.
        preferred: Any = getattr(exporter, "_preferred_temporality", None)
        super().__init__(preferred, getattr(exporter, "_preferred_aggregation", None))
        self._exporter = exporter
        self._chosen = chosen
        self._temporality = (preferred or {}).get(Instrument, CUMULATIVE)
        self._watching = Watching()
        self._began = self._last = time.time_ns()
        self._sent: dict[tuple[str, tuple[tuple[str, str], ...]], Distribution] = {}

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export with the histograms, under the resource that is there."""
        if metrics_data.resource_metrics:
            first, *rest = metrics_data.resource_metrics
            ours = ScopeMetrics(InstrumentationScope("clustersql", __version__), self._metrics(), "")
            first = replace(first, scope_metrics=[*first.scope_metrics, ours])
            metrics_data = replace(metrics_data, resource_metrics=[first, *rest])
        return self._exporter.export(metrics_data, timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """As the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """As the exporter; durations are measured no more for this one."""
        self._watching.told({})
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _metrics(self) -> list[Metric]:
        told = self._watching.told(registered() if self._chosen is None else self._chosen)
        now = time.time_ns()
        began = self._last if self._temporality is DELTA else self._began
        metrics = [
            Metric(
                family.name,
                family.text,
                family.unit,
                Points(
                    [
                        _point(labels, self._since(family, labels, found), began, now)
                        for one in told
                        for labels, found in family.samples(one)
                    ],
                    self._temporality,
                ),
            )
            for family in HISTOGRAMS
        ]
        self._last = now
        return metrics

    def _since(self, family: Histogram, labels: Labels, found: Distribution) -> Distribution:
        """Return what is new since the last export, where that is asked for.  A cluster begun anew counts from 0."""
        if self._temporality is not DELTA:
            return found
        key = family.name, tuple(sorted(labels.items()))
        before, self._sent[key] = self._sent.get(key), found
        if before is None or sum(before.counts) > sum(found.counts):
            return found
        counts = [new - old for new, old in zip(found.counts, before.counts, strict=True)]
        return Distribution(found.bounds, counts, found.total - before.total)


def _point(labels: Labels, found: Distribution, began: int, now: int) -> HistogramDataPoint:
    """Neither the least nor the greatest is known, which the SDK too says by these infinities."""
    count = sum(found.counts)
    return HistogramDataPoint(
        labels, began, now, count, found.total, list(found.counts), list(found.bounds), math.inf, -math.inf
    )
