"""What each node may serve now, and what keeps it out of work: ready for JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..core.view.discovery import node_at, reported
from ..core.view.freshness import max_lag
from ..core.view.members import Reported
from ..core.view.node import Node, Origin
from ..core.view.obstacles import Obstacle, obstacles
from ..core.view.view import View, Want
from .figures import lag, moment

if TYPE_CHECKING:
    from ..nodes.topology import Topology


def described(topology: Topology) -> dict[str, Any]:
    """Return the nodes in the configured order; times of day are ISO 8601 in UTC."""
    view = topology.view
    nodes = [_node(topology, node) for node in view if node.origin is not Origin.REPORTED]
    return {"cluster": topology.name, "nodes": nodes, "discovery": _discovery(topology, view)}


def _discovery(topology: Topology, view: View) -> dict[str, Any] | None:
    if (known := view.discovery) is None:
        return None
    members = list(reported(view))
    used = {one.key for one in members}
    return {
        "members": [_member(one, view) for one in members],
        "unused": [key for key in known.address_map if key not in used],
        "complaints": list(topology.complaints()),
    }


def _member(one: Reported, view: View) -> dict[str, str | None]:
    known, at = view.discovery, None if one.at is None else str(one.at)
    node = None if at is None or known is None else node_at(view.nodes, known, at, one.member.identity)
    name = node.name if node is not None and node.origin is not Origin.REPORTED else None
    return {"reported": str(one.member), "by": one.by, "address": at, "node": name}


def _node(topology: Topology, node: Node) -> dict[str, Any]:
    view, now, bound = topology.view, time.monotonic(), topology.settings.max_lag
    asked = None if bound is None else max_lag(bound)
    found = obstacles(view, node, asked, now)
    return {
        "name": node.name,
        "discovered": node.origin is Origin.DISCOVERED,
        "state": node.reach.value,
        "role": node.role.value,
        "readiness": node.readiness.value,
        "serves": [
            service.value for service in view.candidates if node.name in view.serving(Want(service, max_lag=asked), now)
        ],
        "kept_out": [_obstacle(topology, node.name, obstacle) for obstacle in found],
        "lag": lag(topology, node),
    }


def _obstacle(topology: Topology, name: str, obstacle: Obstacle) -> dict[str, str]:
    since = moment(time.time() - (time.monotonic() - obstacle.since))
    return {
        "axis": obstacle.axis,
        "is": obstacle.value,
        "since": since,
        "why": topology.redacted(name, obstacle.why),
    }
