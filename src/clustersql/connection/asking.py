"""The question what became of a COMMIT whose answer was lost: on what it is put, and the half of its performing that is
the same in both APIs.  Nothing here waits.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ..core.booking.shelf import UNDERWAY, Session
from ..core.faults import Facts, Fault
from ..core.steps import Discard, Failed, Look, Picture, Step
from ..core.view.view import Want
from .guard import fence_of
from .recovery import note_lost

if TYPE_CHECKING:
    from ..core.guard.resolve import Birth, Fence
    from ..pool.base import BasePool
    from .base import BaseConnection


def doubt(connection: BaseConnection) -> tuple[Want, Fence, Birth | None]:
    """Let the session of a COMMIT in doubt go, and return what is to be asked of it: on what sort of connection, with
    which statements, and on what session it was sent.
    """
    state = connection._state
    assert state.token is not None
    want, fence = fence_of(state, state.token)
    birth = state.session.birth if state.session is not None else None
    connection._drop()  # its socket is closed, so a server that still hears of it ends the transaction by itself
    return want, fence, birth


class BaseAsker:
    """Holds the connection on which it is asked, and does what `resolve` asks for where that waits for nothing."""

    def __init__(self, pool: BasePool[Any], want: Want, deadline: float) -> None:
        """``deadline``: monotonic seconds."""
        self.pool = pool
        self.want = want
        self.deadline = deadline
        self.session: Session | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - monotonic())

    def opened(self, session: Session) -> None:
        """There is a connection; its answers are waited for until the deadline."""
        self.session = session
        session.holder, session.deadline = UNDERWAY, self.deadline
        self.pool.wake_by(self.deadline)

    def at_once(self, step: Step) -> object:
        """Perform a step that waits for nothing."""
        match step:
            case Look():
                return Picture(monotonic(), ())
            case Discard():
                self.let_go()
                return None
        raise AssertionError(step)

    def unopened(self, error: Exception) -> Failed:
        """Return what is answered where no connection could be had."""
        return Failed(error, Facts(Fault.LOST, lost=True))

    def unanswered(self, session: Session, error: Exception) -> Failed:
        """Return what is answered where the question has failed.  Raises what is not the driver's."""
        facts = self.pool.reading.facts(error, session.raw)
        if facts.fault is Fault.FOREIGN:
            raise error
        note_lost(self.pool, session, error)
        return Failed(error, facts)

    def let_go(self) -> None:
        """Close the connection."""
        session, self.session = self.session, None
        if session is not None:
            self.pool.give_back(session, keep=False)
