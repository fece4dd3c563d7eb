"""Nodes and the cluster as frozen values, on independent axes.

Reachability (can we talk to it), role (may it write), readiness (does it want work), and freshness (how far behind is
it).  None follows from another: a node that is up may be a replica, a primary may be draining.  So each has a field of
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from .endpoint import HostPort
from .position import Position


class Origin(Enum):
    """How a node came to be: by the configuration, by an answer of a further server at a configured address
    (`core.view.servers`), or by what the database reports, before and after it has answered (`core.view.discovery`).
    """

    CONFIGURED = "configured"
    BEHIND = "behind"
    REPORTED = "reported"
    DISCOVERED = "discovered"


class Reach(Enum):
    """Whether the node can be talked to."""

    UNKNOWN = "unknown"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Role(Enum):
    """Whether the node accepts writes."""

    UNKNOWN = "unknown"
    PRIMARY = "primary"
    REPLICA = "replica"


class Readiness(Enum):
    """Whether the node wants work."""

    READY = "ready"
    JOINING = "joining"
    DONOR = "donor"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    OVERLOADED = "overloaded"
    NOT_READY = "not ready"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Which history a node's data belong to: of two primaries, the one with the higher number is the newer."""

    lineage: str
    """Names the database itself: numbers of two lineages cannot be compared."""
    number: int = 0
    """Above 0; 0: not told."""
    name: str = "timeline"
    """What the number is called."""
    shared: bool = False
    """All members have one number (Galera)."""


@dataclass(frozen=True, slots=True)
class Report:
    """A node's own answer to a probe."""

    role: Role
    """Primary or replica."""
    readiness: Readiness = Readiness.READY
    """Whether it may be given work."""
    why: str = ""
    """What keeps it from being ready, in words."""
    version: str = ""
    """The name and version of the server."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What else the server tells of itself, by name."""
    complete: bool = True
    """False: only the role was told, as a server does at connect."""
    queue: int = 0
    """Write-sets that it has received and not applied yet (Galera)."""
    position: Position | None = None
    """Of its log, in bytes (PostgreSQL) or transactions (MariaDB; MySQL: the set of them): what it has applied or, as a
    primary, written; None: not told."""
    asked: float | None = None
    """When the question was put (monotonic seconds), so that the position is of then or later; None: just now."""
    epoch: Epoch | None = None
    """The history that its data belong to; None: not told."""
    identity: str = ""
    """The same for every way to this server, and no other server's; "": not told."""
    server: str = ""
    """Where the server itself says that it is, the same after a restart, and no other's at the same address; "": not
    told."""
    timeline: int = 0
    """Of a standby, one that it has certainly reached; 0: not told."""
    following: int = 0
    """Of a standby, the timeline that it receives now; 0: not told."""
    forked_at: int | None = None
    """Of a primary that was a standby since its start, the position where its timeline begins; None: not told."""
    undoes: frozenset[int] = frozenset()
    """Error numbers with which this server rolls back the whole transaction, where others undo only the statement."""

    def limited(self, max_queue: int) -> Report:
        """Return the report of a node that is overloaded when more than ``max_queue`` write-sets wait to be applied."""
        if self.queue <= max_queue or self.readiness is not Readiness.READY:
            return self
        why = f"{self.queue} write-sets wait to be applied, more than max_receive_queue ({max_queue})"
        return replace(self, readiness=Readiness.OVERLOADED, why=why)


@dataclass(frozen=True, slots=True)
class Mark:
    """Since when (monotonic seconds) an axis has its value, and why."""

    since: float
    why: str


AXES = ("reach", "role", "readiness", "draining", "outdated")
"""The fields of `Node` that say what it can be used for; none follows from another."""


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of one node.  Times are of one monotonic clock, in seconds."""

    name: str
    """As configured, or as it was discovered."""
    order: int
    """Its place among the nodes, as they were added."""
    reach: Reach = Reach.UNKNOWN
    """Whether it answers."""
    role: Role = Role.UNKNOWN
    """Primary or replica, as it said last."""
    readiness: Readiness = Readiness.READY
    """Whether it may be given work, as it said last."""
    generation: int = 0
    """Raised whenever the connections opened so far must not be used again.  An error from an older generation is no
    news, else 200 sockets that die at once would condemn a node that has come back 200 times."""
    since: float = 0.0
    """When it came into the state that it is in."""
    why: str = "not dialled yet"
    """What brought it there, in words."""
    failures: int = 0
    """How often in a row it could not be reached."""
    retry_at: float = 0.0
    """When the breaker allows the next background dial."""
    slow_since: float | None = None
    """When it began its slow start, as a node that has come back; None: it is in none."""
    draining: bool = False
    """The operator wants no new work there."""
    ends_at: float | None = None
    """When the work that is still there, while it is drained, is ended; None: never by us."""
    version: str = ""
    """The name and version of the server."""
    position: Position | None = None
    """Of its log, when it was asked last: a measurement, so that a change of it alone is no news."""
    asked: float = 0.0
    """When the question was put that it answered first with this position, or that a reader has put since."""
    epoch: Epoch | None = None
    """The history that its data belong to; None: not told."""
    outdated: bool = False
    """Its epoch is older than the newest one seen (`core.view.epoch`)."""
    marks: Mapping[str, Mark] = field(default_factory=dict, hash=False)
    """The same as `since` and `why` per axis, by the field's name, for those that have changed."""
    origin: Origin = Origin.CONFIGURED
    """Who has named it: for `core.view.discovery`."""
    endpoint: HostPort | None = None
    """Where it was configured or reported to be; None: not by host and port."""
    peers: frozenset[str] = frozenset()
    """The addresses, ``10.0.0.1:5432``, at the other ends of its connections, until its name leads elsewhere."""
    identity: str = ""
    """As `Report.identity`."""
    server: str = ""
    """As `Report.server`."""
    behind: str = ""
    """The name of the node whose address has led to this server too; "": it has an address of its own."""
    missed: float | None = None
    """Since when the dials that were to reach this server have all reached another one; None: they have not."""
    timeline: int = 0
    """As `Report.timeline`."""
    following: int = 0
    """As `Report.following`, kept while the same incarnation of the server tells none."""
    stood_by: str = ""
    """The identity under which it was last seen as a standby."""
    undoes: frozenset[int] = frozenset()
    """As `Report.undoes`."""
    weight: float = 1.0
    """As configured, for the policy of this name."""
    priority: int = 1
    """As configured, for the policy of this name."""
    zone: str = ""
    """As configured; "": it was not (`core.view.zone`)."""

    def confirmed_by(self, role: Role) -> bool:
        """Whether the role that a server tells at connect is no news: then nothing else has to be asked."""
        return (
            self.reach is Reach.UP
            and self.role is role
            and not self.outdated
            and self.readiness is not Readiness.NOT_READY
        )

    @property
    def address(self) -> str:
        """The name of the node at whose address this server is reached: its own, or that of another one."""
        return self.behind or self.name

    @property
    def distrusted(self) -> bool:
        """Whether its next probe must dial: a connection that is open already may answer long after new ones are
        refused (smart shutdown).
        """
        return self.reach is not Reach.UP or self.readiness is Readiness.NOT_READY

    @property
    def usable(self) -> bool:
        """Up, ready, of the newest epoch and not being drained: it may be given work, within its role."""
        return self.reach is Reach.UP and self.readiness is Readiness.READY and not self.draining and not self.outdated
