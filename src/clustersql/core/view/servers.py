"""An address is not a server: which node an answer is about, where one address leads to several servers.

A Kubernetes Service, HAProxy, a virtual IP, a name in DNS: which server a connection reaches is not ours to choose, and
nobody declares that there are several.  Each answer tells which server gave it (`Report.server`).

Rules
-----
1. A configured node stands for the server that its address has led to first, for as long as that is up.
2. Another server that answers there while it is up becomes a node of its own, *behind* the configured one: with a role,
   a readiness, a lag, an epoch and a generation of its own.
3. When the server that the node stands for is not up, the next new one takes its place, as at a failover, where the
   address leads to another server from then on.
4. A server that has not been up for ``forget_after`` seconds is forgotten; where it was that of the configured node,
   that one stands for another of them, if any is up.
5. A dial that reaches another server than the one meant says nothing about that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .node import Node, Origin, Reach

LISTED = (Origin.CONFIGURED, Origin.BEHIND)
"""The nodes that are there by the configuration; the others are there for as long as somebody reports them."""


def group(nodes: Sequence[Node], node: Node) -> tuple[Node, ...]:
    """Return the servers that are known at the address of ``node``, itself among them."""
    return tuple(one for one in nodes if one.address == node.address)


def is_alone(nodes: Sequence[Node], node: Node) -> bool:
    """Whether its address is not known to lead to another server too."""
    return not any(one.address == node.address for one in nodes if one is not node)


def reached(nodes: Sequence[Node], name: str, server: str, identity: str = "") -> str:
    """Return the name of the node that an answer is about: of ``server``, to a dial of the node ``name``.

    It may be a name that there is no node of yet.  ``identity``: as `Report.identity`; a server that listens at several
    addresses says each time that it is at the one that was dialled.
    """
    asked = next((node for node in nodes if node.name == name), None)
    if asked is None or not server or asked.origin not in LISTED:
        return name
    servers = group(nodes, asked)
    for node in servers:
        if node.server == server or (identity and node.identity == identity):
            return node.name
    head = next((node for node in servers if not node.behind), asked)
    return head.name if _may_be_replaced(head) else f"{head.name}/{server}"


def _may_be_replaced(head: Node) -> bool:
    return not head.server or head.reach is not Reach.UP


def met(nodes: Sequence[Node], asked: str, name: str, server: str, now: float) -> tuple[Node, ...]:
    """Return the nodes with one of that ``name``, whose ``server`` has answered to a dial of ``asked``."""
    if any(node.name == name for node in nodes):
        return tuple(nodes)
    first = next(node for node in nodes if node.name == asked)
    head = next(node for node in nodes if node.name == first.address)
    one = Node(
        name,
        head.order,
        since=now,
        why=f"the address of {head.name} leads to it too",
        draining=head.draining,
        ends_at=head.ends_at,
        origin=Origin.BEHIND,
        endpoint=head.endpoint,
        server=server,
        behind=head.name,
        weight=head.weight,
        priority=head.priority,
        zone=head.zone,
    )
    last = max(i for i, node in enumerate(nodes) if node.address == head.name)
    return (*nodes[: last + 1], one, *nodes[last + 1 :])


def remembered(nodes: Sequence[Node], address: str, now: float, forget_after: float) -> tuple[Node, ...]:
    """Return the nodes without the servers of ``address`` that are to be forgotten (rule 4)."""
    gone = {node.name for node in nodes if node.address == address and _is_forgotten(node, now, forget_after)}
    if not gone:
        return tuple(nodes)
    kept = [node for node in nodes if node.name not in gone or not node.behind]
    heir = next((node for node in kept if node.behind == address and node.reach is Reach.UP), None)
    if address not in gone or heir is None:
        return tuple(kept)
    head = next(node for node in kept if node.name == address)
    return tuple(_heir(head, heir) if node is head else node for node in kept if node is not heir)


def _is_forgotten(node: Node, now: float, forget_after: float) -> bool:
    mark = node.marks.get("reach")
    return node.reach is not Reach.UP and mark is not None and now - mark.since >= forget_after


def _heir(head: Node, heir: Node) -> Node:
    """The configured node stands for another server from now on: no connection to the old one may be used."""
    return replace(
        heir,
        name=head.name,
        order=head.order,
        origin=head.origin,
        endpoint=head.endpoint,
        behind="",
        peers=head.peers | heir.peers,
        generation=head.generation + 1,
        draining=head.draining,
        ends_at=head.ends_at,
    )
