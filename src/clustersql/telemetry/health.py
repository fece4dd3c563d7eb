"""What a load balancer or an orchestrator asks of a process: whether its clusters can serve what they are wanted for.

Everything here is read from the view: no question is put to a server, and the pool is not used.  A cluster that was not
used yet is opened, so that its nodes are probed from now on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..cluster import Cluster
from ..core.view.view import Service
from ..errors import ConfigError
from ..reports.values import NodeReport, Snapshot

READY_AFTER = 15.0
"""Seconds for which a cluster that was ready may be without a usable node before ``/readyz`` says so: longer than a
failover takes, which every pod of a service meets in the same moment, and none is helped by being taken out of it."""


def health(clusters: Mapping[str, Cluster]) -> tuple[bool, dict[str, Any]]:
    """Tell whether each cluster has a usable node for what it is wanted for, and per cluster which nodes those are.

    A cluster that was not used yet is opened by this, so that its nodes are probed from now on.
    """
    found = {name: _health(cluster) for name, cluster in sorted(clusters.items())}
    return all(each["healthy"] for each in found.values()), found


def _health(cluster: Cluster) -> dict[str, Any]:
    told = cluster.snapshot()
    service = Service(told.wanted)
    try:
        closed = _is_closed(cluster, told)
    except ConfigError as exc:
        return {"healthy": False, "wanted": service.value, "usable": [], "why": {"": str(exc)}}
    usable = [] if closed else list(cluster.view.candidates[service])
    why = {node.name: _why(node) for node in told.nodes if node.name not in usable}
    return {
        "healthy": bool(usable),
        "wanted": service.value,
        "usable": usable,
        "why": {"": "closed"} if closed else why,
    }


def _is_closed(cluster: Cluster, told: Snapshot) -> bool:
    """Whether the cluster serves nobody any more.  One without a driver for threads is probed by its event loops, once
    they use it.
    """
    if cluster.driver is None and told.pools:
        return all(pool.sizes["closed"] for pool in told.pools)
    return cluster.open().closed


def _why(node: NodeReport) -> str:
    return f"{node.state}, {node.role}, {node.readiness}" + (f": {node.why}" if node.why else "")


@dataclass(frozen=True, slots=True)
class Ready:
    """What is known of one cluster's readiness; a value, replaced at every question."""

    ever: bool = False
    """Whether it has been healthy since the server began to be asked."""
    ill_since: float | None = None
    """Since when it has not been, in monotonic seconds; None: it was at the last question."""

    def asked(self, healthy: bool, now: float) -> Ready:
        """Return what is known after it was found ``healthy`` or not at ``now``."""
        if healthy:
            return Ready(ever=True)
        return Ready(self.ever, now if self.ill_since is None else self.ill_since)

    def ready(self, now: float, ready_after: float) -> bool:
        """Tell whether it may be given requests: it is well, or has been and is ill for less than ``ready_after``
        seconds.

        A process that has never been ready is not: at its start there is nothing to be patient with.
        """
        return self.ill_since is None or (self.ever and now - self.ill_since < ready_after)


class Readiness:
    """The answers of ``/readyz`` of one server."""

    def __init__(self, ready_after: float) -> None:
        self._ready_after = ready_after
        self._known: dict[str, Ready] = {}
        self._lock = threading.Lock()

    def asked(self, clusters: Mapping[str, Cluster], now: float) -> tuple[bool, dict[str, Any]]:
        """Return whether every cluster may be given requests at ``now`` (monotonic seconds), and what `health` says of
        each.
        """
        _, found = health(clusters)
        with self._lock:  # two questions at once must not both begin the trouble
            known = {name: self._known.get(name, Ready()).asked(each["healthy"], now) for name, each in found.items()}
            self._known = known
        for name, each in found.items():
            each["ready"] = known[name].ready(now, self._ready_after)
        return all(each["ready"] for each in found.values()), found
