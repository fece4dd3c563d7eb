"""Everything that is known of a cluster at one moment, gathered into a `Snapshot`.  Takes no lock, and waits for
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from ..core.view.discovery import node_at, reported
from ..core.view.freshness import max_lag
from ..core.view.members import Reported
from ..core.view.node import AXES, Epoch, Mark, Node, Origin
from ..core.view.obstacles import Obstacle, obstacles
from ..core.view.view import Service, View, Want
from .figures import lag, moment
from .values import (
    Axis,
    BudgetReport,
    DiscoveryReport,
    HolderReport,
    MemberReport,
    NodeReport,
    PoolReport,
    Snapshot,
    WaiterReport,
)

if TYPE_CHECKING:
    from ..nodes.topology import Topology

SERVED = (Service.WRITE, Service.READ, Service.REPLICA)
"""The services that a node has or has not; to prefer a replica is an order among those of any role."""
IN_WORDS = dict(zip(AXES, ("reachability", "role", "readiness", "drain", "epoch"), strict=True))


def snapshot(topology: Topology, pools: Sequence[tuple[str, dict[str, Any]]]) -> Snapshot:
    """Return what is known now.  ``pools``: for each its API, and what it tells (`BasePool.told`)."""
    view, budget, settings = topology.view, topology.budget, topology.settings
    return Snapshot(
        cluster=topology.name,
        at=moment(time.time()),
        wanted=_wanted(topology).value,
        epoch=_epoch(view.epoch),
        nodes=tuple(_node(topology, view, node) for node in view if node.origin is not Origin.REPORTED),
        pools=tuple(_pool(api, told) for api, told in pools),
        budget=BudgetReport(round(budget.left, 1), budget.spent, budget.refused),
        discovery=_discovery(topology, view),
        knobs={field.name: _shown(getattr(settings, field.name)) for field in fields(settings)},
    )


def _wanted(topology: Topology) -> Service:
    """Return the service without which the cluster is of no use."""
    if not topology.settings.read_only:
        return Service.WRITE
    return Service.REPLICA if topology.settings.read_role == Service.REPLICA.value else Service.READ


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return getattr(value, "__name__", type(value).__name__) if callable(value) else value


def _epoch(epoch: Epoch | None) -> str:
    return f"{epoch.name} {epoch.number}" if epoch is not None and epoch.number else ""


def _discovery(topology: Topology, view: View) -> DiscoveryReport | None:
    if (known := view.discovery) is None:
        return None
    members = list(reported(view))
    used = {one.key for one in members}
    return DiscoveryReport(
        tuple(_member(one, view) for one in members),
        tuple(key for key in known.address_map if key not in used),
        topology.complaints(),
    )


def _member(one: Reported, view: View) -> MemberReport:
    known, at = view.discovery, None if one.at is None else str(one.at)
    node = None if at is None or known is None else node_at(view.nodes, known, at, one.member.identity)
    name = node.name if node is not None and node.origin is not Origin.REPORTED else None
    return MemberReport(str(one.member), one.by, at, name)


def _node(topology: Topology, view: View, node: Node) -> NodeReport:
    now, bound, record = time.monotonic(), topology.settings.max_lag, topology.records.get(node.name)
    asked = None if bound is None else max_lag(bound)
    return NodeReport(
        name=node.name,
        discovered=node.origin is Origin.DISCOVERED,
        server=node.server,
        behind=node.behind,
        zone=view.zone(node),
        state=node.reach.value,
        role=node.role.value,
        readiness=node.readiness.value,
        serves=tuple(
            service.value for service in SERVED if node.name in view.serving(Want(service, max_lag=asked), now)
        ),
        axes=tuple(_axes(topology, node)),
        kept_out=tuple(_obstacle(topology, node.name, one) for one in obstacles(view, node, asked, now)),
        why=topology.redacted(node.name, node.why),
        lag=lag(topology, node),
        generation=node.generation,
        epoch=_epoch(node.epoch),
        version=node.version,
        peers=tuple(sorted(node.peers)),
        last_error="" if record is None else record.last_error_message,
    )


def _axes(topology: Topology, node: Node) -> Iterator[Axis]:
    values = {"draining": "draining" if node.draining else "no", "outdated": "outdated" if node.outdated else "newest"}
    for field in AXES:
        mark = node.marks.get(field) or Mark(node.since, "")
        value = values.get(field) or getattr(node, field).value
        yield _obstacle(topology, node.name, Obstacle(IN_WORDS[field], value, mark.since, mark.why))


def _obstacle(topology: Topology, name: str, obstacle: Obstacle) -> Axis:
    return Axis(obstacle.axis, obstacle.value, _day(obstacle.since), topology.redacted(name, obstacle.why))


def _day(monotonic: float) -> str:
    """Return a moment of the monotonic clock as a time of day."""
    return moment(time.time() - (time.monotonic() - monotonic))


def _pool(api: str, told: dict[str, Any]) -> PoolReport:
    sizes = {name: value for name, value in told.items() if name not in ("waiters", "holders")}
    return PoolReport(
        api,
        sizes,
        tuple(WaiterReport(**asdict(waiter)) for waiter in told["waiters"]),
        tuple(
            HolderReport(
                site=held.site,
                since=_day(held.since),
                seconds=held.seconds,
                thread=held.thread,
                task=held.task,
                node=held.node,
                doing=held.doing,
                executing=held.executing,
                statement=held.statement,
                outside=held.outside,
            )
            for held in told["holders"]
        ),
    )
