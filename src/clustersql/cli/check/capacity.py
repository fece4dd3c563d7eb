"""How many connections there may be: transactions at once, and the pools' sizes against the servers' limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from ...config.knobs import Knobs
from ...nodes.topology import Topology
from .node import first_line
from .result import ClusterResult, Crowd, NodeResult, PoolResult
from .wire import Wire, gather

__all__ = ["crowd", "pools"]

SPARE = 3
"""Connections that are left to others when transactions are opened up to the limit: an administrator must be able to
look."""
FIRST = 1000
"""The first number of the crowd's rows."""


def crowd(
    topology: Topology, node: NodeResult, table: str | None, most: int, seconds: float, cluster: ClusterResult
) -> Crowd:
    """Open transactions on one node, all at the same time, then commit them all.

    ``table``: a scratch table in which each inserts a row; None: each only reads.  ``most``: how many at most.
    """
    wanted = _wanted(node, most)
    wires = [Wire(topology, node.name, seconds) for _ in range(wanted)]
    began = time.perf_counter()
    try:
        begun = [partial(_begin, wire, table, i) for i, wire in enumerate(wires)]
        opened = gather(begun, 2 * seconds + 1)
        good = [wire for wire, outcome in zip(wires, opened, strict=True) if not isinstance(outcome, Exception)]
        ended = gather([wire.commit for wire in good], seconds + 1)
    finally:
        gather([wire.close for wire in wires], seconds + 1)
    errors = [outcome for outcome in [*opened, *ended] if isinstance(outcome, Exception)]
    error = first_line(topology, node.name, errors[0]) if errors else ""
    if errors:
        cluster.find(node.name, f"{len(errors)} of {wanted} transactions at once failed: {error}")
    return Crowd(node.name, wanted, wanted - len(errors), time.perf_counter() - began, error)


def _wanted(node: NodeResult, most: int) -> int:
    if node.max_connections is None:
        return most
    return max(1, min(most, node.max_connections - (node.used_connections or 0) - SPARE))


def _begin(wire: Wire, table: str | None, index: int) -> None:
    wire.open()
    number = FIRST + index
    wire.execute(f"INSERT INTO {table} (id, note) VALUES ({number}, 'crowd')" if table else "SELECT 1", keep=True)


def pools(
    settings: Knobs, nodes: Sequence[NodeResult], configured: int, processes: int, cluster: ClusterResult
) -> PoolResult:
    """Compare what the pools of ``processes`` may open on one node, while another is down, with the smallest limit.

    Work that one node does (writes to a primary, or to a single writer) may bring every connection there; work that is
    spread over all nodes is shared by those that are left.
    """
    writable = sum(node.role == "primary" for node in nodes)
    spread = settings.read_only or (settings.writer == "any" and writable > 1)
    per_process = -(-settings.max_size // max(1, configured - 1)) if spread else settings.max_size
    most = (per_process + 1) * processes  # and one connection for probes
    limits = [node.max_connections for node in nodes if node.max_connections is not None]
    room = min(limits) if limits else None
    fits = room is None or most <= room
    if not fits:
        cluster.find(
            "",
            f"{processes} processes with max_size {settings.max_size} may open {most} connections on one node while"
            f" another is down, and it has room for {room}: lower max_size, or raise the server's limit",
        )
    return PoolResult(settings.max_size, processes, most, room, fits)
