"""What `Cluster.snapshot` tells, as frozen values; `as_dict` makes of them what JSON takes.

Times of day are ISO 8601 in UTC, durations are in seconds.  No password is among them, and no value of a statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Axis:
    """What a node is on one axis; none follows from another."""

    axis: str
    """``reachability``, ``role``, ``readiness``, ``freshness``, ``epoch`` or ``drain``."""
    value: str
    """The state there."""
    since: str
    """Since when."""
    why: str
    """In words; "": nobody has said."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node."""

    name: str
    """As it was added, or its address where it was discovered."""
    discovered: bool
    """Whether the database told of it."""
    server: str
    """Where the server that it stands for says that it is; "": not told."""
    behind: str
    """The node whose address has led to this server too; "": it has an address of its own."""
    zone: str
    """Where it is; "": not known."""
    state: str
    """Whether it can be talked to: ``unknown``, ``up``, ``suspect``, ``down``."""
    role: str
    """``primary``, ``replica`` or ``unknown``."""
    readiness: str
    """Whether it wants work: ``ready``, ``joining``, ``donor``, ..."""
    serves: tuple[str, ...]
    """The services it may be chosen for now: ``primary``, ``any``, ``replica``."""
    axes: tuple[Axis, ...]
    """What it is on each axis, since when and why."""
    kept_out: tuple[Axis, ...]
    """What keeps it from being given any work, one entry per axis; empty: nothing does."""
    why: str
    """Why it is as it is, by the latest change."""
    lag: float | None
    """By how many seconds it is behind, at most; None: not known."""
    generation: int
    """Raised whenever the connections so far must not be used again."""
    epoch: str
    """The history that its data belong to, such as ``timeline 3``; "": not told."""
    version: str
    """The server's; "": not told."""
    peers: tuple[str, ...]
    """The addresses at the other ends of its connections."""
    last_error: str
    """The latest error that was met there; "": none."""


@dataclass(frozen=True, slots=True)
class WaiterReport:
    """A caller who waits for a connection."""

    wants: str
    """The service: ``primary``, ``any``, ``replica`` or ``prefer-replica``."""
    read_only: bool
    """Whether the session is to be read-only."""
    node: str
    """The node that must serve; "": any."""
    seconds: float
    """How long it has waited."""


@dataclass(frozen=True, slots=True)
class HolderReport:
    """A connection in use."""

    site: str
    """``file:line`` where it was checked out."""
    since: str
    """When."""
    seconds: float
    """For how long it has been held."""
    thread: str
    """The thread that checked it out; "": a task did, or the thread has ended."""
    task: str
    """The task that is inside the function of that place; "": none is, or a thread checked it out."""
    node: str
    """The node that serves it."""
    doing: str
    """``executing``, ``idle in transaction`` or ``idle``."""
    executing: float | None
    """For how many seconds it has waited for an answer; None: it waits for none."""
    statement: str
    """Its latest statement, shortened and without any value; "": none yet."""
    outside: bool
    """Whether it is outside the pool (`Cluster.connect`)."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """One pool: that of the threads, or that of one event loop."""

    api: str
    """``threads`` or ``asyncio``."""
    sizes: Mapping[str, Any]
    """What `Database.stats` tells."""
    waiters: tuple[WaiterReport, ...]
    """Who waits, in the order of the queue."""
    holders: tuple[HolderReport, ...]
    """Who has a connection, the oldest first."""


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """How many retries the cluster may afford."""

    left: float
    """How many it may still spend."""
    spent: int
    """How many it has spent."""
    refused: int
    """How many it has refused."""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """A member that the nodes report."""

    reported: str
    """Name and address, as the database says it."""
    by: str
    """The node that says so, or Patroni."""
    address: str | None
    """After the address map; None: none that can be used."""
    node: str | None
    """The node that is there; None: it has not answered yet, or is left out."""


@dataclass(frozen=True, slots=True)
class DiscoveryReport:
    """What is known of the members."""

    members: tuple[MemberReport, ...]
    """What the nodes that answer report."""
    unused: tuple[str, ...]
    """The keys of ``address_map`` that match nothing now."""
    complaints: tuple[str, ...]
    """In words, what keeps discovery from being complete; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is known of a cluster at one moment."""

    cluster: str
    """Its name."""
    at: str
    """When this was so."""
    wanted: str
    """The service that it is wanted for: ``primary``, or where the whole cluster is only read ``any``, or ``replica``
    if the knob ``read_role`` says so."""
    epoch: str
    """The newest history seen, such as ``timeline 3``; "": none was told."""
    nodes: tuple[NodeReport, ...]
    """The nodes in the configured order, then those that were discovered, by name."""
    pools: tuple[PoolReport, ...]
    """The pool of the threads, and one for each event loop; those that there are."""
    budget: BudgetReport
    """The retries."""
    discovery: DiscoveryReport | None
    """The members; None: they are not discovered."""
    knobs: Mapping[str, Any]
    """Every knob as it is now; of a function its name."""

    @property
    def holders(self) -> tuple[HolderReport, ...]:
        """Who has a connection, over all pools, the oldest first."""
        return tuple(sorted((one for pool in self.pools for one in pool.holders), key=lambda one: -one.seconds))

    def as_dict(self) -> dict[str, Any]:
        """Return the same, ready for JSON."""
        told: dict[str, Any] = plain(self)
        return told


def plain(value: Any) -> Any:
    """Return a value of this file as dictionaries and lists."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value
