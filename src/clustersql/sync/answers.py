"""What an answer of the driver means that did not come as it should: an error, a result that was left unread."""

from __future__ import annotations

from ..connection.interruption import is_foreign, passes
from ..connection.statements import LEFT
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from .recovery import never, recover_statement
from .serving import Serving


class Answering(Serving):
    """How each call on the session ends."""

    __slots__ = ()

    def _read_on(self) -> None:
        """Read the results that the latest statement has left; an error among them is raised as that
        statement's own.
        """
        state = self._state
        session, cursor, state.answered = state.session, state.answered, None
        if session is None:
            return
        try:
            with awaited(session):
                self._pool.driver.read_on(session.raw, cursor)
        except BaseException as exc:
            if passes(self, exc, LEFT):
                raise
            recover_statement(self, never, LEFT, Phase.EXECUTE, exc)

    def _forget_results(self, session: Session) -> None:
        """Read the results that are left before a ROLLBACK; an error of theirs is rolled back too."""
        cursor, self._state.answered = self._state.answered, None
        if cursor is not None:
            try:
                self._pool.driver.read_on(session.raw, cursor)
            except Exception as exc:  # if it is lost, the ROLLBACK finds that too
                if is_foreign(self, exc):
                    raise
