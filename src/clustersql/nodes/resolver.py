"""Host names that are looked up again while connections are open: a name that leads elsewhere is news before the
connections end.

* Names are resolved at every dial, by the driver; nothing is cached here.  But a pool may not dial for half an hour.
* What is looked up is compared with the addresses at the other ends of the connections
  (`core.view.observations.Resolved`).  A lookup that fails, or hangs, says nothing.
* Addresses, sockets and drivers' own connection strings are not looked up: there `max_lifetime` replaces each
  connection in the end.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from ..core.view.endpoint import plain
from ..core.view.observations import Resolved
from .topology import Topology

EVERY = 10
"""Probes between two lookups of a name: 10 s, which is less than most records of a failover by DNS live."""


class Lookups:
    """Which names are due, and what became of them, for one cluster."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._at: dict[str, float] = {}
        self._under_way: set[str] = set()

    def due(self, now: float) -> list[tuple[str, str]]:
        """Return the nodes and host names that are to be looked up now; for each of them `done` must be called."""
        every, found = EVERY * self._topology.settings.probe_interval, []
        for node in self._topology.view:
            if (
                node.endpoint is None
                or not node.peers
                or node.name in self._under_way
                or is_address(node.endpoint.host)
            ):
                continue
            if now - self._at.setdefault(node.name, now) >= every:
                self._at[node.name] = now
                self._under_way.add(node.name)
                found.append((node.name, node.endpoint.host))
        return found

    def forget(self, names: Iterable[str]) -> None:
        """These are no nodes any more."""
        for name in names:
            self._at.pop(name, None)

    def done(self, name: str, answer: Iterable[Any]) -> None:
        """A lookup has ended; ``answer`` is what ``getaddrinfo`` returned, or nothing after an error."""
        self._under_way.discard(name)
        if hosts := hosts_of(answer):
            self._topology.tell(Resolved(name, hosts))


def hosts_of(answer: Iterable[Any]) -> frozenset[str]:
    """Return the addresses in an answer of ``getaddrinfo``."""
    return frozenset(plain(str(entry[4][0])) for entry in answer)


def is_address(host: str) -> bool:
    """Tell whether ``host`` is an IP address, and no name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False
