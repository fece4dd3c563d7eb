"""The commit guard for asyncio: the question after a lost answer, and the deletion of what was acknowledged."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.asking import BaseAsker, doubt
from ..connection.guard import broken_off, database_of, ended
from ..connection.interruption import CANCELLED
from ..connection.recovery import BasePerformer
from ..connection.settling import terms
from ..core.guard.resolve import Fence, Settled, resolve
from ..core.recovery.recover import Lost
from ..core.steps import Acquire, Failed, Pause, Script, Step
from ..core.view.view import Want
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
    state, token = connection._state, connection._state.token
    asked = doubt(connection)
    try:
        told = await settle(connection._pool, *asked, performer.deadline)
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


class _Asker(BaseAsker):
    """Does what `resolve` asks for."""

    pool: Pool

    async def perform(self, step: Step) -> object:
        match step:
            case Acquire():
                return await self._open()
            case Script(statements):
                return await self._ask(statements)
            case Pause(seconds):
                await asyncio.sleep(min(seconds, self.left))
            case _:
                return self.at_once(step)
        return None

    async def _open(self) -> Failed | None:
        try:
            session = await self.pool.open_outside(self.want, self.left, {})
        except Exception as exc:
            return self.unopened(exc)
        self.opened(session)
        return None

    async def _ask(self, statements: tuple[str, ...]) -> Any:
        session = self.session
        assert session is not None
        try:
            with awaited(session):
                return await cancellable(self.pool.driver.ask(session.raw, statements))
        except Exception as exc:
            return self.unanswered(session, exc)
        except BaseException:  # with the answer pending
            session.tainted = True
            raise


def delete(pool: Pool, guard: CommitGuard, node: str) -> None:
    """Delete acknowledged tokens in the background, on a connection of its own: its silence proves nothing about the
    node.
    """
    topology, driver = pool.topology, pool.driver
    database = database_of(topology, node)

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
