"""Perform `core.recovery.recover.recover` for asyncio: after an error, run the statement in hand again where that is
provably safe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..connection.guard import is_in_doubt
from ..connection.recovery import BasePerformer
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..core.steps import Acquire, Execute, Failed, Rollback, Step
from ..pool.session import awaited
from .cancellation import cancellable
from .drive import drive
from .settle import settled

if TYPE_CHECKING:
    from .answers import Answering

Again = Callable[[Session], Awaitable[Any]]
"""Runs the statement in hand on a session, which may be another than before."""


async def recover_statement(
    connection: Answering, again: Again, traits: Traits | None, phase: Phase, error: BaseException, sends: bool = True
) -> Any:
    """Return the statement's result from another try, or raise what has become of it.  ``sends`` False: nothing that
    could have an effect is sent.
    """
    if connection._state.session is None:  # given back while the statement ran
        raise error
    performer = _Performer(connection, again, traits, phase, error, sends)
    outcome = await drive(performer.steps(), performer.perform)
    if connection._state.token is not None and is_in_doubt(connection._state, outcome, phase):
        outcome = await settled(performer, outcome)
    return performer.ended(outcome)


async def recover_commit(connection: Answering, error: BaseException) -> None:
    """Return when the COMMIT that raised has happened all the same; else raise what has become of it."""
    await recover_statement(connection, never, None, Phase.COMMIT, error)


async def never(session: Session) -> Any:
    """Stand in for what is not run again: a COMMIT, a statement whose first result is the caller's."""
    raise AssertionError("it is not run again")


class _Performer(BasePerformer):
    """Does what `recover` asks for, with the statement in hand."""

    connection: Answering

    async def perform(self, step: Step) -> object:
        match step:
            case Rollback():
                return await self._rollback()
            case Acquire(avoid):
                return await self._acquire(avoid)
            case Execute(call):
                return await self._execute(call)
        self.at_once(step)
        return None

    async def _acquire(self, avoid: str | None) -> tuple[str, int]:
        try:
            session = await self.connection._acquire(self.left, avoid)
        except Exception as exc:
            self.heed(exc)
            raise
        return session.node, session.generation

    async def _rollback(self) -> bool:
        session = self.connection._state.session
        if session is None:
            return False
        try:
            if self.connection._state.may_be_open(session):
                with awaited(session):
                    await cancellable(self.connection._pool.driver.rollback(session.raw))
        except BaseException as exc:
            self.connection._require_own(exc, phase=Phase.FETCH)
            return False
        return True

    async def _execute(self, call: Again) -> object:
        session = self.connection._state.session
        assert session is not None
        try:
            with awaited(session):
                return await call(session)
        except BaseException as exc:
            self.connection._require_own(exc, self.traits, self.phase)
            self.error = exc
            return Failed(exc, self.situation(exc))
