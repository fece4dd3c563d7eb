"""What can be seen of a cluster: each observation is a value, and `observe` makes the next view of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..faults import Fault
from .endpoint import HostPort
from .members import Members
from .node import Report
from .position import Position


@dataclass(frozen=True, slots=True)
class Answered:
    """A dial or a probe succeeded, and this is what the node said."""

    node: str
    """The node's name."""
    report: Report
    """What it said."""
    dialled: bool = True
    """False: on a connection that was open already, which does not prove that new ones are accepted again."""
    peer: str = ""
    """The address and port at the other end; "": not known."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A dial or a probe failed."""

    node: str
    """The node's name."""
    fault: Fault = Fault.LOST
    """How, as far as the error proves it."""
    why: str = ""
    """The same in words."""
    own: bool = True
    """False: it was tried by its address only, which may lead to other servers too."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A probe that was to reach this server has dialled its address, and reached another one."""

    node: str
    """The node's name."""
    why: str = ""
    """The same in words."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A pooler let us in, and no server behind it answered: all its sessions are in use, it is paused, or the server
    hangs.

    Nobody can tell these apart from here, and the work that is under way there may be slow on a live server.
    """

    node: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """A connection that was open failed."""

    node: str
    """The node's name."""
    generation: int
    """That of the connection."""
    why: str = ""
    """What became of it, in words."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A live node refused a statement: it is read-only, not ready, or short of something."""

    node: str
    """The node's name."""
    generation: int
    """That of the connection."""
    fault: Fault
    """What the error proves."""
    why: str = ""
    """What the node said."""


@dataclass(frozen=True, slots=True)
class Added:
    """A node was configured."""

    node: str
    """The node's name."""
    endpoint: HostPort | None = None
    """Where, if that is known by host and port."""
    weight: float = 1.0
    """For the policy of this name."""
    priority: int = 1
    """For the policy of this name."""
    zone: str = ""
    """Where it is; "": not told."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A node was taken out of the configuration."""

    node: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The configuration was read again: other nodes, other addresses, or another order."""

    nodes: tuple[Added, ...]
    """All that it names, in its order; those that it does not name and that are not ``gone`` follow."""
    gone: frozenset[str] = frozenset()
    """Those that it names no more."""
    moved: frozenset[str] = frozenset()
    """Those that are somewhere else now: of the server there nothing is known."""
    altered: frozenset[str] = frozenset()
    """Those that are dialled otherwise, as another user for one, at the same place."""

    node: str = ""
    """It is about all of them."""


@dataclass(frozen=True, slots=True)
class Draining:
    """A node gets no new work from now on, or gets it again."""

    node: str
    """The node's name."""
    on: bool = True
    """False: it gets work again."""
    grace: float | None = None
    """Seconds after which connections that are still in use there are ended; None: never by us."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A node's host name was looked up, and leads to these addresses now."""

    node: str
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Positioned:
    """A replica has told a reader where it is, in between two probes."""

    node: str
    """The node's name."""
    identity: str
    """As `Report.identity`: of another incarnation of the server it says nothing about this one."""
    position: Position
    """What it has applied."""
    asked: float
    """When the question was put, in monotonic seconds."""
    reached: int = 0
    """The timeline that it has certainly reached; 0: not told."""
    following: int = 0
    """The timeline that it receives now; 0: not told."""


Observation = (
    Answered
    | Resolved
    | Unreachable
    | Missed
    | Silent
    | SessionLost
    | Refused
    | Added
    | Removed
    | Listed
    | Draining
    | Members
    | Positioned
)
