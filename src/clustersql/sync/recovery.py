"""Perform `core.procedures.recover` for threads: after an error, run the statement in hand again where that is provably safe."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..awaited import awaited
from ..core.procedures import Lost, recover
from ..core.statements import Traits
from ..core.steps import Acquire, Discard, Execute, Failed, Rollback, Step, Tell
from ..core.verdict import Phase, Situation
from ..outcome import fail
from .drive import drive

if TYPE_CHECKING:
    from .connection import Connection
    from .cursor import Cursor

Call = tuple[str, Any, Any, dict[str, Any]]


def recover_statement(
    connection: Connection, cursor: Cursor, call: Call | None, traits: Traits | None, phase: Phase, error: Exception
) -> Any:
    """Return the statement's result from another try, or raise what has become of it.  ``call`` None: only a cursor is to be made."""
    session = connection._state.session
    if session is None:  # given back, or forked, while the statement ran
        raise error
    pool = connection._pool
    performer = _Performer(connection, cursor, call, traits, phase, error)
    situation = performer.situation(error)
    settings = pool.topology.settings
    steps = recover(
        error, situation, session.node, session.generation, settings.retry_limit, pool.topology.budget.spend
    )
    outcome = drive(steps, performer.perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, phase, situation)
    serving = connection._state.session
    if serving is not None:
        pool.topology.recovered(serving.node)
        serving.count += call is not None
    return outcome


def recover_cursor(connection: Connection, cursor: Cursor, error: Exception) -> None:
    """Make the driver's cursor on another session where that is safe, or raise what has become of the transaction."""
    recover_statement(connection, cursor, None, None, Phase.EXECUTE, error)


def recover_commit(connection: Connection, error: Exception) -> None:
    """Return when the COMMIT that raised has happened all the same; else raise what has become of it."""
    session = connection._state.session
    if session is None:
        raise error
    situation = connection._state.situation(error, Phase.COMMIT, None)
    steps = recover(error, situation, session.node, session.generation, 0, lambda: False)
    outcome = drive(steps, _Performer(connection, None, None, None, Phase.COMMIT, error).perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, Phase.COMMIT, situation)


class _Performer:
    """Does what `recover` asks for, with the statement in hand."""

    def __init__(
        self,
        connection: Connection,
        cursor: Cursor | None,
        call: Call | None,
        traits: Traits | None,
        phase: Phase,
        error: BaseException,
    ) -> None:
        self.connection = connection
        self.cursor = cursor
        self.call = call
        self.traits = traits
        self.phase = phase
        self.deadline = monotonic() + connection._timeout()
        self.error = error

    def situation(self, error: BaseException) -> Situation:
        """Return what the verdict depends on.  A driver that makes a cursor sends nothing that could have an effect."""
        found = self.connection._state.situation(error, self.phase, self.traits)
        return found if self.call is not None or self.phase is Phase.COMMIT else replace(found, proven=True)

    def perform(self, step: Step) -> object:
        match step:
            case Tell(seen):
                self._tell(seen)
                return None
            case Discard():
                self.connection._drop()
                return None
            case Rollback():
                return self._rollback()
            case Acquire(avoid):
                return self._acquire(avoid)
            case Execute():
                return self._execute()
        raise AssertionError(step)

    def _tell(self, seen: Any) -> None:
        session = self.connection._state.session
        if session is not None:
            self.connection._pool.blame(session, seen, self.error)

    def _rollback(self) -> bool:
        session = self.connection._state.session
        try:
            if session is not None and not (session.autocommit and not self.connection._state.explicit):
                with awaited(session):
                    session.raw.rollback()
        except Exception:
            return False
        return session is not None

    def _acquire(self, avoid: str | None) -> tuple[str, int]:
        connection = self.connection
        session = connection._acquire(max(0.0, self.deadline - monotonic()), avoid)
        return session.node, session.generation

    def _execute(self) -> object:
        connection, cursor, call = self.connection, self.cursor, self.call
        assert cursor is not None
        session = connection._state.session
        assert session is not None
        try:
            if cursor._session is not session:
                cursor._bind()
            with awaited(session):
                result = cursor._raw if call is None else cursor._call(*call)
        except Exception as exc:
            self.error = exc
            return Failed(exc, self.situation(exc))
        return cursor if result is cursor._raw else result
