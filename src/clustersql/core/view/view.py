"""The cluster as one immutable value, and who may serve what.

Rules
-----
1. A `View` is never changed; `core.view.observe` makes the next one.  Whoever needs a consistent picture reads the
   reference once.
2. Work that may write goes to a primary.  With ``writer="single"`` that is the first usable primary in the configured
   order: the same in every process without talking, so all clients of a Galera cluster agree on one writer and
   certification conflicts stay rare.
3. Work declared read-only may go to every usable node; where a replica is preferred, the primary is asked only when
   none serves (`core.policies.plan`).
4. When every candidate for a role is out, those that still answer are tried all the same (panic), but never a known
   replica for a write, and never one of an older epoch.
5. A caller that sets a bound to the lag never gets a node that is further behind, or whose lag is not known; a primary
   is not behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .epoch import Switch, unproven
from .freshness import MaxLag, Track
from .members import Discovery
from .node import Epoch, Node, Reach, Readiness, Role
from .use import Use
from .zone import zone_of


class Service(Enum):
    """Which nodes can do the work."""

    WRITE = "primary"
    READ = "any"
    REPLICA = "replica"
    PREFER_REPLICA = "prefer-replica"


@dataclass(frozen=True, slots=True, eq=False)
class Want:
    """What a caller asks for.

    Compared by identity: it is the key of a lookup at every checkout, and hashing six fields there would cost as much
    as all the rest.
    """

    service: Service = Service.WRITE
    """Which nodes may serve it."""
    read_only: bool = False
    """The server shall refuse writes in this session."""
    autocommit: bool = False
    """Each statement is a transaction of its own."""
    node: str | None = None
    """The only node that may serve it; None: any."""
    move: bool = True
    """The work may go on in another session, on another node."""
    max_lag: MaxLag | None = None
    """How far behind a replica may be that serves it; None: as far as it likes."""
    use: Use | None = None
    """What its session is made with; None: nothing but what is the node's."""
    among: frozenset[str] | None = None
    """The only nodes that may serve it; None: any."""
    causal: Any = None
    """What whoever serves it must have seen, and who remembers that (`core.causal.after.Causal`); None: nothing."""

    @property
    def movable(self) -> bool:
        """Whether the work may go on elsewhere."""
        return self.move and self.node is None


