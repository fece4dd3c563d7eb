"""The members that a database reports, and names that lead to several addresses, as `check` finds them: at once,
without a monitor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from ...core.faults import Fault
from ...core.view.discovery import complaints, left_out, reported
from ...core.view.endpoint import plain
from ...core.view.node import Report
from ...core.view.observations import Answered, Unreachable
from ...core.view.patroni import pauses
from ...nodes.patroni import Patroni
from ...nodes.resolver import hosts_of, is_address
from ...nodes.topology import Topology
from ...sync.patroni import ask_patroni
from .result import ClusterResult, NodeResult
from .wire import Wire, gather

__all__ = ["discovered", "learn", "several_addresses"]

ROUNDS = 4
"""A standby of a standby is found in the second round; more rounds are for longer chains."""

Inspect = Callable[[Topology, dict[str, Wire], ClusterResult, float], list[NodeResult]]


def learn(topology: Topology, name: str, wire: Wire, report: Report) -> None:
    """Take in what a node said of itself, and of its members, where they are to be discovered."""
    if topology.settings.discover:
        topology.tell(Answered(name, report, peer=wire.peer()))
    if topology.settings.discover is True:
        topology.tell(wire.members(report))


def discovered(
    topology: Topology, wires: dict[str, Wire], result: ClusterResult, seconds: float, inspect: Inspect
) -> None:
    """Inspect the members that were reported, and those that they report, and add them to ``wires`` and ``result``."""
    if topology.settings.discover == "patroni":
        _ask_patroni(topology, seconds)
    for _ in range(ROUNDS):
        new = {name: Wire(topology, name, seconds) for name in tuple(topology.addresses) if name not in wires}
        if not new:
            break
        wires |= new
        aside = ClusterResult(result.name, result.driver)
        for node in inspect(topology, new, aside, seconds):
            if not node.authenticated:
                topology.tell(Unreachable(node.name, Fault.LOST, node.error))
            elif node.name in topology.nodes:
                node.discovered = True
                result.nodes.append(node)
        kept = {node.name for node in result.nodes}
        result.findings += [finding for finding in aside.findings if finding.node in kept]
        result.notes += [note for note in aside.notes if note.node in kept]
    left = set(topology.nodes)  # one that was found first under another name is one node
    result.nodes = sorted(
        (n for n in result.nodes if n.name in left), key=lambda n: (n.discovered, n.discovered and n.name)
    )
    _tell(topology, result)


def _ask_patroni(topology: Topology, seconds: float) -> None:
    places = Patroni(topology).due(0.0, starving=False)
    if places:
        topology.tell(ask_patroni(places, seconds)[1])


def _tell(topology: Topology, result: ClusterResult) -> None:
    view = topology.view
    members = list(reported(view))
    by: Mapping[str, str] = {str(one.at): f"{one.member}, by {one.by}" for one in members}
    for node in result.nodes:
        if node.discovered:
            result.note(node.name, f"discovered: reported as {by.get(node.name, 'another address')}")
    used = {one.key for one in members}
    for key in view.discovery.address_map if view.discovery is not None else ():
        if key not in used:
            result.note("", f"address_map: {key} matches nothing that is reported now")
    notes = (*left_out(view), *pauses(view))
    for text in notes:
        result.note("", f"discovery: {text}")
    for text in complaints(view):
        if text not in notes:
            result.find("", f"discovery: {topology.without_passwords(text)}")


def several_addresses(topology: Topology, name: str) -> list[str]:
    """Return the addresses of a node's name, when it has several of one kind (IPv4 or IPv6)."""
    node = topology.view.by_name.get(name)
    if node is None or node.endpoint is None or is_address(node.endpoint.host):
        return []
    host = node.endpoint.host
    [answer] = gather(
        [lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)], topology.settings.connect_timeout
    )
    hosts = sorted(map(plain, hosts_of(answer))) if not isinstance(answer, Exception) else []
    six = [address for address in hosts if ":" in address]
    return hosts if max(len(six), len(hosts) - len(six)) > 1 else []
