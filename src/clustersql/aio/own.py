"""The driver's own methods that wait for the server: a sign of life, a question, a statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.forwarded import text_of
from ..connection.recovery import ROLLED_BACK
from ..connection.rows import LASTING
from ..connection.statements import phase_of
from ..core.recovery.verdict import Phase
from ..drivers.base.surface import Effect
from ..pool.session import awaited
from .cancellation import cancellable, requests
from .recovery import recover_statement

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from .connection import Connection


async def ping(connection: Connection, name: str, *_: Any, **__: Any) -> Any:
    """Ask for a sign of life.  Where there is none, the connection moves as for a read; raises `TransactionLost` where
    something is lost with it.
    """

    async def asked(session: Session) -> Any:
        return await connection._pool.driver.ping(session.raw)

    session = await _ready(connection)
    try:
        with awaited(session):
            return await cancellable(asked(session))
    except BaseException as exc:
        connection._require_own(exc, phase=Phase.FETCH)
        return await recover_statement(connection, asked, None, Phase.EXECUTE, exc, sends=False)


async def ask(connection: Connection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Ask what leaves nothing behind.  An error passes: what it means for the session the next statement finds out."""
    session = await _ready(connection)
    try:
        with awaited(session):
            return await cancellable(getattr(session.raw, name)(*args, **kwargs))
    except BaseException as exc:
        connection._require_own(exc, phase=Phase.FETCH)
        raise


async def run(connection: Connection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement by the driver's own method, noted and recovered as `Cursor.execute` does it."""
    traits = await connection._prepare(text_of(connection._state, name, args, kwargs), many=False)
    if traits is None:  # a ROLLBACK of what was lost
        return None

    async def again(session: Session) -> Any:
        return await getattr(session.raw, name)(*args, **kwargs)

    session = await _ready(connection)
    try:
        with awaited(session):
            result = await again(session)
    except BaseException as exc:
        connection._require_own(exc, traits, phase_of(traits))
        result = await recover_statement(connection, again, traits, phase_of(traits), exc)
    else:
        session.count += 1
    connection._require_wanted(traits)
    connection._after(traits)
    return result


async def method(connection: Connection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement by one of the driver's own methods, recovered as `execute` is."""
    function = connection._pool.driver.methods[name]
    many = name == "executemany"
    operation = args[0] if args else kwargs.get("command" if many else "query")
    rows: Any = ()
    if many:
        rows = args[1] if len(args) > 1 else kwargs.get("args")
    if rows.__class__ not in LASTING:
        connection._state.reads(rows)
    traits = await connection._prepare(operation, many)
    if traits is None:
        return {"execute": "ROLLBACK", "fetch": []}.get(name)
    session = connection._state.session
    assert session is not None
    session.started = monotonic()
    try:
        result = await function(session.raw, *args, **kwargs)
    except BaseException as exc:
        connection._require_own(exc, traits, phase_of(traits))
        connection._no_sample()
        told = connection._state.told(operation, rows, {}, traits, many)
        result = await recover_statement(
            connection, lambda session: function(session.raw, *args, **kwargs), told, phase_of(traits), exc
        )
    else:
        session.ended = monotonic()
        session.count += 1
    connection._require_wanted(traits)
    if traits.commits and result == ROLLED_BACK:
        await connection._end_commit(connection._state.failed_commit())
    connection._after(traits)
    return result


async def _ready(connection: Connection) -> Session:
    """Return the session, with nothing of an earlier statement's answer left on its way."""
    connection._state.cancelling = requests(connection._pool.loop)
    session = connection._state.session or await connection._revive()
    if connection._state.answered is not None:
        await connection._read_on()
        session = connection._live()
    return session


async def end(connection: Connection, name: str) -> None:
    """Close, as `Connection.close` does it."""
    await connection.close()


METHODS: dict[Effect, Callable[..., Awaitable[Any]]] = {
    Effect.ASKS: ask,
    Effect.ENDS: end,
    Effect.PINGS: ping,
    Effect.RUNS: run,
}
"""What is called for a method of the driver's, with the connection, its name and the caller's arguments."""


def watched(connection: Connection, value: Any, effect: Effect) -> Any:
    """Return a method of the driver's so that what is awaited of it may be cancelled before its answer has come."""
    if effect not in (Effect.TELLS, Effect.SETS, Effect.REGISTERS) or not callable(value) or isinstance(value, type):
        return value

    def called(*args: Any, **kwargs: Any) -> Any:
        result = value(*args, **kwargs)
        return _to_the_end(connection, result) if isawaitable(result) else result

    called.__name__ = getattr(value, "__name__", "called")
    return called


async def _to_the_end(connection: Connection, answer: Awaitable[Any]) -> Any:
    connection._live()
    try:
        return await cancellable(answer)
    except BaseException as exc:
        connection._require_own(exc, phase=Phase.FETCH)
        raise
