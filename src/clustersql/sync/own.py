"""The driver's own methods that wait for the server: a sign of life, a question, a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection.forwarded import text_of
from ..connection.interruption import passes
from ..connection.statements import phase_of
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from .recovery import recover_statement

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from .connection import Connection


def ping(connection: Connection, name: str, *_: Any, **__: Any) -> Any:
    """Ask for a sign of life.  Where there is none, the connection moves as for a read; raises `TransactionLost` where
    something is lost with it.
    """

    def asked(session: Session) -> Any:
        return connection._pool.driver.ping(session.raw)

    session = _ready(connection)
    try:
        with awaited(session):
            return asked(session)
    except BaseException as exc:
        if passes(connection, exc, phase=Phase.FETCH):
            raise
        return recover_statement(connection, asked, None, Phase.EXECUTE, exc, sends=False)


def ask(connection: Connection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Ask what leaves nothing behind.  An error passes: what it means for the session the next statement finds out."""
    session = _ready(connection)
    try:
        with awaited(session):
            return getattr(session.raw, name)(*args, **kwargs)
    except BaseException as exc:
        passes(connection, exc, phase=Phase.FETCH)
        raise


def run(connection: Connection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement by the driver's own method, noted and recovered as `Cursor.execute` does it."""
    traits = connection._prepare(text_of(connection._state, name, args, kwargs), many=False)
    if traits is None:  # a ROLLBACK of what was lost
        return None

    def again(session: Session) -> Any:
        return getattr(session.raw, name)(*args, **kwargs)

    session = _ready(connection)
    connection._state.touched = True
    try:
        with awaited(session):
            result = again(session)
    except BaseException as exc:
        if passes(connection, exc, traits, phase_of(traits)):
            raise
        result = recover_statement(connection, again, traits, phase_of(traits), exc)
    else:
        session.count += 1
    connection._after(traits)
    return result


def _ready(connection: Connection) -> Session:
    """Return the session, with nothing of an earlier statement's answer left on its way."""
    session = connection._live()
    if connection._state.answered is not None:
        connection._read_on()
        session = connection._live()
    return session
