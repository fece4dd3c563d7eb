"""Every histogram that is exported: its name, its meaning, and how it follows from what a cluster tells.

Names are those of OpenTelemetry's semantic conventions for database clients, and so are the bounds of the buckets
(`clustersql.core.booking.durations`).  The unit of each is the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .families import NODE, POOL, Labels, Told

SYSTEM = "db.system.name"


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many durations there were, by their size."""

    bounds: Sequence[float]
    """Upper bounds of the buckets, in seconds; the last bucket has none."""
    counts: Sequence[int]
    """How many there were in each bucket, one more than there are bounds."""
    total: float
    """Their sum, in seconds."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram."""

    name: str
    """With dots, as OpenTelemetry spells it."""
    text: str
    """What it means, in a sentence."""
    figure: str
    """Its name in `Cluster.metrics`, under ``Durations``."""
    unit: str = "s"
    """The second."""

    def samples(self, told: Told) -> Iterator[tuple[Labels, Distribution]]:
        """Yield for one cluster each node's histogram; none where durations are not measured."""
        durations: Mapping[str, Any] = told.figures.get("Durations", {})
        for name, found in durations.get(self.figure, {}).items():
            labels = {POOL: told.snapshot.cluster, NODE: name, SYSTEM: told.figures["Dialect"]}
            yield labels, Distribution(durations["Bounds"], found["Counts"], found["Sum"])


HISTOGRAMS: tuple[Histogram, ...] = (
    Histogram("db.client.operation.duration", "How long statements took that succeeded, by node.", "Operation"),
    Histogram("db.client.connection.create_time", "How long it took to open a connection.", "Create"),
    Histogram("db.client.connection.wait_time", "How long checkouts waited that found no idle connection.", "Wait"),
    Histogram("db.client.connection.use_time", "How long connections were in use, from checkout to return.", "Use"),
)
"""In the order in which they are shown; the reference lists the same."""
