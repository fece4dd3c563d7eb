"""What `clustersql check` asks that differs from database to database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LOST_WITH_NODE", "Questions"]

LOST_WITH_NODE = "an acknowledged commit is lost when the machine crashes"


@dataclass(frozen=True, slots=True)
class Questions:
    """Statements of one dialect; "" where the database has no such thing."""

    clock: str = ""
    """Gives the seconds since 1970 by the server's clock, whatever its time zone."""
    tls: str = ""
    """Gives version and cipher of this connection, or nothing."""
    used: str = ""
    """Gives the number of connections that are open now."""
    durability: str = ""
    """Gives settings as name and value, on which it depends whether an acknowledged commit stays."""
    risky: Mapping[tuple[str, str], str] | None = None
    """The values of those settings, by name and value, with which it may be lost, and why."""
    spread: str = ""
    """Gives settings as name and value, on which it depends what writes to several nodes at once may do."""
    risky_spread: Mapping[tuple[str, str], str] | None = None
    """The values of those that are risky, and why."""
    history: str = ""
    """Gives the user, on a replica where he may not see which history is received: it cannot prove it to be the
    primary's after a promotion."""
    one_primary: bool = False
    """Two nodes that accept writes are two databases."""
    one_writer: bool = False
    """A second transaction that writes waits for the end of the first one."""
