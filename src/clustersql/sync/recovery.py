"""Perform `core.recovery.recover.recover` for threads: after an error, run the statement in hand again where that is
provably safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..connection.guard import is_in_doubt
from ..connection.interruption import passes
from ..connection.recovery import BasePerformer
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..core.steps import Acquire, Execute, Failed, Rollback, Step
from ..pool.session import awaited
from .drive import drive
from .settle import settled

if TYPE_CHECKING:
    from .answers import Answering

Again = Callable[[Session], Any]
"""Runs the statement in hand on a session, which may be another than before."""


def recover_statement(
    connection: Answering, again: Again, traits: Traits | None, phase: Phase, error: BaseException, sends: bool = True
) -> Any:
    """Return the statement's result from another try, or raise what has become of it.  ``sends`` False: only a cursor
    is to be made.
    """
    if connection._state.session is None:  # given back, or forked, while the statement ran
        raise error
    performer = _Performer(connection, again, traits, phase, error, sends)
    outcome = drive(performer.steps(), performer.perform)
    if connection._state.token is not None and is_in_doubt(connection._state, outcome, phase):
        outcome = settled(performer, outcome)
    return performer.ended(outcome)


def recover_commit(connection: Answering, error: Exception) -> None:
    """Return when the COMMIT that raised has happened all the same; else raise what has become of it."""
    if passes(connection, error, phase=Phase.COMMIT):
        raise error
    recover_statement(connection, never, None, Phase.COMMIT, error)


def never(session: Session) -> Any:
    """Stand in for what is not run again: a COMMIT, a statement whose first result is the caller's."""
    raise AssertionError("it is not run again")


class _Performer(BasePerformer):
    """Does what `recover` asks for, with the statement in hand."""

    connection: Answering

    def perform(self, step: Step) -> object:
        match step:
            case Rollback():
                return self._rollback()
            case Acquire(avoid):
                return self._acquire(avoid)
            case Execute(call):
                return self._execute(call)
        self.at_once(step)
        return None

    def _acquire(self, avoid: str | None) -> tuple[str, int]:
        try:
            session = self.connection._acquire(self.left, avoid)
        except Exception as exc:
            self.heed(exc)
            raise
        return session.node, session.generation

    def _rollback(self) -> bool:
        session = self.connection._state.session
        try:
            if session is not None and self.connection._state.may_be_open(session):
                with awaited(session):
                    session.raw.rollback()
        except BaseException as exc:
            if passes(self.connection, exc, phase=Phase.FETCH):
                raise
            return False
        return session is not None

    def _execute(self, call: Again) -> object:
        session = self.connection._state.session
        assert session is not None
        try:
            with awaited(session):
                return call(session)
        except BaseException as exc:
            if passes(self.connection, exc, self.traits, self.phase):
                raise
            self.error = exc
            return Failed(exc, self.situation(exc))
