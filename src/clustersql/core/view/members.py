"""The members of a cluster as its nodes tell them, and what is known of each.  `discovery` has the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .endpoint import HostPort


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the database tells it."""

    host: str
    """A name or an address, or whatever the database has been told."""
    port: int | None = None
    """None: not told."""
    name: str = ""
    """What the database calls it; "": not told."""
    identity: str = ""
    """As `core.view.node.Report.identity`; "": not told."""

    def __str__(self) -> str:
        where = str(HostPort(self.host, self.port)) if self.host else ""
        return " ".join(filter(None, (self.name, where))) or "a member without name and address"


@dataclass(frozen=True, slots=True)
class Members:
    """An observation: a node was asked for the members of its cluster."""

    node: str
    """The one that was asked."""
    members: tuple[Member, ...] = ()
    """Those that it has told."""
    complete: bool = False
    """It knows them all, so that who is not among them is none."""
    attached: bool = False
    """It takes part itself."""
    why: str = ""
    """It could not tell, and why; then the rest says nothing."""


@dataclass(frozen=True, slots=True)
class Double:
    """What is known of a reported address that leads to a node we have."""

    identity: str
    peers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stranger:
    """Why the server behind a reported address is none of ours, and when (monotonic seconds) it is asked again."""

    why: str
    until: float


@dataclass(frozen=True, slots=True)
class Discovery:
    """What is known of the members.  The first three are the settings; addresses are keys as texts, nodes by their
    names.
    """

    address_map: Mapping[str, HostPort] = field(default_factory=dict)
    forget_after: float = 60.0
    port: int | None = None
    told: Mapping[str, Members] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    doubles: Mapping[str, Double] = field(default_factory=dict)
    strangers: Mapping[str, Stranger] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reported:
    """A member that an answering node reports."""

    by: str
    """The node that reports it."""
    member: Member
    """What it reports."""
    at: HostPort | None
    """Where the member can be reached; None: nowhere."""
    why: str = ""
    """Why not, in words."""
    key: str = ""
    """The key of the address map that was used; "": none."""
