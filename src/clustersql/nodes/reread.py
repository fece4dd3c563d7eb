"""What a file says now of the nodes of a cluster that runs: which of them there are then, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config.address import Address
from ..config.reread import Changes
from ..core.view.node import Origin
from ..core.view.observations import Listed
from .topology import Addresses, Topology


def listing(topology: Topology, found: Changes, known: Mapping[str, Address]) -> Addresses | None:
    """Return what the cluster's nodes are now, where ``known`` were they; None: the same.

    A node that the program has taken out stays out, and one that it has added stays.
    """
    if not found.relisted:
        return None
    there = {name: each for name, each in found.addresses.items() if name in found.came or name in known}
    seen = Listed(
        tuple(topology.added(address) for address in there.values()),
        frozenset(name for name in found.gone if name in known),
        frozenset(found.moved),
        frozenset(found.altered),
    )
    return Addresses(there, seen)


def after(topology: Topology, found: Changes) -> list[Address]:
    """Return the addresses of the nodes that there will be."""
    known = {name: address for name, address in topology.addresses.items() if name not in found.gone}
    return list(
        (known | {name: a for name, a in found.addresses.items() if name in found.came or name in known}).values()
    )


def taken(topology: Topology, found: Changes) -> Iterator[str]:
    """Yield what is wrong with each node that is new in the file, and that the program has added by itself."""
    for name in found.came:
        node = topology.view.by_name.get(name)
        if name in topology.addresses and node is not None and node.origin is Origin.CONFIGURED:
            yield f"node {name!r}: the program has added one of that name: remove_node({name!r}) it first"
