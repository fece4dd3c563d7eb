"""Everything that a procedure may ask of the outside.  Values, not calls.

A procedure (`booking.opening`, `booking.mode`, `recovery.recover`, `view.probe`) is a generator that yields these and
is sent the answers; ``sync.drive`` and ``aio.drive`` perform them.  So a failover can be tested by reading what the
generator yields, and both APIs share it.

* A generator must not yield while it is being closed: cleanup is the performer's.
* One generator belongs to one operation; two threads never drive the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """Answered by a `Picture`: the time, and whom to dial in which order."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a caller who looks for a node is told."""

    now: float
    """When it was looked, in monotonic seconds."""
    plan: tuple[str, ...]
    """The names of the nodes that may serve, best first."""
    hopeless: bool = False
    """No node can ever serve this without a person."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Begin to connect to ``node``.  Answered at once: True, begun; False, no room for a further dial of this node now;
    None, of any node.

    When there is room again, an event says so.
    """

    node: str


@dataclass(frozen=True, slots=True)
class Await:
    """Wait at most ``seconds`` for the next event: `Served`, `DialFailed`, `Changed`, or None when nothing happened."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Served:
    """A connection for this caller: its own dial, or one that somebody gave back."""

    session: Any


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A dial of this caller failed."""

    node: str
    error: BaseException
    elsewhere: bool = False
    """Its address leads to several servers, so that another dial may end otherwise."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The cluster looks different now, there is room for a dial again, or the dial of ``node`` served another: look
    once more.
    """

    node: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the node behind ``raw``, a connection kept for probes, what it is.  Answered by its `Report`, or its error is
    thrown.
    """

    raw: Any


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection to ``node``, and ask the node in full what it is.  Answered by a `Probe`, or its error is
    thrown.
    """

    node: str


@dataclass(frozen=True, slots=True)
class Query:
    """Run a statement on ``raw``.  Answered by its rows; or its error is thrown, and the connection is closed: nobody
    else knows of it.
    """

    raw: Any
    statement: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """Close ``raw``; what follows is a dial, with the time of one.  Answered: whether anybody still waits for the
    probe.
    """

    raw: Any


@dataclass(frozen=True, slots=True)
class Tell:
    """Apply an observation to the view."""

    seen: Any


@dataclass(frozen=True, slots=True)
class Discard:
    """Close the session in hand; it is lost or must not be used again."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Roll the session in hand back, so that it can run the statement again.  Answered: True; False: it is lost."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Get another session for the operation, on another node than ``avoid`` where there is one."""

    avoid: str | None


@dataclass(frozen=True, slots=True)
class Execute:
    """Run ``call``, the statement in hand, once more.  Answered by its result, or the exception is returned inside
    `Failed`.
    """

    call: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The statement failed again: the exception and the situation it left."""

    error: BaseException
    situation: Any


@dataclass(frozen=True, slots=True)
class Script:
    """Execute ``statements`` on the session in hand, for ourselves.  Answered by the rows of each."""

    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds, though nothing happens."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SetAutocommit:
    """Have the driver switch the session's autocommit mode."""

    on: bool


@dataclass(frozen=True, slots=True)
class SetReadOnly:
    """Have the driver begin each transaction of the session READ ONLY, or not."""

    on: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Have the driver give the session its first state back.  Answered: whether it could."""


@dataclass(frozen=True, slots=True)
class Autocommit:
    """Ask the driver, on this side, whether the session is in autocommit mode.  Answered by that; None: it
    cannot tell.
    """


@dataclass(frozen=True, slots=True)
class Greet:
    """Call the user's ``on_connect``.  Answered: whether it may have left a transaction open, so that what it has set
    does not hold yet.
    """

    hook: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit what ``on_connect`` has left open."""


@dataclass(frozen=True, slots=True)
class See:
    """Answered by the time, in monotonic seconds, and the view as it is now."""


@dataclass(frozen=True, slots=True)
class Borrow:
    """Check a session out for ``want`` within ``seconds``.  Answered by the session, or the pool's error is thrown."""

    want: Any
    seconds: float
    apart: bool = False
    """It is for a question of ours, not what the caller will have."""


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask on a session that was borrowed, outside of any transaction.  Answered by the rows of each statement; or by
    the error, and the session has been given back then.
    """

    session: Any
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Return:
    """Give a session back that was borrowed: nothing was left in it."""

    session: Any


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask a Patroni at ``place``.  Answered by what it says, as values of JSON."""

    place: Any


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for ``seconds``."""

    seconds: float


Step: TypeAlias = (
    Look
    | Dial
    | Await
    | Ask
    | Connect
    | Query
    | LetGo
    | Tell
    | Discard
    | Rollback
    | Acquire
    | Execute
    | Script
    | Pause
    | SetAutocommit
    | SetReadOnly
    | Reset
    | Autocommit
    | Greet
    | Commit
    | See
    | Borrow
    | Consult
    | Return
    | Fetch
    | Sleep
)
Steps: TypeAlias = Generator[Step, Any, T]
