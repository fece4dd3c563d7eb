"""What an answer of the driver means that did not come as it should: an error, a cancellation, a result that was left
unread.
"""

from __future__ import annotations

from asyncio import CancelledError
from time import monotonic
from typing import NoReturn

from ..connection.hooks import call_hooks
from ..connection.interruption import ANSWERED, COMMITTED, cancelled, is_foreign, passes
from ..connection.statements import LEFT
from ..connection.work import Callbacks
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..pool.session import awaited
from .cancellation import outlived, requests, swallowed
from .recovery import never, recover_statement
from .serving import Serving


class Answering(Serving):
    """How each call on the session ends."""

    __slots__ = ()

    def _require_own(self, error: BaseException, traits: Traits | None = None, phase: Phase = Phase.EXECUTE) -> None:
        """Return when ``error``, which a call on the session raised, is the driver's own; else raise what passes to the
        caller.

        ``traits`` None: the statement leaves nothing behind; still, in autocommit mode, it may have written.
        """
        session = self._state.session
        if session is None:  # given back meanwhile
            raise error
        if isinstance(error, CancelledError):
            cancelled(self, session, error, traits, phase)
            # Before the driver asks the server to cancel, which would end a wait for a synchronous standby.
            if phase is Phase.COMMIT and self._pool.driver.dialect.cancel:
                self._pool.driver.terminate(session.raw)
            raise error
        if isinstance(error, Exception):
            cancellation = swallowed(self._state, session, error)
            if cancellation is None and (
                traits is not None or phase is Phase.COMMIT
            ):  # it was counted when this call began
                cancellation = outlived(self._state.cancelling)
            if cancellation is not None:
                cancelled(self, session, cancellation, traits, phase)
                raise cancellation from error
        if passes(self, error, traits, phase):
            raise error

    def _require_wanted(self, traits: Traits | None) -> None:
        """Return, unless a statement has returned though its task was cancelled meanwhile: then raise that.

        What it has done stands, but in a transaction nothing follows: that is lost, as with any cancellation.
        """
        state = self._state
        cancellation = outlived(state.cancelling)
        if cancellation is None or state.session is None:
            return
        if traits is not None and traits.commits:
            self._end_committed(state.session, cancellation, state.after(traits))
        cancelled(self, state.session, cancellation, traits, words=ANSWERED)
        raise cancellation

    def _end_committed(self, session: Session, cancellation: CancelledError, hooks: Callbacks) -> NoReturn:
        """The driver kept ``cancellation`` back during a COMMIT, which has happened: call what follows it,
        and raise.
        """
        cancellation.add_note(COMMITTED)
        self._state.committed = session.tainted = True
        try:
            if hooks:
                call_hooks(hooks)
        finally:
            raise cancellation

    async def _read_on(self) -> None:
        """Read the results that the latest statement has left; an error among them is raised as that
        statement's own.
        """
        state = self._state
        session, cursor, state.answered = state.session, state.answered, None
        if session is None:
            return
        state.cancelling = requests(self._pool.loop)
        try:
            with awaited(session):
                await self._pool.driver.read_on(session.raw, cursor)
        except BaseException as exc:
            self._require_own(exc, LEFT)
            await recover_statement(self, never, LEFT, Phase.EXECUTE, exc)
        self._require_wanted(LEFT)

    async def _forget_results(self, session: Session) -> None:
        """Read the results that are left before a ROLLBACK; an error of theirs is rolled back too."""
        cursor, self._state.answered = self._state.answered, None
        if cursor is not None:
            try:
                await self._pool.driver.read_on(session.raw, cursor)
            except Exception as exc:  # if it is lost, the ROLLBACK finds that too
                if is_foreign(self, exc):
                    raise

    def _no_sample(self) -> None:
        """An error's latency is none: an instant error must not look fast."""
        session = self._state.session
        if session is not None:
            session.started = session.ended = monotonic()
