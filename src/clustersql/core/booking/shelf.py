"""What the pool's bookkeeping is about: a node's shelf, the sessions on it, the callers who wait, and what is to be
done for them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ..policies.load import Load
from ..policies.named import Policy
from ..view.use import Use
from ..view.view import View, Want


class Underway:
    """Has a connection that is on its way to a caller who has not said who he is."""

    def inherit(self) -> list[Any]:
        """Return the driver's cursors on it: none."""
        return []


UNDERWAY = Underway()


class Shelf(Load):
    """One node, as the pool sees it: the connections that are idle, and how many are open or being dialled."""

    __slots__ = ("checkouts", "dials", "durations", "ends_at", "generation", "idle", "open", "outside", "retired")

    def __init__(self, name: str, order: int = 0) -> None:
        super().__init__(name, order)
        self.generation = 0
        self.idle: list[Session] = []
        self.open: set[Session] = set()
        # Not the pool's to count, but watched: a hung one is woken, a forked child keeps off.
        self.outside: set[Session] = set()
        self.dials = 0
        self.checkouts = 0
        self.retired = False  # removed, or being drained: what is given back here is closed
        self.ends_at: float | None = None
        # The node's histograms (`core.booking.durations`); None: nobody has asked for them.
        self.durations: Any = None

    def has_idle(self, use: Use | None) -> bool:
        """Whether a connection of that use is idle."""
        return any(session.use is use for session in self.idle)

    def lend(self, want: Want, holder: Any = UNDERWAY) -> Session | None:
        """Give ``holder`` the most recently used connection of the wanted use, one that is in the wanted mode already
        where there is one.
        """
        idle, at = self.idle, -1
        session = idle[at]
        if (
            session.autocommit is not want.autocommit
            or session.read_only is not want.read_only
            or session.use is not want.use
        ):
            fitting = _fitting(idle, want)
            if fitting is None:
                return None
            at = fitting
            session = idle[at]
        owing = self.owing
        if owing is None or owing.ended >= owing.started:  # `note_oldest` is exact, but comes by only once a second
            self.owing = session
        # No call from here on: what the handler of a signal raises comes before all of this, or after it.
        del idle[at]
        session.holder = holder
        self.in_flight += 1
        self.checkouts += 1
        return session


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a session was chosen, where there is more to say than the view."""

    view: View
    """What was believed of the nodes then."""
    waited: float = 0.0
    """For how many seconds its holder waited for it."""
    want: Want | None = None
    """What was asked of the pool in place of the holder's own want; None: that."""
    causal: str = ""
    """How it was proved to have what must have been seen: "known", "waited" or "primary"; "": nobody asked."""

    @classmethod
    def of(cls, left: Any) -> Chosen:
        """Return what a checkout has left: the view alone, since a checkout must not pay for an object; with the
        seconds that its holder waited, where it did; or all of it.
        """
        if isinstance(left, tuple):
            return cls(*left)
        return left if isinstance(left, cls) else cls(left)


