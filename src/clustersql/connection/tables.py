"""Whether the commit guard's tables are there, where the knob ``commit_guard_required`` asks for it.  Nothing here
waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.guard.table import KEYS
from ..core.words import first_line
from ..errors import ConfigError
from .guard import database_of

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from ..nodes.topology import Topology
    from ..pool.base import BasePool


def questions_of(topology: Topology, node: str) -> list[tuple[str, ...]]:
    """Return what asks ``node`` for each of the guard's tables."""
    guard = topology.guard
    assert guard is not None
    commits = guard.named(database_of(topology, node))
    return [guard.sql.present(table) for table in (commits, commits.beside(KEYS))]


def require_present(topology: Topology, rows: Any) -> None:
    """Raise `ConfigError` where a table is not there, or not ours to work with."""
    present, allowed = rows[0]
    if not (present and allowed):
        what = "is not allowed to this user" if present else "is not there"
        raise ConfigError(
            f"cluster {topology.name!r}: commit_guard_required: a table of the commit guard {what}: "
            "see `clustersql commit-guard`"
        )


def missing(pool: BasePool[Any], session: Session, error: Exception) -> Exception:
    """Return what is raised where the tables could not be asked for: the server's refusal is a `ConfigError`."""
    if isinstance(error, ConfigError) or pool.reading.facts(error, session.raw).lost:
        return error
    name, why = pool.topology.name, first_line(error)
    return ConfigError(
        f"cluster {name!r}: commit_guard_required: the tables of the commit guard cannot be worked with ({why}): "
        "see `clustersql commit-guard`"
    )
