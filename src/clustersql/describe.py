"""What each node may serve now, and what keeps it out of work: ready for JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .core.node import Node
from .core.obstacles import Obstacle, obstacles
from .metrics import moment

if TYPE_CHECKING:
    from .topology import Topology


def described(topology: Topology) -> dict[str, Any]:
    """Return the nodes in the configured order; times of day are ISO 8601 in UTC."""
    return {"cluster": topology.name, "nodes": [_node(topology, node) for node in topology.view]}


def _node(topology: Topology, node: Node) -> dict[str, Any]:
    view = topology.view
    return {
        "name": node.name,
        "state": node.reach.value,
        "role": node.role.value,
        "readiness": node.readiness.value,
        "serves": [service.value for service in view.candidates if node.name in view.candidates[service]],
        "kept_out": [_obstacle(topology, node.name, obstacle) for obstacle in obstacles(node)],
    }


def _obstacle(topology: Topology, name: str, obstacle: Obstacle) -> dict[str, str]:
    since = moment(time.time() - (time.monotonic() - obstacle.since))
    return {
        "axis": obstacle.axis,
        "is": obstacle.value,
        "since": since,
        "why": topology.redacted(name, obstacle.why),
    }