@dataclass(frozen=True, slots=True)
class View:
    """All nodes, in the configured order, and the candidates per service, worked out once."""

    nodes: tuple[Node, ...] = ()
    """What is known of each."""
    writer: str = "single"
    """Whether one primary is the right one ("single"), or there may be several ("any")."""
    version: int = 0
    """Raised by every change that a caller may act on: not by a measurement, nor when a node that is down fails
    again."""
    track: Track = field(default_factory=Track)
    """Where the log of the primary was, and when."""
    epoch: Epoch | None = None
    """The newest one that was seen."""
    switches: tuple[Switch, ...] = ()
    """The changes of the primary that are remembered."""
    discovery: Discovery | None = None
    """What is known of the members; None: nobody asks."""
    forget_after: float = 60.0
    """Seconds after which a server that is not up is forgotten, where its address leads to others too."""
    lineage_after: float = 60.0
    """Seconds for which only another database must have answered, everywhere, before it is taken for the cluster's."""
    rebuilt_since: float | None = None
    """Since when that is so, in monotonic seconds; None: it is not."""
    zones: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The zones of servers, by what these say of themselves (`core.view.zone`)."""
    at: float = field(default=0.0, compare=False)
    """When this view was made, in monotonic seconds."""
    candidates: dict[Service, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    """The names of the nodes that may serve, by service."""
    by_name: dict[str, Node] = field(init=False, repr=False, compare=False)
    """The same nodes as `nodes`."""
    slow_since: float = field(init=False, repr=False, compare=False)
    """When the latest of the nodes that were down came back, in monotonic seconds; minus infinity: none was down."""

    def __post_init__(self) -> None:
        usable = [node for node in self.nodes if node.usable]
        chosen = {service: tuple(n.name for n in usable if _has_role(n, service)) for service in Service}
        if self.writer == "single":
            chosen[Service.WRITE] = _single(usable, chosen[Service.WRITE])
        object.__setattr__(self, "candidates", chosen)
        object.__setattr__(self, "by_name", {node.name: node for node in self.nodes})
        slow = [node.slow_since for node in self.nodes if node.slow_since is not None]
        object.__setattr__(self, "slow_since", max(slow, default=float("-inf")))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def serving(self, want: Want, now: float | None = None) -> tuple[str, ...]:
        """Return the names of the nodes that may serve ``want``, in the configured order; of lags as they are at
        ``now``, or were in `at`.
        """
        if want.node is None:
            names = self.candidates[want.service]
        else:
            named = [node for node in self.nodes if want.node in (node.name, node.behind)]
            names = tuple(node.name for node in named if node.usable and _has_role(node, want.service))
        if want.among is not None:
            names = tuple(name for name in names if name in want.among)
        if want.max_lag is None:
            return names
        return tuple(name for name in names if self.fresh(self.by_name[name], want.max_lag, now))

    def fresh(self, node: Node, max_lag: MaxLag | None, now: float | None = None) -> bool:
        """Tell whether ``node`` is at most so far behind.  A primary is never behind; a lag that is not known is too
        long.
        """
        if max_lag is None or node.role is Role.PRIMARY:
            return True
        if unproven(node, self.switches):
            return False
        return max_lag.allows(self.track, node.position, self.at if now is None else now)

    def zone(self, node: Node) -> str:
        """Return the zone that ``node`` is in; "": not known."""
        return zone_of(node, self.zones)

    def lag(self, node: Node, now: float) -> float | None:
        """Return by how many seconds ``node`` is behind, at most; None: not known."""
        if node.role is Role.PRIMARY:
            return 0.0
        if unproven(node, self.switches):
            return None
        reached = self.track.reached(node.position) if node.position is not None else None
        return None if reached is None else max(0.0, now - reached)

    def dialable(self, want: Want) -> tuple[str, ...]:
        """Return the nodes worth dialling for ``want`` besides those that serve it: not known yet, or suspect.  Their
        role is asked at the dial.
        """
        return tuple(n.name for n in self.nodes if _untried(n, want))

    def spreads(self, want: Want) -> bool:
        """Whether such work goes to several nodes, and not to the one writer on which all clients agree."""
        return want.service is not Service.WRITE or self.writer != "single"

    def undecided(self, want: Want, name: str) -> tuple[str, ...]:
        """Return the nodes before ``name`` that have said nothing yet: each may turn out to be the single writer that
        all clients agree on.
        """
        if self.spreads(want) or want.node is not None:
            return ()
        before = self.nodes[: self.nodes.index(self.by_name[name])]
        return tuple(n.name for n in before if n.reach is Reach.UNKNOWN and _untried(n, want))

    def panicking(self, want: Want, now: float | None = None) -> tuple[str, ...]:
        """Return the nodes to try when none is usable: they answer, but do not want work.

        Never a known replica for a write, and never one that is further behind than is wanted.
        """
        return tuple(n.name for n in self.nodes if _last_resort(n, want) and self.fresh(n, want.max_lag, now))

    def eligible(self, want: Want, now: float | None = None) -> tuple[str, ...]:
        """Return the nodes whose connections may be used for ``want`` now: those that serve it, or, when there are
        none, in panic.
        """
        return self.serving(want, now) or self.panicking(want, now)

    def is_mute(self, name: str, want: Want) -> bool:
        """Tell whether nothing of ``want`` is to be heard from a node any more: it is down, of an older history, or no
        primary now.

        Silence alone says nothing: only what a probe found.  A node that was removed serves those who have it to their
        end.
        """
        node = self.by_name.get(name)
        if node is None:
            return False
        demoted = want.service is Service.WRITE and node.role is Role.REPLICA
        return node.reach is Reach.DOWN or node.outdated or demoted

    def hopeless(self, want: Want, refused: frozenset[str] = frozenset()) -> bool:
        """Tell whether waiting is pointless: no node is meant, or only a person can mend them all.

        ``refused``: the nodes that this caller's own arguments do not fit.
        """
        meant = [node for node in self.nodes if _named(node, want)]
        return all(node.readiness is Readiness.MISCONFIGURED or node.name in refused for node in meant)


SLOW_START = 10.0
"""Seconds over which a node that was down gets its full share again (linkerd and Envoy use the same order of
magnitude)."""

_TIRED = (Readiness.DONOR, Readiness.DRAINING, Readiness.MAINTENANCE, Readiness.OVERLOADED, Readiness.JOINING)


def _single(usable: list[Node], primaries: tuple[str, ...]) -> tuple[str, ...]:
    """Return the one writer on which all clients agree: the first in the configured order, and of those behind one
    address, where there is no order, the first by the name that it tells.
    """
    first = [node for node in usable if node.name in primaries[:1]]
    same = [node for node in usable for one in first if node.address == one.address and node.name in primaries]
    return (min(same, key=lambda node: node.server).name,) if len(same) > 1 else primaries[:1]


def _has_role(node: Node, service: Service) -> bool:
    if service in (Service.READ, Service.PREFER_REPLICA):
        return node.role is not Role.UNKNOWN
    return node.role is (Role.PRIMARY if service is Service.WRITE else Role.REPLICA)


def _named(node: Node, want: Want) -> bool:
    meant = want.node is None or want.node in (node.name, node.behind)
    return meant and (want.among is None or node.name in want.among)


def _untried(node: Node, want: Want) -> bool:
    if not _named(node, want) or node.draining or node.outdated or node.readiness is Readiness.MISCONFIGURED:
        return False
    if node.reach is Reach.UNKNOWN:
        return True
    return node.reach is Reach.SUSPECT and (node.role is Role.UNKNOWN or _has_role(node, want.service))


def _last_resort(node: Node, want: Want) -> bool:
    if not _named(node, want) or node.draining or node.outdated:
        return False
    return node.reach is Reach.UP and node.readiness in _TIRED and _has_role(node, want.service)
