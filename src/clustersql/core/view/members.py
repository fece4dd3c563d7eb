"""The members of a cluster as its nodes tell them, or Patroni, and what is known of each; `discovery` has the rules."""

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
    leads: bool = False
    """It is the primary, by Patroni's word."""
    unread: bool = False
    """As a standby it shall serve no reads, by its tags in Patroni."""
    state: str = ""
    """What else Patroni says of it that makes it worth asking; "": Patroni has not told of it."""

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
    outside: bool = False
    """No node was asked, but Patroni, whose name stands in place of the node's."""
    paused: bool = False
    """Patroni leaves the cluster alone (its maintenance mode)."""


@dataclass(frozen=True, slots=True)
class Double:
    """What is known of a reported address that leads to a node we have."""

    identity: str
    """The server's own, by which it was recognized; "": it tells none."""
    peers: frozenset[str]
    """The addresses at the other ends of the connections to it."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A reported address whose server is none of ours."""

    why: str
    """Why not, in words."""
    until: float
    """When it is asked again, in monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What is known of the members, and how they are looked for.  An address is a text, ``host:port``, where it is a
    key.
    """

    address_map: Mapping[str, HostPort] = field(default_factory=dict)
    """Where we reach a member, by what the database calls it: its name, its host, or ``host:port``."""
    forget_after: float = 60.0
    """Seconds for which nobody may report a discovered node before it is taken out."""
    port: int | None = None
    """Where a server listens whose port nobody tells, while no node is configured."""
    told: Mapping[str, Members] = field(default_factory=dict)
    """What each node reports, by the node's name."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why a node could not tell its members, by the node's name."""
    outside: Members | None = None
    """What Patroni has told last; None: nothing yet, or it is not asked."""
    unheard: str = ""
    """Why Patroni could not tell when it was asked last; "": it could, or is not asked."""
    disputed: int = 0
    """How often in a row Patroni has named a leader that says itself that it is none."""
    missing: Mapping[str, float] = field(default_factory=dict)
    """Since when (monotonic seconds) nobody reports a node, by its name."""
    doubles: Mapping[str, Double] = field(default_factory=dict)
    """Reported addresses that lead to a node we have."""
    strangers: Mapping[str, Stranger] = field(default_factory=dict)
    """Reported addresses whose server is none of ours."""
    excluded: frozenset[str] = frozenset()
    """Addresses of nodes that the operator has taken out, which are not discovered again."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A member that an answering node reports, or Patroni."""

    by: str
    """Who reports it."""
    member: Member
    """What it reports."""
    at: HostPort | None
    """Where the member can be reached; None: nowhere."""
    why: str = ""
    """Why not, in words."""
    key: str = ""
    """The key of the address map that was used; "": none."""
