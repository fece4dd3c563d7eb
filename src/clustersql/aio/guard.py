"""The commit guard for asyncio: the token on its way to the server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..connection.guard import Token, fence_of, insert_of, left_open, outdated, prepared, refused
from ..connection.once import Claim, require_new, statements_of
from ..connection.statements import LEFT
from ..connection.tables import missing, questions_of, require_present
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..core.view.view import Service, Want
from ..drivers.base.unseen import unseen
from ..pool.session import awaited
from .cancellation import cancellable
from .recovery import never, recover_statement

if TYPE_CHECKING:
    from .ending import Ending
    from .pool import Pool


async def prepare(connection: Ending, session: Session, text: bool = False) -> Token | None:
    """Return the token of the COMMIT that follows, written already where it is not folded; None: it goes unguarded.

    ``text``: COMMIT is the caller's own statement.  Raises `TransactionLost`, and the driver's error, where the token
    cannot be written.
    """
    state = connection._state
    token = prepared(state, session, text)
    if token is None:
        return None
    if token.exported and (error := outdated(state, token)) is not None:
        await connection._end_commit(error)
    if session.birth is None and not session.shared:
        await _identify(connection, session)
    if not token.fold:
        await _within(connection, session, insert_of(state, session, token), token)
    token.sent = True
    return token


async def _identify(connection: Ending, session: Session) -> None:
    """Ask the session for its birth, once: after its loss it cannot be asked."""
    guard = connection._state.topology.guard
    assert guard is not None
    _, fence = fence_of(connection._state, Token(b""))
    session.birth = fence.born([await _within(connection, session, statement) for statement in fence.identify])
    guard.met(session.birth)


async def _within(connection: Ending, session: Session, statement: str, token: Token | None = None) -> Any:
    """Run a statement of ours as a part of the caller's transaction."""
    try:
        with awaited(session), unseen():
            rows = await cancellable(connection._pool.driver.within(session.raw, statement))
    except BaseException as exc:
        connection._require_own(exc, LEFT)
        if token is not None and (error := refused(connection._state, session, token, exc)) is not None:
            await connection._end_commit(error)
        return await recover_statement(connection, never, LEFT, Phase.EXECUTE, exc)
    session.count += 1
    return rows


async def failed(connection: Ending, session: Session, token: Token, error: BaseException) -> None:
    """As in `clustersql.sync.guard`."""
    state = connection._state
    if (told := refused(state, session, token, error)) is not None:
        await connection._end_commit(told)
    if left_open(state, session, token, error):
        try:
            with awaited(session):
                await cancellable(connection._pool.driver.rollback(session.raw))
        except BaseException as exc:
            connection._require_own(exc, phase=Phase.COMMIT)


async def write(connection: Ending, claim: Claim) -> None:
    """Write a key of ``once`` as the transaction's first statement.  Raises `AlreadyCommitted` where it is there
    already.
    """
    state = connection._state
    session = state.session or await connection._revive()
    answers = [await _within(connection, session, statement) for statement in statements_of(state, session, claim)]
    state.transaction = replace(state.transaction, unproven=True, writes=True)
    require_new(claim, answers[-1])


async def require(pool: Pool) -> None:
    """Raise `ConfigError` unless the primary has the tables, and this user may work with them.  Raises
    `NoNodeAvailable` too.
    """
    session = await pool.open_outside(Want(Service.WRITE), pool.timeout, {})
    try:
        with awaited(session):
            for statements in questions_of(pool.topology, session.node):
                told = await cancellable(pool.driver.ask(session.raw, statements))
                require_present(pool.topology, told[-1])
    except Exception as exc:
        raise missing(pool, session, exc) from exc
    finally:
        pool.give_back(session, keep=False)
