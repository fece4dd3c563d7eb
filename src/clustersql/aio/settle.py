"""The commit guard for asyncio: the question after a lost answer, and the deletion of what was acknowledged."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.guard import broken_off, ended, fence_of
from ..connection.interruption import CANCELLED
from ..connection.recovery import BasePerformer, note_lost
from ..connection.settling import terms
from ..core.booking.shelf import UNDERWAY, Session
from ..core.faults import Facts, Fault
from ..core.guard.resolve import Fence, Settled, resolve
from ..core.recovery.recover import Lost
from ..core.steps import Acquire, Discard, Failed, Look, Pause, Picture, Script, Step
from ..core.view.view import Want
from ..nodes.dial import address_of
from ..pool.session import awaited
from .cancellation import cancellable
from .dial import Attempt, connect
from .drive import drive

if TYPE_CHECKING:
    from ..core.guard.commit_id import CommitId
    from ..core.guard.resolve import Birth
    from ..nodes.guard import CommitGuard
    from .pool import Pool


async def settled(performer: BasePerformer, lost: Lost) -> Any:
    """Return how a COMMIT has ended that was in doubt: a `Lost`, or None where it has happened."""
    connection: Any = performer.connection
    state = connection._state
    token, session = state.token, state.session
    want, fence = fence_of(state, token)
    birth = session.birth if session is not None else None
    connection._drop()  # its socket is closed, so a server that still hears of it ends the transaction by itself
    try:
        told = await settle(connection._pool, want, fence, birth, performer.deadline)
    except BaseException as exc:
        broken_off(state, exc, CANCELLED)
        raise
    return ended(state, token, lost, told)


async def settle(
    pool: Pool, want: Want, fence: Fence, old: Birth | None, deadline: float, asked: CommitId | None = None
) -> Settled:
    """Ask until ``deadline`` (monotonic seconds) what became of a COMMIT, on a connection that no pool counts.

    ``old``: the session that it was sent on; ``asked``: the id, where somebody else has it.
    """
    asker = _Asker(pool, want, deadline)
    try:
        return await drive(resolve(fence, old, *terms(pool.topology, asked), deadline), asker.perform)
    finally:
        asker.let_go()


class _Asker:
    """Does what `resolve` asks for."""

    def __init__(self, pool: Pool, want: Want, deadline: float) -> None:
        self._pool = pool
        self._want = want
        self._deadline = deadline
        self._session: Session | None = None

    async def perform(self, step: Step) -> object:
        match step:
            case Look():
                return Picture(monotonic(), ())
            case Acquire():
                return await self._open()
            case Script(statements):
                return await self._ask(statements)
            case Discard():
                self.let_go()
            case Pause(seconds):
                await asyncio.sleep(min(seconds, max(0.0, self._deadline - monotonic())))
            case _:
                raise AssertionError(step)
        return None

    async def _open(self) -> Failed | None:
        left = max(0.0, self._deadline - monotonic())
        try:
            session = await self._pool.open_outside(self._want, left, {}, None)
        except Exception as exc:
            return Failed(exc, Facts(Fault.LOST, lost=True))
        self._session = session
        session.holder, session.deadline = UNDERWAY, self._deadline
        self._pool.wake_by(self._deadline)
        return None

    async def _ask(self, statements: tuple[str, ...]) -> Any:
        session, driver = self._session, self._pool.driver
        assert session is not None
        try:
            with awaited(session):
                return await cancellable(driver.ask(session.raw, statements))
        except Exception as exc:
            facts = driver.facts(exc, session.raw)
            if facts.fault is Fault.FOREIGN:
                raise
            note_lost(self._pool, session, exc)
            return Failed(exc, facts)
        except BaseException:  # with the answer pending
            session.tainted = True
            raise

    def let_go(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            self._pool.give_back(session, keep=False)


def delete(pool: Pool, guard: CommitGuard, node: str) -> None:
    """Delete acknowledged tokens in the background, on a connection of its own: its silence proves nothing about the
    node.
    """
    topology, driver = pool.topology, pool.driver
    named = address_of(topology, node).database
    database = named if isinstance(named, str) else None

    async def work(attempt: Attempt) -> Any:
        answer = await connect(topology, driver, node, entered=attempt.entered)
        try:
            for statements in guard.deletions(database, monotonic()):
                await driver.ask(answer.raw, statements)
        except BaseException:  # nobody else knows of it
            driver.terminate(answer.raw)
            raise
        return answer

    def ended(attempt: Attempt) -> None:
        guard.deleting = False
        pool._attempts.discard(attempt)
        if attempt.result is not None:
            pool._background.close(driver, attempt.result.raw)

    attempt = Attempt(topology, driver, pool._background, node, work, ended, patience=topology.settings.timeout)
    pool._attempts.add(attempt)
    attempt.start()
