"""How a COMMIT is guarded: a function of what is known of its transaction.

Rules
-----
1. What has only read, by its text, has nothing to find out, and gets no token; but one whose id was handed out is asked
   for, so it gets one.
2. A transaction that a statement may have committed in part cannot be told by one token, and one whose user or mode was
   changed cannot write it.  But what may have written is never committed without the token of an id that was handed
   out: who settles that would be told "void".  The token is sent first, and its refusal ends the transaction.
3. Folded only where nothing can come between the token and COMMIT: the driver says that a transaction is open, and none
   of its own blocks is.
4. The token and COMMIT are never sent one after the other unasked: a token that was refused would be followed by an
   unguarded COMMIT.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["Case", "Way", "way"]


class Way(Enum):
    """How the token travels."""

    NONE = "no token"
    OWN_TRIP = "a round trip of its own"
    FOLDED = "in one text with COMMIT"


class Case(NamedTuple):
    """What the way depends on.  A tuple, as each COMMIT makes one: a frozen dataclass takes four times as long."""

    active: bool = True
    """The node takes tokens."""
    read_only: bool = False
    """The session is read-only, or may be."""
    changed: bool = False
    """A statement has changed the session's user, or made its transactions read-only."""
    may_commit: bool = False
    """A statement may have committed a part."""
    alone: bool = False
    """There is no transaction: each statement stands alone."""
    writes: bool = True
    """A statement of it may write."""
    exported: bool = False
    """The id was handed out."""
    text: bool = False
    """COMMIT is the caller's own text."""
    open: bool = True
    """The driver says that a transaction is open, or never can say it, as MySQL's."""
    folds: bool = True
    """The driver and the server can take both in one text, and no block of the driver's own is open."""


def way(case: Case) -> Way:
    """Return how the COMMIT is guarded.

    >>> way(Case(folds=False))
    <Way.OWN_TRIP: 'a round trip of its own'>
    """
    if case.read_only or case.alone or not (case.writes or case.exported):
        return Way.NONE
    if not case.active or case.changed or case.may_commit:
        return Way.OWN_TRIP if case.writes and case.exported else Way.NONE
    return Way.FOLDED if case.folds and case.open and not case.text else Way.OWN_TRIP
