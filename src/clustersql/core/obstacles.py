"""What keeps a node out of work: one obstacle per axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .node import Mark, Node, Reach, Readiness, Role


@dataclass(frozen=True, slots=True)
class Obstacle:
    """``axis`` in words, the ``value`` it has there, since when (monotonic seconds), and why."""

    axis: str
    value: str
    since: float
    why: str


def obstacles(node: Node) -> tuple[Obstacle, ...]:
    """Return every reason for which ``node`` is given no work at all; empty: it serves what its role allows."""
    return tuple(
        Obstacle(axis, value, mark.since, mark.why)
        for axis, field, value in _against(node)
        if (mark := node.marks.get(field) or Mark(node.since, node.why))
    )


def _against(node: Node) -> Iterator[tuple[str, str, str]]:
    """Yield the axis, its field, and the value that is in the way."""
    if node.reach is not Reach.UP:
        yield "reachability", "reach", node.reach.value
    elif node.role is Role.UNKNOWN:
        yield "role", "role", node.role.value
    if node.readiness is not Readiness.READY:
        yield "readiness", "readiness", node.readiness.value
    if node.draining:
        yield "drain", "draining", "draining"
