"""A cluster's figures, ready for JSON: the ancestor's names, and ours."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..core.booking.durations import BOUNDS, Durations
from ..core.view.node import Node, Origin, Reach
from ..core.view.view import Service
from ..nodes.topology import Record

if TYPE_CHECKING:
    from ..nodes.topology import Topology


def measured(topology: Topology, pools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one cluster; the reference explains each name.  ``pools``: what each of its pools tells,
    `BasePool.stats`.

    Times of day are ISO 8601 in UTC, or "" for never; durations are in seconds.
    """
    stats, per_node = _together(pools)
    guarded = {} if topology.guard is None else {"CommitGuard": topology.guard.figures()}
    figures = {
        "FirstInstanciated": moment(topology.started),
        "Driver": topology.driver.name,
        "Dialect": topology.driver.dialect.name,
        "Policy": _policy(topology),
        "Retries": topology.budget.spent,
        "RetriesRefused": topology.budget.refused,
        "CausalReads": dict(topology.causal),
        "Panic": _panic(topology),
        "Zone": topology.settings.zone or "",
        "Zones": _zones(topology, per_node),
        "Pool": {_title(name): value for name, value in stats.items()},
        "Nodes": {name: _node(topology, name, per_node.get(name, {})) for name in sorted(topology.servers)},
    }
    return guarded | _durations(topology.durations, topology.records) | figures


def _durations(durations: Durations | None, nodes: Collection[str]) -> dict[str, Any]:
    """The histograms by what was measured and node; ``Counts`` are per bucket, not added up."""
    if durations is None:
        return {}
    told = {
        _title(kind): {name: {"Counts": list(each.counts), "Sum": each.total} for name, each in found.items()}
        for kind, found in durations.told(nodes).items()
    }
    return {"Durations": {"Bounds": list(BOUNDS), **told}}


def _zones(topology: Topology, per_node: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """Return how many checkouts the nodes of each zone have served, "" where it is not known; empty: no node has a
    zone.
    """
    view, served = topology.view, Counter[str]()
    for node in view:
        served[view.zone(node)] += per_node.get(node.name, {}).get("checkouts", 0)
    return dict(sorted(served.items())) if any(served) else {}


def _together(stats: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Add the figures of several pools up: that of the threads, and one for each event loop.  They are closed when all
    are.
    """
    nodes: dict[str, dict[str, Any]] = {}
    total: dict[str, Any] = {}
    for one in stats:
        for name, counts in one["nodes"].items():
            nodes[name] = _added(nodes.get(name), counts)
        total = _added(total, {key: value for key, value in one.items() if key != "nodes"})
    return total, nodes


def _added(total: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Sums; ``closed`` is true when it is everywhere, and the estimate is that of the pool that used the node most."""
    if not total:
        return dict(more)
    added = {key: total[key] + value for key, value in more.items()}
    if "closed" in more:
        added["closed"] = total["closed"] and more["closed"]
    if "ewma" in more:
        added["ewma"] = max(total, more, key=lambda counts: counts["checkouts"])["ewma"]
    return added


def _node(topology: Topology, name: str, counts: dict[str, Any]) -> dict[str, Any]:
    record, node = topology.records.get(name) or Record(), topology.view.by_name.get(name)  # it may have gone meanwhile
    figures: dict[str, Any] = {
        "Connections": record.connections,
        "Errors": record.errors,
        "LastSuccess": moment(record.last_success),
        "LastError": moment(record.last_error),
        "LastErrorMessage": record.last_error_message,
        "Recoveries": record.recovered,
    }
    if node is not None:
        figures |= {
            "Discovered": node.origin is Origin.DISCOVERED,
            "Server": node.server,
            "Behind": node.behind,
            "Zone": topology.view.zone(node),
            "State": node.reach.value,
            "Role": node.role.value,
            "Readiness": node.readiness.value,
            "Lag": lag(topology, node),
            "Draining": node.draining,
            "Generation": node.generation,
            "Since": moment(time.time() - (time.monotonic() - node.since)),
            "Why": node.why,
            "Version": node.version,
        }
    figures |= {_title(key): value for key, value in counts.items()}
    return figures


def lag(topology: Topology, node: Node) -> float | None:
    """Return by how many seconds ``node`` is behind, at most; None: not known, or this database cannot tell."""
    known = topology.view.lag(node, time.monotonic())
    usable = node.reach is Reach.UP and bool(topology.driver.dialect.measures_lag)
    return round(known, 3) if usable and known is not None else None


def _panic(topology: Topology) -> list[str]:
    """The services for which no node is usable now; none before anybody has asked."""
    view = topology.view
    if all(node.reach is Reach.UNKNOWN for node in view):
        return []
    wanted = {Service.READ, Service.WRITE} | ({Service.REPLICA} if topology.settings.read_role == "replica" else set())
    return sorted(s.value for s in wanted if not view.candidates[s])


def _policy(topology: Topology) -> str:
    chosen = topology.settings.policy
    return chosen if isinstance(chosen, str) else getattr(chosen, "__name__", type(chosen).__name__)


def _title(name: str) -> str:
    """``in_flight`` -> ``InFlight``."""
    return "".join(part.capitalize() for part in name.split("_"))


def moment(seconds: float) -> str:
    """Return a wall clock time in seconds since 1970 as ISO 8601 in UTC; "" for 0.0: never."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else ""
