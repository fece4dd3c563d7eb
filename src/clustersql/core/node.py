"""Nodes and the cluster as frozen values, on four independent axes.

Reachability (can we talk to it), role (may it write), readiness (does it want work), and, later, freshness.  A node that is up may be
a replica; a primary may be draining; neither follows from the other, so each has a field of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


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


@dataclass(frozen=True, slots=True)
class Report:
    """A node's own answer to a probe.  ``why`` says in words what keeps it from being ready."""

    role: Role
    readiness: Readiness = Readiness.READY
    why: str = ""
    version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
