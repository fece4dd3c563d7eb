"""What a check has found: plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ...core.view.node import Epoch

__all__ = ["ClusterResult", "Crowd", "Finding", "NodeResult", "PoolResult", "Step"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs a person.  ``node`` is "" for the cluster as a whole."""

    node: str
    what: str


@dataclass(slots=True)
class NodeResult:
    """One node.  Durations in seconds; None: not known.  ``epoch`` and ``position`` are as in `core.view.node.Report`.
    ``clock`` is how far the server's clock is ahead of ours.
    """

    name: str
    address: str
    reachable: bool = False
    authenticated: bool = False
    tls: str = ""
    version: str = ""
    role: str = "unknown"
    readiness: str = "unknown"
    why: str = ""
    clock: float | None = None
    connect: float | None = None
    round_trip: float | None = None
    max_connections: int | None = None
    used_connections: int | None = None
    grants: bool | None = None
    error: str = ""
    epoch: Epoch | None = None
    position: int | None = None
    discovered: bool = False


@dataclass(slots=True)
class Step:
    """One statement: on which node, and after how many seconds each other node showed it; None: not in time."""

    what: str
    on: str
    seconds: float
    seen: dict[str, float | None] = field(default_factory=dict)


@dataclass(slots=True)
class Crowd:
    """Transactions that were open on one node at the same time."""

    node: str
    wanted: int
    reached: int
    seconds: float
    error: str = ""


@dataclass(slots=True)
class PoolResult:
    """What the pools of all processes may open on one node while another is down, and what that node has room for."""

    max_size: int
    processes: int
    on_one_node: int
    room: int | None
    fits: bool


@dataclass(slots=True)
class ClusterResult:
    """One cluster.  ``notes`` are worth knowing, ``findings`` need a person."""

    name: str
    driver: str
    nodes: list[NodeResult] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    pool: PoolResult | None = None
    notes: list[Finding] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, node: str, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(node, what))

    def note(self, node: str, what: str) -> None:
        """Add a note."""
        self.notes.append(Finding(node, what))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)
