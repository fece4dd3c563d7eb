"""Every metric that is exported: its name, kind, unit, meaning, and how it follows from what a cluster tells.

Names, kinds and units are those of OpenTelemetry's semantic conventions for database clients where these have one
(https://opentelemetry.io/docs/specs/semconv/database/database-metrics/), else begin with ``clustersql.``; each exporter
spells them as its system does.  Labels are bounded: clusters, nodes and a handful of words.  No password, no address of
a client and no text of an error or a statement is among them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..reports.values import NodeReport, Snapshot

GAUGE = "gauge"
COUNTER = "counter"

POOL = "db.client.connection.pool.name"
STATE = "db.client.connection.state"
CLUSTER = "cluster"
NODE = "node"

Labels = dict[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Told:
    """What one cluster tells at one moment."""

    snapshot: Snapshot
    """`Cluster.snapshot()`."""
    figures: Mapping[str, Any]
    """`Cluster.metrics()`."""
    events: Mapping[str, int]
    """How many events of each kind there were since somebody began to count."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    """With dots, as OpenTelemetry spells it."""
    kind: str
    """`GAUGE` or `COUNTER`."""
    unit: str
    """``s``, ``1``, or what is counted, in braces: the Unified Code for Units of Measure, as OpenTelemetry wants it."""
    text: str
    """What it means, in a sentence."""
    samples: Callable[[Told], Iterator[Sample]]
    """Yields for one cluster each combination of labels with its value."""
    together: Callable[[Iterable[float]], float] = sum
    """What several processes tell of the same labels, in one value."""


def _pool(figure: str, **labels: str) -> Callable[[Told], Iterator[Sample]]:
    def samples(told: Told) -> Iterator[Sample]:
        yield {POOL: told.snapshot.cluster, **labels}, told.figures["Pool"].get(figure, 0)

    return samples


def _connections(told: Told) -> Iterator[Sample]:
    for name, figures in told.figures["Nodes"].items():
        for state, figure in (("idle", "Idle"), ("used", "InFlight")):
            yield {POOL: told.snapshot.cluster, NODE: name, STATE: state}, figures.get(figure, 0)


def _of_cluster(value: Callable[[Told], float]) -> Callable[[Told], Iterator[Sample]]:
    def samples(told: Told) -> Iterator[Sample]:
        yield {CLUSTER: told.snapshot.cluster}, value(told)

    return samples


def _of_nodes(figure: str) -> Callable[[Told], Iterator[Sample]]:
    """A figure of each node; where it is not known there is no sample, for 0 would be a claim."""

    def samples(told: Told) -> Iterator[Sample]:
        for name, figures in told.figures["Nodes"].items():
            if (value := figures.get(figure)) is not None:
                yield {CLUSTER: told.snapshot.cluster, NODE: name}, float(value)

    return samples


def _word(label: str, word: Callable[[NodeReport], str]) -> Callable[[Told], Iterator[Sample]]:
    """A word of each node, as 1 beside the word that holds now."""

    def samples(told: Told) -> Iterator[Sample]:
        for node in told.snapshot.nodes:
            yield {CLUSTER: told.snapshot.cluster, NODE: node.name, label: word(node)}, 1.0

    return samples


def _knob(name: str) -> Callable[[Told], Iterator[Sample]]:
    def samples(told: Told) -> Iterator[Sample]:
        yield {POOL: told.snapshot.cluster}, told.snapshot.knobs[name]

    return samples


def _timeouts(told: Told) -> Iterator[Sample]:
    yield {POOL: told.snapshot.cluster}, told.events.get("timeout", 0)


def _serving(told: Told) -> Iterator[Sample]:
    for service in ("primary", "any", "replica"):
        count = sum(service in node.serves for node in told.snapshot.nodes)
        yield {CLUSTER: told.snapshot.cluster, "service": service}, count


def _crossing(told: Told) -> Iterator[Sample]:
    """Of a cluster that has a zone of its own: what the nodes of each zone served."""
    if own := told.figures["Zone"]:
        for name, figures in told.figures["Nodes"].items():
            zone = figures.get("Zone", "")
            labels = {CLUSTER: told.snapshot.cluster, NODE: name, "zone": zone, "crossing": _yes(zone != own)}
            yield labels, figures.get("Checkouts", 0)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _retries(told: Told) -> Iterator[Sample]:
    yield {CLUSTER: told.snapshot.cluster, "outcome": "run"}, told.figures["Retries"]
    yield {CLUSTER: told.snapshot.cluster, "outcome": "refused"}, told.figures["RetriesRefused"]


def _causal(told: Told) -> Iterator[Sample]:
    for how, count in sorted(told.figures["CausalReads"].items()):
        yield {CLUSTER: told.snapshot.cluster, "how": how}, count


def _active(told: Told) -> Iterator[Sample]:
    """Of the nodes of a cluster that has the commit guard."""
    if (guard := told.figures.get("CommitGuard")) is not None:
        for node in told.snapshot.nodes:
            yield {CLUSTER: told.snapshot.cluster, NODE: node.name}, float(node.name not in guard["inactive"])


def _commits(told: Told) -> Iterator[Sample]:
    for outcome, count in told.figures.get("CommitGuard", {}).items():
        if outcome != "inactive":
            yield {CLUSTER: told.snapshot.cluster, "outcome": outcome}, count


def _events(told: Told) -> Iterator[Sample]:
    for kind, count in sorted(told.events.items()):
        yield {CLUSTER: told.snapshot.cluster, "kind": kind}, count


def _held(told: Told) -> float:
    return max((holder.seconds for holder in told.snapshot.holders), default=0.0)


FAMILIES: tuple[Family, ...] = (
    Family("db.client.connection.count", GAUGE, "{connection}", "Open connections, by node and state.", _connections),
    Family("db.client.connection.max", GAUGE, "{connection}", "The most connections of the pool.", _pool("MaxSize")),
    Family(
        "db.client.connection.pending_requests",
        GAUGE,
        "{request}",
        "Callers who wait for a connection now.",
        _pool("Waiting"),
    ),
    Family(
        "db.client.connection.idle.max",
        GAUGE,
        "{connection}",
        "The most connections that may be idle.",
        _knob("max_size"),
    ),
    Family(
        "db.client.connection.idle.min",
        GAUGE,
        "{connection}",
        "How many connections are kept idle at least.",
        _knob("min_idle"),
    ),
    Family(
        "db.client.connection.timeouts",
        COUNTER,
        "{timeout}",
        "Checkouts that got no connection in time, since the exporter first looked.",
        _timeouts,
    ),
    Family("clustersql.waits", COUNTER, "{checkout}", "Checkouts that found no idle connection.", _pool("Waits")),
    Family(
        "clustersql.hung",
        COUNTER,
        "{statement}",
        "Statements that were woken because their node answered no probe either.",
        _pool("Hung"),
    ),
    Family(
        "clustersql.connection.held.longest",
        GAUGE,
        "s",
        "For how long the connection that is held longest has been in use.",
        _of_cluster(_held),
        max,
    ),
    Family("clustersql.retries", COUNTER, "{statement}", "Statements run again, and those refused it.", _retries),
    Family(
        "clustersql.retries.left",
        GAUGE,
        "{statement}",
        "How many retries the budget still allows.",
        _of_cluster(lambda told: told.snapshot.budget.left),
        min,
    ),
    Family(
        "clustersql.causal.reads",
        COUNTER,
        "{read}",
        "Causal reads, by how they were served, and refused bookmarks.",
        _causal,
    ),
    Family(
        "clustersql.commit_guard.active",
        GAUGE,
        "1",
        "1 where a node takes the commit guard's tokens, 0 where it has refused one.",
        _active,
        min,
    ),
    Family(
        "clustersql.commit_guard.commits",
        COUNTER,
        "{commit}",
        "COMMITs that were acknowledged with a token, and what became of those whose answer was lost.",
        _commits,
    ),
    Family("clustersql.serving", GAUGE, "{node}", "Nodes that may be given work now, by service.", _serving, min),
    Family("clustersql.events", COUNTER, "{event}", "Events, by kind, since the exporter first looked.", _events),
    Family(
        "clustersql.node.state",
        GAUGE,
        "1",
        "1 beside the node's state.",
        _word("state", lambda node: node.state),
        max,
    ),
    Family("clustersql.node.role", GAUGE, "1", "1 beside the node's role.", _word("role", lambda node: node.role), max),
    Family(
        "clustersql.node.readiness",
        GAUGE,
        "1",
        "1 beside the node's readiness.",
        _word("readiness", lambda node: node.readiness),
        max,
    ),
    Family("clustersql.node.draining", GAUGE, "1", "1 while the node is drained.", _of_nodes("Draining"), max),
    Family("clustersql.node.lag", GAUGE, "s", "By how much the node is behind, at most.", _of_nodes("Lag"), max),
    Family(
        "clustersql.node.response",
        GAUGE,
        "s",
        "The estimate of what a statement takes there; the latency policy compares it.",
        _of_nodes("Ewma"),
        max,
    ),
    Family("clustersql.node.dialling", GAUGE, "{connection}", "Dials under way.", _of_nodes("Dialling")),
    Family(
        "clustersql.node.checkouts", COUNTER, "{checkout}", "Checkouts that the node served.", _of_nodes("Checkouts")
    ),
    Family(
        "clustersql.zone.checkouts",
        COUNTER,
        "{checkout}",
        "Checkouts that a node served, by its zone, and whether they left the program's own.",
        _crossing,
    ),
    Family("clustersql.node.connections", COUNTER, "{connection}", "Connections opened.", _of_nodes("Connections")),
    Family("clustersql.node.errors", COUNTER, "{error}", "Errors of the node.", _of_nodes("Errors")),
    Family(
        "clustersql.node.recoveries",
        COUNTER,
        "{statement}",
        "Statements that had failed and went on there.",
        _of_nodes("Recoveries"),
    ),
)
"""In the order in which they are shown; the reference lists the same."""


class Watching:
    """Counts the events of clusters by kind, and has durations measured, from the moment when each was first shown;
    what is shown no more is forgotten.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._ends: dict[str, tuple[Any, tuple[Callable[[], None], ...]]] = {}
        # Two scrapes at once must not both begin to count: one of them would never be ended.
        self._lock = threading.Lock()

    def told(self, clusters: Mapping[str, Any]) -> list[Told]:
        """Return what ``clusters``, by their names, tell now; a cluster that took another's name is counted anew, as
        after a restart.
        """
        with self._lock:
            for name in [name for name, (cluster, _) in self._ends.items() if clusters.get(name) is not cluster]:
                del self._counts[name]
                for end in self._ends.pop(name)[1]:
                    end()
            for name in clusters.keys() - self._ends.keys():
                self._watch(name, clusters[name])
            counts = {name: dict(self._counts[name]) for name in clusters}
        return [Told(cluster.snapshot(), cluster.metrics(), counts[name]) for name, cluster in sorted(clusters.items())]

    def _watch(self, name: str, cluster: Any) -> None:
        counts = self._counts[name] = Counter()
        counting = cluster.on_event(lambda event: counts.update((event.kind,)))
        self._ends[name] = cluster, (counting, cluster.measure())
