"""The commit guard for asyncio: the token on its way to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection.guard import Token, fence_of, insert_of, prepared, refused
from ..connection.statements import LEFT
from ..core.booking.shelf import Session
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from .cancellation import cancellable
from .recovery import never, recover_statement

if TYPE_CHECKING:
    from .ending import Ending


async def prepare(connection: Ending, session: Session, text: bool = False) -> Token | None:
    """Return the token of the COMMIT that follows, written already where it is not folded; None: it goes unguarded.

    ``text``: COMMIT is the caller's own statement.  Raises `TransactionLost`, and the driver's error, where the token cannot be written.
    """
    state = connection._state
    token = prepared(state, session, text)
    if token is None:
        return None
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
        with awaited(session):
            rows = await cancellable(connection._pool.driver.within(session.raw, statement))
    except BaseException as exc:
        connection._require_own(exc, LEFT)
        if token is not None and (error := refused(connection._state, session, token, exc)) is not None:
            await connection._end_commit(error)
        return await recover_statement(connection, never, LEFT, Phase.EXECUTE, exc)
    session.count += 1
    return rows
