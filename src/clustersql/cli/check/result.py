"""What a check has found: plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ...core.view.node import Epoch
from ...core.view.position import Position

__all__ = ["ClusterResult", "Crowd", "Finding", "NodeResult", "PoolResult", "Step"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs a person.  ``node`` is "" for the cluster as a whole."""

    node: str
    what: str


@dataclass(slots=True)
class NodeResult:
    """One node.  Durations in seconds; None: not known."""

    name: str
    """The node's name."""
    address: str
    """Its host and port, socket or file."""
    reachable: bool = False
    """A dial got an answer, whatever it was."""
    authenticated: bool = False
    """It took the login."""
    tls: str = ""
    """Version and cipher of the connection; "": none."""
    version: str = ""
    """The name and version of the server."""
    role: str = "unknown"
    """As it says itself."""
    readiness: str = "unknown"
    """As it says itself."""
    why: str = ""
    """What keeps it from being ready, in words."""
    clock: float | None = None
    """How far the server's clock is ahead of ours."""
    connect: float | None = None
    """How long a dial takes."""
    round_trip: float | None = None
    """How long a statement takes that does nothing."""
    max_connections: int | None = None
    """How many connections it has room for."""
    used_connections: int | None = None
    """How many are open now."""
    grants: bool | None = None
    """Whether we may create a table there; None: it was not tried."""
    error: str = ""
    """The first line of the error that ended the check of this node."""
    epoch: Epoch | None = None
    """As `core.view.node.Report.epoch`."""
    position: Position | None = None
    """As `core.view.node.Report.position`."""
    zone: str = ""
    """Where it is; "": not known."""
    discovered: bool = False
    """The database told of it, and no configuration."""


@dataclass(slots=True)
class Step:
    """One statement on the scratch table."""

    what: str
    """Which one."""
    on: str
    """The node it was sent to."""
    seconds: float
    """How long it took there."""
    seen: dict[str, float | None] = field(default_factory=dict)
    """After how many seconds each other node showed it; None: not in time."""


@dataclass(slots=True)
class Crowd:
    """Transactions that were open on one node at the same time."""

    node: str
    """The node's name."""
    wanted: int
    """How many were to be opened."""
    reached: int
    """How many were open and are committed."""
    seconds: float
    """How long it took in all."""
    error: str = ""
    """The first line of the first error."""


@dataclass(slots=True)
class PoolResult:
    """What the pools of all processes may open on one node while another is down, and what that node has room for."""

    max_size: int
    """That of one pool."""
    processes: int
    """How many processes there are, each with a pool."""
    on_one_node: int
    """How many connections they may open on one node."""
    room: int | None
    """The smallest limit of any node; None: none is known."""
    fits: bool
    """There is room for them."""


@dataclass(slots=True)
class ClusterResult:
    """One cluster."""

    name: str
    """The cluster's name."""
    driver: str
    """Its driver's name."""
    nodes: list[NodeResult] = field(default_factory=list)
    """What was found of each node."""
    steps: list[Step] = field(default_factory=list)
    """What was done on the scratch table."""
    crowds: list[Crowd] = field(default_factory=list)
    """The transactions that were open at once."""
    pool: PoolResult | None = None
    """The pools' sizes beside the servers' limits."""
    notes: list[Finding] = field(default_factory=list)
    """What is worth knowing."""
    findings: list[Finding] = field(default_factory=list)
    """What needs a person."""

    def find(self, node: str, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(node, what))

    def note(self, node: str, what: str) -> None:
        """Add a note."""
        self.notes.append(Finding(node, what))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)
