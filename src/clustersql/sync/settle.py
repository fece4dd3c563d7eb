"""The commit guard for threads: the question after a lost answer, and the deletion of what was acknowledged."""

from __future__ import annotations

import time
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.asking import BaseAsker, doubt
from ..connection.guard import broken_off, database_of, ended
from ..connection.interruption import INTERRUPTED
from ..connection.recovery import BasePerformer
from ..connection.settling import terms
from ..core.guard.resolve import Fence, Settled, resolve
from ..core.recovery.recover import Lost
from ..core.steps import Acquire, Failed, Pause, Script, Step
from ..core.view.view import Want
from ..pool.session import awaited
from .dial import Attempt, connect
from .drive import drive

if TYPE_CHECKING:
    from ..core.guard.commit_id import CommitId
    from ..core.guard.resolve import Birth
    from ..nodes.guard import CommitGuard
    from .pool import Pool


def settled(performer: BasePerformer, lost: Lost) -> Any:
    """Return how a COMMIT has ended that was in doubt: a `Lost`, or None where it has happened."""
    connection: Any = performer.connection
    state, token = connection._state, connection._state.token
    asked = doubt(connection)
    try:
        told = settle(connection._pool, *asked, performer.deadline)
    except BaseException as exc:
        broken_off(state, exc, INTERRUPTED)
        raise
    return ended(state, token, lost, told)


def settle(
    pool: Pool, want: Want, fence: Fence, old: Birth | None, deadline: float, asked: CommitId | None = None
) -> Settled:
    """Ask until ``deadline`` (monotonic seconds) what became of a COMMIT, on a connection that no pool counts.

    ``old``: the session that it was sent on; ``asked``: the id, where somebody else has it.
    """
    asker = _Asker(pool, want, deadline)
    try:
        return drive(resolve(fence, old, *terms(pool.topology, asked), deadline), asker.perform)
    finally:
        asker.let_go()


class _Asker(BaseAsker):
    """Does what `resolve` asks for."""

    pool: Pool

    def perform(self, step: Step) -> object:
        match step:
            case Acquire():
                return self._open()
            case Script(statements):
                return self._ask(statements)
            case Pause(seconds):
                time.sleep(min(seconds, self.left))
            case _:
                return self.at_once(step)
        return None

    def _open(self) -> Failed | None:
        try:
            session = self.pool.open_outside(self.want, self.left, {})
        except Exception as exc:
            return self.unopened(exc)
        self.opened(session)
        return None

    def _ask(self, statements: tuple[str, ...]) -> Any:
        session = self.session
        assert session is not None
        try:
            with awaited(session):
                return self.pool.driver.ask(session.raw, statements)
        except Exception as exc:
            return self.unanswered(session, exc)


def delete(pool: Pool, guard: CommitGuard, node: str) -> None:
    """Delete acknowledged tokens in the background, on a connection of its own: its silence proves nothing about the
    node.
    """
    topology, driver = pool.topology, pool.driver
    database = database_of(topology, node)

    def work(attempt: Attempt) -> Any:
        answer = connect(topology, driver, node, hold=attempt.entered)
        try:
            for statements in guard.deletions(database, monotonic()):
                driver.ask(answer.raw, statements)
        except BaseException:  # nobody else knows of it
            attempt.let_go()
            driver.close(answer.raw)
            raise
        return answer

    def ended(attempt: Attempt) -> None:
        guard.deleting = False
        with pool._lock:
            pool._attempts.discard(attempt)
        if attempt.result is not None:
            driver.close(attempt.result.raw)

    attempt = Attempt(topology, driver, node, work, ended, patience=topology.settings.timeout)
    with pool._lock:
        pool._attempts.add(attempt)
    attempt.start()