class Session:
    """One open connection of the driver, with what the pool knows of it.  Times are monotonic, in seconds.

    Its holder writes `started` and `ended` without a lock.  ``started > ended``: an answer is awaited.  ``started ==
    ended``: the latest answer was an error, whose time is no sample.
    """

    __slots__ = (
        "__weakref__",
        "autocommit",
        "birth",
        "chosen",
        "count",
        "deadline",
        "ended",
        "expires",
        "generation",
        "holder",
        "identity",
        "idle_since",
        "jitter",
        "lent_at",
        "listening",
        "looked_at",
        "opened",
        "outside",
        "patience",
        "raw",
        "read_only",
        "server",
        "shared",
        "shelf",
        "started",
        "statement",
        "statements",
        "tainted",
        "timed_out",
        "use",
    )

    def __init__(
        self, raw: Any, shelf: Shelf, generation: int, opened: float = 0.0, expires: float = float("inf")
    ) -> None:
        self.raw = raw
        # The node that it leads to, and the node's generation when it was dialled.
        self.shelf = shelf
        self.generation = generation
        # Which server has it, as `core.view.node.Report.identity`; "": not told.
        self.identity = ""
        # When it was opened, when it is too old, when it was given back last, and when it was checked out; 0.0: never.
        self.opened = opened
        self.expires = expires
        self.idle_since = opened
        self.lent_at = 0.0
        # How it was chosen at its checkout, see `Chosen.of`.
        self.chosen: Any = None
        # What it was made with; None: nothing but what is the node's.
        self.use: Use | None = None
        # Scales its times, or all that were opened in one burst would be closed in one.
        self.jitter = 1.0
        # Its socket was looked at when it came free, or it was just dialled: who is given it at once need not look
        # again.
        self.looked_at = True
        # Its mode as we set it last; None: not set by us yet.
        self.autocommit: bool | None = None
        self.read_only: bool | None = None
        # Which server it is of (`server_of`), as that told at the dial; "": it did not.
        self.server = ""
        # When the latest statement was sent, and answered.
        self.started = 0.0
        self.ended = 0.0
        # The latest statement since its checkout, as it was given; None: none yet.
        self.statement: Any = None
        # Which session of which server it is (`Birth`); None: not asked yet, for only the commit guard must know.
        self.birth: Any = None
        # The statements of the open transaction, and those before it.
        self.count = 0
        self.statements = 0
        # Nothing makes it clean again: it is closed at its return.
        self.tainted = False
        # It is not the pool's to count.
        self.outside = False
        # A pooler in between gives the server's session to other clients too, after each transaction.
        self.shared = False
        # What bounds its holder's waiting: a time, and seconds for each statement; 0.0: nothing does.
        self.deadline = 0.0
        self.patience = 0.0
        # It was shut down because that time was over.
        self.timed_out = False
        # Its holder waits for notifications, which is no answer that the server owes.
        self.listening = False
        # What is known of the handle that has it; None: it is the pool's, so that giving it back once more does
        # nothing.
        self.holder: Any = None

    @property
    def node(self) -> str:
        """The node's name."""
        return self.shelf.name

    def is_current(self, now: float) -> bool:
        """Tell whether it may be handed out still: its node is as it was at the dial, and it is not too old."""
        shelf = self.shelf
        return self.generation == shelf.generation and now < self.expires and not shelf.retired

    def __repr__(self) -> str:
        return f"<Session {self.node} generation={self.generation}{' tainted' if self.tainted else ''}>"


class Waiter:
    """A caller in the queue.  ``events`` is what happened for it; ``signal`` belongs to the performer, who waits on
    it.
    """

    __slots__ = (
        "avoid",
        "blocked_on",
        "events",
        "given",
        "holder",
        "names",
        "outside",
        "passed_over",
        "plain",
        "policy",
        "raised",
        "refused",
        "signal",
        "since",
        "urgent",
        "want",
    )

    def __init__(
        self,
        want: Want,
        avoid: str | None = None,
        signal: Any = None,
        outside: bool = False,
        holder: Any = UNDERWAY,
    ) -> None:
        self.want = want
        self.holder = holder  # gets the connection
        self.given: Session | None = None  # which it was; the event that says so may have been broken off
        self.plain = False  # see `core.booking.plain`
        self.avoid = avoid
        self.signal = signal
        self.outside = (
            outside  # wants a connection of its own, which the pool does not keep: only the dials per node are counted
        )
        self.names: tuple[str, ...] = ()
        self.policy: Policy | None = None  # its turn, once it is in the queue
        self.events: deque[Any] = deque()
        self.passed_over = 0
        self.since = 0.0  # when it entered the queue, in monotonic seconds; 0.0: nobody has said
        self.urgent = avoid is not None  # something failed for it, or no node had the role that it wants
        # The nodes that do not take what this caller's own arguments ask for.
        self.refused: frozenset[str] = frozenset()
        # What a function of the program's has raised, by the node, and which: no news about that.
        self.raised: dict[str, tuple[str, BaseException]] = {}
        self.blocked_on: set[str] = set()  # nodes whose dials are at their limit, and "" for the whole pool

    def general(self) -> None:
        """Do nothing: it is not plain."""


@dataclass(slots=True)
class Actions:
    """What the caller does after releasing the lock."""

    wake: list[Waiter] = field(default_factory=list)
    """The waiters to wake."""
    close: list[Session] = field(default_factory=list)
    """The connections to close."""
    dial: Shelf | None = None
    """The node to begin the dial to that the caller asked for."""
    spare: int | None = None
    """In place of that dial the connection that is kept for probes may be used, and this is its generation."""


def _fitting(idle: list[Session], want: Want) -> int | None:
    """Return where the latest connection in the wanted mode is, else the latest of the wanted use; None:
    there is none.
    """
    latest = None
    for i in range(len(idle) - 1, -1, -1):
        session = idle[i]
        if session.use is want.use:
            if session.autocommit is want.autocommit and session.read_only is want.read_only:
                return i
            latest = i if latest is None else latest
    return latest
