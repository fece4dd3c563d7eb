"""The zones of the nodes, beside the one that this program runs in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...config.checks import nearest
from ...core.view.node import Report
from ...core.view.zone import zone_of
from ...nodes.topology import Topology
from .result import ClusterResult

__all__ = ["zone_in", "zoned"]


def zone_in(topology: Topology, name: str, report: Report) -> str:
    """Return the zone of the server that a node's address has led to now; "": not known."""
    node = topology.view.by_name.get(name)
    zones = topology.settings.zone_map or {}
    return "" if node is None else zone_of(replace(node, server=report.server), zones)


def zoned(topology: Topology, result: ClusterResult) -> None:
    """Note what makes the own zone worth little: nobody is in it, one node is, or of some nodes it is not known."""
    own, nodes = topology.settings.zone, [node for node in result.nodes if node.authenticated]
    there = Counter(node.zone for node in nodes)
    if not own or not nodes:
        return
    if not there[own]:
        known = [zone for zone in there if zone]
        hint = f"; {nearest(own, known)}" if known else ""
        result.note("", f"zone: this program runs in {own}, where no node is{hint}: every read leaves the zone")
    elif there[own] == 1 and len(nodes) > 1:
        result.note("", f"zone: {own} has one node: while it does not serve, every read leaves the zone")
    if unknown := [node.name for node in nodes if not node.zone]:
        result.note("", f"zone: of {', '.join(unknown)} it is not known, so they count as far: give zone or zone_map")
