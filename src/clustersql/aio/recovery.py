"""Perform `core.procedures.recover` for asyncio: after an error, run the statement in hand again where that is provably safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..awaited import awaited
from ..core.procedures import Lost, recover
from ..core.shelf import Session
from ..core.statements import Traits
from ..core.steps import Acquire, Discard, Execute, Failed, Rollback, Step, Tell
from ..core.verdict import Phase
from ..outcome import fail
from .drive import drive

if TYPE_CHECKING:
    from .connection import Connection

Again = Callable[[Session], Awaitable[Any]]
"""Runs the statement in hand on a session, which may be another than before."""


async def recover_statement(
    connection: Connection, again: Again, traits: Traits | None, phase: Phase, error: Exception
) -> Any:
    """Return the statement's result from another try, or raise what has become of it."""
    session = connection._state.session
    if session is None:  # given back while the statement ran
        raise error
    pool = connection._pool
    situation = connection._state.situation(error, phase, traits)
    performer = _Performer(connection, again, traits, phase, error)
    settings = pool.topology.settings
    steps = recover(
        error, situation, session.node, session.generation, settings.retry_limit, pool.topology.budget.spend
    )
    outcome = await drive(steps, performer.perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, phase, situation)
    serving = connection._state.session
    if serving is not None:
        pool.topology.recovered(serving.node)
        serving.count += 1
    return outcome


async def recover_commit(connection: Connection, error: Exception) -> None:
    """Return when the COMMIT that raised has happened all the same; else raise what has become of it."""
    session = connection._state.session
    if session is None:
        raise error
    situation = connection._state.situation(error, Phase.COMMIT, None)
    steps = recover(error, situation, session.node, session.generation, 0, lambda: False)
    outcome = await drive(steps, _Performer(connection, _never, None, Phase.COMMIT, error).perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, Phase.COMMIT, situation)


async def _never(session: Session) -> Any:
    raise AssertionError("a COMMIT is not run again")


class _Performer:
    """Does what `recover` asks for, with the statement in hand."""

    def __init__(
        self, connection: Connection, again: Again, traits: Traits | None, phase: Phase, error: BaseException
    ) -> None:
        self.connection = connection
        self.again = again
        self.traits = traits
        self.phase = phase
        self.deadline = monotonic() + connection._timeout()
        self.error = error

    async def perform(self, step: Step) -> object:
        match step:
            case Tell(seen):
                self._tell(seen)
                return None
            case Discard():
                self.connection._drop()
                return None
            case Rollback():
                return await self._rollback()
            case Acquire(avoid):
                session = await self.connection._acquire(max(0.0, self.deadline - monotonic()), avoid)
                return session.node, session.generation
            case Execute():
                return await self._execute()
        raise AssertionError(step)

    def _tell(self, seen: Any) -> None:
        session = self.connection._state.session
        if session is not None:
            self.connection._pool.blame(session, seen, self.error)

    async def _rollback(self) -> bool:
        session = self.connection._state.session
        if session is None:
            return False
        try:
            if not session.autocommit or self.connection._state.explicit:
                with awaited(session):
                    await self.connection._pool.driver.rollback(session.raw)
        except Exception:
            return False
        except BaseException:  # cancelled: the answer is on its way still
            self.connection._pool.interrupted(session)
            raise
        return True

    async def _execute(self) -> object:
        session = self.connection._state.session
        assert session is not None
        try:
            with awaited(session):
                return await self.again(session)
        except Exception as exc:
            self.error = exc
            return Failed(exc, self.connection._state.situation(exc, self.phase, self.traits))
        except BaseException:  # cancelled: the answer is on its way still
            self.connection._pool.interrupted(session)
            raise
