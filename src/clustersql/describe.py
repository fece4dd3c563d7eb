"""What each node may serve now, and what keeps it out of work: ready for JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .core.freshness import max_lag
from .core.node import Node
from .core.obstacles import Obstacle, obstacles
from .core.view import Want
from .metrics import lag, moment

if TYPE_CHECKING:
    from .topology import Topology


def described(topology: Topology) -> dict[str, Any]:
    """Return the nodes in the configured order; times of day are ISO 8601 in UTC."""
    return {"cluster": topology.name, "nodes": [_node(topology, node) for node in topology.view]}


def _node(topology: Topology, node: Node) -> dict[str, Any]:
    view, now, bound = topology.view, time.monotonic(), topology.settings.max_lag
    asked = None if bound is None else max_lag(bound)
    found = obstacles(view, node, asked, now)
    return {
        "name": node.name,
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
