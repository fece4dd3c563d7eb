"""What a session carries of a handle's statements: settings, locks, what is unread; and so, whether the work may move
on.  No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config.pooler import one_by_one, refused
from ..core.booking.mode import restore
from ..core.statements.ledger import Ledger
from ..core.statements.left import EVERYTHING, LAST, NOTHING, Left
from ..core.statements.pins import Pin
from ..core.statements.traits import kept, several
from ..errors import ClusterError, TransactionLost
from .binding import Binding

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from ..core.statements.traits import Traits
    from ..core.steps import Steps
    from .borrowed import Borrowed

MOST_PINS = 16
"""Pins that are remembered: a loop must not fill the memory with what says the same."""


class Carried(Binding):
    """What was left in the session since checkout.

    What leaves nothing may go on elsewhere; what can be told from the text is set again there; anything else keeps the
    handle where it is.
    """

    pins: tuple[Pin, ...]
    """What left state in the session that no other one can be given, and so keeps the connection here."""
    ledger: Ledger
    """The settings that statements have made: a new session is given them."""
    unclean: bool
    """Something was set, so that the session is reset at its return."""
    borrowed: Borrowed | None
    """What was changed of the driver's own object: it is put back at the return."""
    harmless: set[Any]
    """The texts that need no note: they leave nothing behind, and where only reads are proven they only read."""
    answered: Any
    """The driver's cursor whose further results may be unread."""

    behind: Left | None = None
    """What a lost session alone could tell, and the present one cannot yet (LAST_INSERT_ID); None: nothing."""
    unsure = False
    """Something may have been generated since the session before was lost; the server knows."""

    __slots__ = ("answered", "borrowed", "harmless", "ledger", "pins", "unclean")

    def hold(self, session: Session) -> None:
        """Work on ``session`` from now on."""
        self.session = session
        session.holder = self
        session.deadline, session.patience = self.deadline, self.patience
        if self.borrowed is not None:
            self.borrowed.carry(session.raw)

    def lose(self) -> Session | None:
        """The session is gone: return it.

        Until its statements have left on the next one what may be asked for, each must be noted.
        """
        session, self.session, self.answered = self.session, None, None
        if session is not None:
            self.moves += (session.node,)
        self.behind, self.unsure = EVERYTHING, False
        self.harmless = self._harmless()
        return session

    def _harmless(self) -> set[Any]:
        """Return the statements of which nothing must be noted: where something is behind, those that neither ask for
        it nor renew it.
        """
        if self.behind is not None and self.behind & LAST:
            return set()
        proven = self.want.read_only or self.behind is not None or self.topology.guard is not None
        return self.notes.proven if proven else self.notes.plain

    @property
    def movable(self) -> bool:
        """Whether the work may go on elsewhere: it is not pinned, and leaves nothing behind."""
        return self.want.movable and self.options.move and not self.pins

    def require_revivable(self) -> None:
        """Raise what keeps a handle without a session from getting a new one."""
        if self.given_back:
            raise self.returned()
        if self.broken is not None:
            raise self.broken
        if not self.movable:
            why = "; ".join(map(str, self.pins)) or "pinned"
            raise self.error(TransactionLost, f"the session was lost with its state ({why}); take a new connection")

    def not_restored(self, why: Exception) -> ClusterError:
        """Return the error of a session whose settings no other one could be given."""
        return self.error(TransactionLost, f"the session was lost with its state ({why}); take a new connection")

    def require_answerable(self, traits: Traits) -> None:
        """Raise for a statement that asks for what an earlier one has left in a session that is gone."""
        if self.behind is not None and traits.asks & self.behind:
            why = "the session was lost, and with it what this statement asks for, which an earlier one has left there"
            raise self.error(TransactionLost, f"{why}; take a new connection")

    def to_forget(self, session: Session) -> tuple[str, ...]:
        """Return the statements by which ``session`` forgets what was generated in it for others; none where it has
        generated nothing.
        """
        if self.behind is None or self.want.read_only or session.shared:
            return ()
        used = session.statements or session.use is not None or self.topology.settings.on_connect is not None
        return self.driver.dialect.forget_generated if used else ()

    def restoring(self, session: Session) -> Steps[None]:
        """Return what gives ``session`` the settings of the one that is gone, has it prove them, and has it forget what
        was generated in it for others.  Raises the driver's errors, or `Unrestorable`.
        """
        return restore(session, self.ledger, self.to_forget(session))

    def answerable(self, generated: bool) -> None:
        """Whether something was generated on this session since the one before was lost."""
        self.unsure = False
        if generated:
            self._renewed(Left.GENERATED)
        else:
            self.behind = (self.behind or NOTHING) | Left.GENERATED
            self.harmless = self._harmless()

    def _left(self, renews: Left) -> None:
        """A statement has succeeded after a move, and has left this; for what is generated the server may have to be
        asked.
        """
        if renews & Left.GENERATED and self.driver.dialect.generated:
            self.unsure, renews = True, renews & ~Left.GENERATED
        if self.behind is not None and self.behind & renews:
            self._renewed(renews)

    def _renewed(self, left: Left) -> None:
        """What is asked for of this kind is told by this session from now on."""
        self.behind = ((self.behind or NOTHING) & ~left) or None
        self.harmless = self._harmless()

    def _require_nothing_left(self, operation: Any, session: Session) -> None:
        left = kept(operation, self.notes.rules)
        if left:
            raise refused(session.node, left)
        if session.read_only and several(operation, self.notes.rules):
            raise one_by_one(session.node)

    def pin(self, pin: Pin) -> None:
        """From now on ``pin`` keeps the connection where it is, until it is given back."""
        if pin not in self.pins and len(self.pins) < MOST_PINS:
            self.pins += (pin,)

    def _pinned_by(self, operation: Any, traits: Traits) -> None:
        session, pin = self.session, self.notes.pin(operation)
        self.pin(pin)
        if session is None:
            return
        words = pin.what.lower()
        session.listening |= words.startswith("listen")
        session.tainted |= self.notes.outlasts(operation)
        # It may allow writes, and then nothing is proven to only read any more.
        if not traits.read and ("read" in words or "query_only" in words):
            session.read_only = None

    def failed(self) -> None:
        """A statement of the open transaction has failed."""
        self.ledger = self.ledger.broken()
