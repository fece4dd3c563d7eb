"""In which zone a node is: as the configuration says, or by a map from what its server says of itself.

Rules
-----
1. A map's entry for the server itself comes first: behind one address there may be servers of several zones.
2. Then the zone of the configured node; then a map's entry for where the node is reached, or for its name.
3. A network (``10.0.1.0/24``) stands for the addresses in it; a name or an address of its own comes before it, and of
   two networks the smaller one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .endpoint import HostPort, plain
from .node import Node


def zone_of(node: Node, zones: Mapping[str, str]) -> str:
    """Return the zone of ``node``; "": not known.  ``zones``: by host, ``host:port``, name or network."""
    if not zones:
        return node.zone
    server = node.server.partition("#")[0]
    by_server = _mapped(zones, (server, server.rpartition(":")[0]))
    return by_server or node.zone or _mapped(zones, (node.name, *_reached_at(node.endpoint)))


def _reached_at(endpoint: HostPort | None) -> tuple[str, ...]:
    return () if endpoint is None else (str(endpoint), endpoint.host)


def _mapped(zones: Mapping[str, str], told: tuple[str, ...]) -> str:
    names = [*told, *map(plain, told)]
    found = next((zones[name] for name in names if name in zones), "")
    return found or next((zones[key] for name in told for key in _networks(zones, name)), "")


def _networks(zones: Mapping[str, str], host: str) -> Iterator[str]:
    """Yield the keys that are networks with this address in them, the smallest network first."""
    keys = [key for key in zones if "/" in key]
    if not keys:
        return
    from ipaddress import ip_address, ip_network  # here, because few programs name networks

    try:
        address = ip_address(plain(host))
    except ValueError:
        return
    networks = [(ip_network(key, strict=False), key) for key in keys]
    yield from (key for network, key in sorted(networks, key=lambda one: -one[0].prefixlen) if address in network)
