"""`Database.once`: a key that is written first in the transaction, so that it is there if, and only if, the work is.
Nothing here waits.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyCommitted, ConfigError
from .guard import database_of, guard_of, token_of

if TYPE_CHECKING:
    from ..config.options import Options
    from ..core.booking.shelf import Session
    from ..nodes.topology import Topology
    from .state import State

KEEP = 7 * 86_400.0
"""Seconds for which a key of ``once`` is kept, if nothing is said."""
LONGEST_KEY = 200
"""Characters of a key: four bytes each fit into an index of every database here."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A key of ``once``, and for how many seconds it is kept."""

    key: str
    keep: float


def claimed(topology: Topology, key: object, options: Options) -> Claim:
    """Return the claim that a caller of ``once`` makes.  Raises `ConfigError` for what is no key, and where it cannot
    be kept.
    """
    if topology.guard is None:
        raise ConfigError(f"once(): cluster {topology.name!r} has no commit guard: set commit_guard=True")
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or "\0" in key:
        raise ConfigError(f"once(): the key must be a text of 1 to {LONGEST_KEY} characters, not {reprlib.repr(key)}")
    if options.read_only:
        raise ConfigError("once(): a key is written, and these options are read_only")
    return Claim(key, KEEP if options.keep is None else options.keep)


def statements_of(state: State, session: Session, claim: Claim) -> tuple[str, ...]:
    """Return what writes the key; the last one tells whether it is ours."""
    guard = guard_of(state)
    keys = guard.keys(database_of(state.topology, session.node))
    return guard.sql.claim(keys, claim.key, token_of(state, guard).value, claim.keep)


def require_new(claim: Claim, rows: Any) -> None:
    """Raise `AlreadyCommitted` where the key is another transaction's."""
    ours, at = rows[0]
    if not ours:
        raise AlreadyCommitted(f"the work of the key {claim.key!r} was committed before, at {at}", claim.key, at)
