"""What keeps a node out of work: one obstacle per axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

from .epoch import unproven
from .freshness import MaxLag
from .node import AXES, Mark, Node, Reach, Readiness, Role
from .view import View, Want


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a node out of work."""

    axis: str
    """On which axis, in words."""
    value: str
    """What the node has there."""
    since: float
    """Since when, in monotonic seconds."""
    why: str
    """What brought it there, in words."""


def obstacles(view: View, node: Node, max_lag: MaxLag | None, now: float) -> tuple[Obstacle, ...]:
    """Return every reason for which ``node`` is given no work at all; empty: it serves what its role allows.

    ``max_lag``: what the whole cluster asks for.
    """
    marks = {axis: Mark(node.since, node.why) for axis in AXES} | dict(node.marks)
    found = [Obstacle(axis, value, *astuple(marks[field])) for axis, field, value in _against(node)]
    if node.usable and (why := behind(view, node, max_lag, now)):
        found.append(Obstacle("freshness", "behind", _since(view, node, max_lag), why))
    return tuple(found)


def behind(view: View, node: Node, max_lag: MaxLag | None, now: float) -> str:
    """Return in words how far ``node`` is behind; "" when that is within ``max_lag``."""
    if view.fresh(node, max_lag, now):
        return ""
    if switch := unproven(node, view.switches):
        why = f"it is not proven that it follows timeline {switch.number}, the new primary's"
        return f"{why}: that shows in pg_stat_wal_receiver (GRANT pg_monitor), or after its next restart point"
    lag = view.lag(node, now)
    ahead = view.track.ahead(node.position, now) if node.position is not None else None
    known = f"up to {lag:.1f} s" if lag is not None else "" if ahead is None else f"{ahead} bytes"
    if max_lag is not None and max_lag.size is not None and ahead is not None:
        known = f"{ahead} bytes"
    return (
        f"{known} behind, more than max_lag ({max_lag})" if known else f"its lag is not known, and max_lag is {max_lag}"
    )


def too_far_behind(view: View, want: Want, now: float) -> dict[str, str]:
    """Return the nodes that only their lag keeps from serving ``want``, and how far they are behind."""
    nodes = [view.by_name[name] for name in view.serving(replace(want, max_lag=None))]
    return {node.name: why for node in nodes if (why := behind(view, node, want.max_lag, now))}


def _since(view: View, node: Node, max_lag: MaxLag | None) -> float:
    """When the bound in seconds was passed; else since when the node is as it is."""
    reached = view.track.reached(node.position) if node.position is not None else None
    seconds = max_lag.seconds if max_lag is not None else None
    return node.since if reached is None or seconds is None else reached + seconds


def _against(node: Node) -> Iterator[tuple[str, str, str]]:
    """Yield the axis, its field, and the value that is in the way."""
    if node.reach is not Reach.UP:
        yield "reachability", "reach", node.reach.value
    elif node.role is Role.UNKNOWN:
        yield "role", "role", node.role.value
    if node.readiness is not Readiness.READY:
        yield "readiness", "readiness", node.readiness.value
    if node.outdated:
        yield "epoch", "outdated", "outdated"
    if node.draining:
        yield "drain", "draining", "draining"
