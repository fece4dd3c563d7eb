"""What an error means: the vocabulary between the drivers, which see errors, and the core, which decides.

Rules
-----
* An adapter turns an exception into `Facts`; only those reach the core.
* A fault says what the *server or the connection* did, never what should follow: that is `core.recovery.verdict`.
* When in doubt the fault is the one that promises least: `LOST` rather than `REFUSED`, `STATEMENT` rather than
  `ROLLED_BACK`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What happened, as far as the error proves it."""

    STATEMENT = "statement"
    """The statement's own: syntax, constraint, cancelled, lock timeout.  It is the caller's; no node is blamed."""
    LOST = "lost"
    """The connection is gone, or was never made.  Whether the statement ran is not known, unless `Facts.not_sent`."""
    ROLLED_BACK = "rolled back"
    """The server says that it rolled the whole transaction back: deadlock, serialization, certification."""
    READ_ONLY = "read-only"
    """The node refused a write because it is read-only (a replica, demoted): the statement did not happen."""
    NOT_READY = "not ready"
    """The node refuses work for now: starting, shutting down, not in the Primary component.  It did not happen."""
    OVERLOADED = "overloaded"
    """The node is short of connections, memory or disk: push back, do not call it dead."""
    MISCONFIGURED = "misconfigured"
    """Wrong password, database or privilege at connect: only a person can mend it."""
    AMBIGUOUS = "ambiguous"
    """The server itself does not know the outcome (40003, 08007, 1180 at COMMIT)."""
    STALE_PLAN = "stale plan"
    """What was prepared is older than the schema (a migration), so the server refused to execute it: prepared anew it
    is answered."""
    STALE_TYPES = "stale types"
    """The statement has happened, but what the driver keeps of the types is older than the schema, so that it could not
    read the answer."""
    FOREIGN = "foreign"
    """No error of the driver's: something else broke into its call (a signal handler, a codec, a cancellation).  It is
    the caller's, as it is; no node is blamed and nothing is run again because of it.  How far the call had come is not
    known."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an adapter read from one exception."""

    fault: Fault
    """What the error proves."""
    lost: bool = False
    """The connection cannot be used any more, whatever the fault says."""
    not_sent: bool = False
    """It is proven that nothing of the statement reached the server."""
    undone_at_commit: bool = False
    """A test proves that this code, as the answer to COMMIT, means "did not happen"."""
    sqlstate: str | None = None
    """The SQLSTATE, where the error has one."""
    errno: int | None = None
    """The number of the server's or the client library's error, where it has one."""
    unheard: bool = False
    """The server had ended the session before it read what was sent: the latest message did nothing."""
