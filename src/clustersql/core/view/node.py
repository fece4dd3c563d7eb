"""Nodes and the cluster as frozen values, on independent axes.

Reachability (can we talk to it), role (may it write), readiness (does it want work), and freshness (how far behind is it).  None follows from another:
a node that is up may be a replica, a primary may be draining.  So each has a field of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from .endpoint import HostPort


class Origin(Enum):
    """How a node came to be: by the configuration, or by what the database reports, before and after it has answered (`core.view.discovery`)."""

    CONFIGURED = "configured"
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
    """Which history a node's data belong to: of two primaries, the higher ``number`` (above 0; 0: not told) is the newer.

    ``lineage`` names the database itself, ``name`` what the number is called.  ``shared``: all members have one number (Galera).
    """

    lineage: str
    number: int = 0
    name: str = "timeline"
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A node's own answer to a probe.  ``why`` says in words what keeps it from being ready.

    ``complete`` False: only the role was told, as a server does at connect.  ``queue``: write-sets received and not applied yet (Galera).
    ``position``: of its log, in bytes (PostgreSQL) or transactions (MariaDB), what it has applied or, as a primary, written; None: not told.
    ``asked``: when the question was put (monotonic seconds), so that the position is of then or later; None: just now.
    ``identity``: the same for every way to this server, and no other server's; "": not told.
    ``timeline``: of a standby, one that it has certainly reached; ``following``: the one that it receives now; 0: not told.
    ``forked_at``: of a primary that was a standby since its start, the position where its timeline begins; None: not told.
    ``undoes``: error numbers with which this server rolls back the whole transaction, and others only the statement.
    """

    role: Role
    readiness: Readiness = Readiness.READY
    why: str = ""
    version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    queue: int = 0
    position: int | None = None
    asked: float | None = None
    epoch: Epoch | None = None
    identity: str = ""
    timeline: int = 0
    following: int = 0
    forked_at: int | None = None
    undoes: frozenset[int] = frozenset()

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
    """What is known of one node.  Times are of one monotonic clock, in seconds.

    ``generation`` is raised whenever the connections opened so far must not be used again; an error from an older generation is no
    news (else 200 sockets that die at once would condemn a node that has come back 200 times).
    ``retry_at`` is when the breaker allows the next background dial; ``slow_since`` when a returning node began its slow start.
    ``position``: of its log, when it was asked last; a measurement, so that a change of it alone is no news.
    ``outdated``: its ``epoch`` is older than the newest one seen (`core.view.epoch`).
    ``marks`` tell the same as ``since`` and ``why`` per axis, by the field's name, for those that have changed.
    ``undoes``: as `Report.undoes`.
    ``weight`` and ``priority``: as configured, for the policies of these names.
    ``draining``: the operator wants no new work there; ``ends_at`` is when the work that is still there is ended, None: never by us.
    ``origin`` and ``identity`` are for `core.view.discovery`.  ``endpoint``: where it was configured or reported to be; None: not by host and port.
    ``timeline`` and ``following`` are as in `Report`, the latter kept while the same incarnation of the server tells none.
    ``stood_by``: the identity under which it was last seen as a standby.
    ``peers``: the addresses, ``10.0.0.1:5432``, at the other ends of its connections, until its name leads elsewhere.
    """

    name: str
    order: int
    reach: Reach = Reach.UNKNOWN
    role: Role = Role.UNKNOWN
    readiness: Readiness = Readiness.READY
    generation: int = 0
    since: float = 0.0
    why: str = "not dialled yet"
    failures: int = 0
    retry_at: float = 0.0
    slow_since: float | None = None
    draining: bool = False
    ends_at: float | None = None
    version: str = ""
    position: int | None = None
    epoch: Epoch | None = None
    outdated: bool = False
    marks: Mapping[str, Mark] = field(default_factory=dict, hash=False)
    origin: Origin = Origin.CONFIGURED
    endpoint: HostPort | None = None
    peers: frozenset[str] = frozenset()
    identity: str = ""
    timeline: int = 0
    following: int = 0
    stood_by: str = ""
    undoes: frozenset[int] = frozenset()
    weight: float = 1.0
    priority: int = 1

    def confirmed_by(self, role: Role) -> bool:
        """Whether the role that a server tells at connect is no news: then nothing else has to be asked."""
        return (
            self.reach is Reach.UP
            and self.role is role
            and not self.outdated
            and self.readiness is not Readiness.NOT_READY
        )

    @property
    def distrusted(self) -> bool:
        """Whether its next probe must dial: a connection that is open already may answer long after new ones are refused (smart shutdown)."""
        return self.reach is not Reach.UP or self.readiness is Readiness.NOT_READY

    @property
    def usable(self) -> bool:
        """Up, ready, of the newest epoch and not being drained: it may be given work, within its role."""
        return self.reach is Reach.UP and self.readiness is Readiness.READY and not self.draining and not self.outdated
