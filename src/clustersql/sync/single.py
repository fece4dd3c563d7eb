"""One statement by itself, as `Database.execute` runs it: on a connection and a cursor of ours, or without them.

Rules
-----
1. By far the most are texts that are known to leave nothing behind (`StatementCache.plain`), for which a connection and
   a cursor of ours would do nothing: these are run on the session itself.  Its holder is a `State`, as in any other
   checkout, so the monitor, a fork and who asks for the holders see what they always do.
2. Nothing is decided here.  Whatever is raised is met by a connection and a cursor that are made around the same state
   then, by the same recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from sys import _getframe
from threading import get_ident
from time import monotonic
from typing import Any

from ..config.options import Options
from ..connection.interruption import DONE, broken_into, is_foreign, passes
from ..connection.result import Result
from ..connection.state import State
from ..connection.statements import UNSET, StatementCache
from ..core.recovery.verdict import Phase
from ..core.view.view import Want
from ..core.words import note
from .connection import Connection
from .cursor import Cursor
from .pool import Pool

NONE: Set[Any] = frozenset()
"""No statement is known."""


def known(pool: Pool, options: Options, want: Want, notes: StatementCache) -> Set[Any]:
    """Return the texts that `at_once` may run, which grow with what is seen.

    Not what has a deadline of its own, which the connection carries; nor a read that has to see a bookmark; nor where
    the driver asks the server before it makes a cursor, or has no autocommit mode.
    """
    abilities = pool.driver.abilities
    if options.timeout is not None or want.causal is not None or abilities.cursor_asks or not abilities.autocommit:
        return NONE
    return notes.harmless(want.read_only or pool.topology.guard is not None)


def at_once(pool: Pool, options: Options, want: Want, notes: StatementCache, operation: Any, parameters: Any) -> Result:
    """Run a statement that is `known`, and return its result."""
    frame = _getframe(2)
    state = State(pool.topology, pool.driver, options, want, notes, (frame.f_code, frame.f_lasti, get_ident()), pool)
    try:
        session = state.session = pool.checkout(want, pool.timeout, None, state)
    except BaseException:
        # A signal's handler may have raised after the pool had lent it, and before it was stored.
        pool.reclaim(state)
        raise
    if not session.autocommit:  # it cannot be: somebody shares it
        return in_full(Connection._around(state), executed, operation, parameters, {})
    raw = result = None
    try:
        raw = state.alone = session.raw.cursor(**pool.driver.buffering)  # a read whose rows break off is asked again
        session.statement = operation
        session.started = monotonic()
        if parameters is UNSET:
            raw.execute(operation)
        else:
            raw.execute(operation, parameters)
        session.ended = monotonic()
        session.count += 1
    except BaseException as exc:
        return in_full(Connection._around(state), _failed, raw, operation, parameters, exc)
    try:
        result = Result.of(raw)
        raw.close()
    except BaseException as exc:
        return in_full(Connection._around(state), _broken_off, raw, result, exc)
    result._left = pool, state, (session.shelf, session.chosen, session.lent_at)
    state.session = state.alone = None
    state.given_back = True
    session.statements += session.count
    session.count = 0
    pool.give_back(session, not session.tainted, state)
    return result


def in_full(connection: Connection, run: Callable[..., Cursor], *args: Any) -> Result:
    """Run a statement on ``connection`` by ``run(connection, *args)``, which returns the cursor that has executed it.
    Gives it back.
    """
    state = connection._state
    state.whole = True
    try:
        cursor = run(connection, *args)
        result = cursor._result
        if result is None:
            try:
                result = Result.of(cursor._raw)
            except BaseException as exc:  # `guarded`, written out
                passes(connection, exc, phase=Phase.EXECUTE)
                raise
        session = state.session
        if session is None or not (session.autocommit and state.driver.abilities.autocommit):
            connection.commit()  # the driver has no autocommit mode, or the session cannot be in it
        state.done = True
        if session is not None:
            result._left = state.pool, state, (session.shelf, session.chosen, session.lent_at)
    finally:
        connection.close()
    return result


def executed(connection: Connection, operation: Any, parameters: Any, options: dict[str, Any]) -> Cursor:
    """Run a statement on a cursor of ours, and return that."""
    cursor = connection.cursor(**connection._pool.driver.buffering)  # a read whose rows break off is asked again
    cursor.execute(operation, parameters, **options)
    return cursor


def _failed(connection: Connection, raw: Any, operation: Any, parameters: Any, error: BaseException) -> Cursor:
    """The driver has raised ``error``; ``raw`` is its cursor, None where it has made none."""
    if raw is None:
        if is_foreign(connection, error):
            raise error
        return executed(connection, operation, parameters, {})  # it raises once more, and is met there
    cursor = Cursor._around(connection, raw)
    if not isinstance(error, Exception):
        broken_into(connection, error)
        raise error
    connection._recover(cursor, "execute", operation, parameters, {}, None, error)
    return cursor


def _broken_off(connection: Connection, raw: Any, result: Result | None, error: BaseException) -> Cursor:
    """``error`` was raised while the result was read, or after it, while the driver's cursor was closed."""
    cursor = Cursor._around(connection, raw)
    if result is None:
        passes(connection, error, phase=Phase.EXECUTE)
        raise error
    connection._live().tainted = True
    if is_foreign(connection, error):
        note(error, DONE)
        raise error
    cursor.__dict__["_result"] = result
    return cursor
