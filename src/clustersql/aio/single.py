"""One statement by itself, as `Database.execute` runs it: on a connection and a cursor of ours, or without them.

Rules
-----
1. By far the most are texts that are known to leave nothing behind (`StatementCache.plain`), for which a connection and
   a cursor of ours would do nothing: these are run on the session itself.  Its holder is a `State`, as in any other
   checkout, so the monitor, a fork and who asks for the holders see what they always do.
2. Nothing is decided here.  Whatever is raised, and a cancellation that the driver has kept back, is met by a
   connection and a cursor that are made around the same state then, by the same recovery.
"""

from __future__ import annotations

from asyncio import current_task
from collections.abc import Awaitable, Callable, Set
from sys import _getframe
from time import monotonic
from typing import Any

from ..config.options import Options
from ..connection.interruption import DONE
from ..connection.recovery import note_lost
from ..connection.result import Result
from ..connection.state import State
from ..connection.statements import UNSET, StatementCache
from ..core.faults import Fault
from ..core.recovery.verdict import Phase
from ..core.view.view import Want
from ..core.words import note
from ..pool.session import awaited
from .cancellation import swallowed
from .connection import Connection
from .cursor import Cursor, fetched
from .pool import Pool

NONE: Set[Any] = frozenset()
"""No statement is known."""


def known(pool: Pool, options: Options, want: Want, notes: StatementCache) -> Set[Any]:
    """Return the texts that `at_once` may run, which grow with what is seen.

    Not what has a deadline of its own, which the connection carries; nor a read that has to see a bookmark; nor where
    the driver has no autocommit mode, or may keep a cancellation back, so that each call of its is looked at.
    """
    driver = pool.driver
    if options.timeout is not None or want.causal is not None or not driver.abilities.autocommit:
        return NONE
    if getattr(driver, "outlives_cancellation", False):
        return NONE
    return notes.harmless(want.read_only or pool.topology.guard is not None)


async def at_once(
    pool: Pool, options: Options, want: Want, notes: StatementCache, operation: Any, parameters: Any
) -> Result:
    """Run a statement that is `known`, and return its result."""
    frame, driver = _getframe(2), pool.driver
    state = State(pool.topology, driver, options, want, notes, (frame.f_code, frame.f_lasti, id(frame)))
    session = await pool.checkout(want, pool.timeout)
    state.hold(session)
    task = current_task(pool.loop)
    asked = state.cancelling = 0 if task is None else task.cancelling()
    if not session.autocommit:  # it cannot be: somebody shares it
        return await in_full(Connection._around(state, pool), executed, operation, parameters, {})
    raw = result = None
    session.statement = operation
    session.started = monotonic()
    try:
        raw = state.alone = await driver.cursor(session.raw, (), {})
        if parameters is UNSET:
            await raw.execute(operation)
        else:
            await raw.execute(operation, parameters)
        session.ended = monotonic()
        session.count += 1
    except BaseException as exc:
        return await in_full(Connection._around(state, pool), _failed, raw, operation, parameters, exc)
    if task is not None and task.cancelling() > asked:
        return await in_full(Connection._around(state, pool), _unwanted, raw)
    try:
        result = await fetched(raw, raw)
        with awaited(session):
            await driver.close_cursor(raw)
    except BaseException as exc:
        return await in_full(Connection._around(state, pool), _broken_off, raw, result, exc)
    result._left = pool, state, (session.shelf, session.chosen, session.lent_at)
    state.session = state.alone = None
    state.given_back = True
    session.statements += session.count
    session.count = 0
    pool.give_back(session, not session.tainted)
    return result


async def in_full(connection: Connection, run: Callable[..., Awaitable[Cursor]], *args: Any) -> Result:
    """Run a statement on ``connection`` by ``run(connection, *args)``, which returns the cursor that has executed it.
    Gives it back.
    """
    state = connection._state
    try:
        state.whole = True
        cursor = await run(connection, *args)
        result = await fetched(cursor, cursor._raw) if cursor._result is None else cursor._result
        session = state.session
        if session is None or not (session.autocommit and state.driver.abilities.autocommit):
            await connection.commit()  # the driver has no autocommit mode, or the session cannot be in it
        state.done = True
        if session is not None:
            result._left = connection._pool, state, (session.shelf, session.chosen, session.lent_at)
    finally:
        await connection.close()
    return result


async def executed(connection: Connection, operation: Any, parameters: Any, options: dict[str, Any]) -> Cursor:
    """Run a statement on a cursor of ours, and return that."""
    cursor = connection.cursor()
    await cursor.execute(operation, parameters, **options)
    return cursor


async def _failed(connection: Connection, raw: Any, operation: Any, parameters: Any, error: BaseException) -> Cursor:
    """The driver has raised ``error``; ``raw`` is its cursor, None where it has made none."""
    cursor = connection.cursor() if raw is None else Cursor._around(connection, raw)
    traits = connection._state.notes.look(operation)
    await cursor._recover("execute", operation, parameters, {}, traits, error)
    return cursor


async def _unwanted(connection: Connection, raw: Any) -> Cursor:
    """The driver has returned, and its task was cancelled meanwhile."""
    cursor = Cursor._around(connection, raw)
    connection._require_wanted(None)
    return cursor


async def _broken_off(connection: Connection, raw: Any, result: Result | None, error: BaseException) -> Cursor:
    """``error`` was raised while the result was read, or after it, while the driver's cursor was closed."""
    cursor, state, session = Cursor._around(connection, raw), connection._state, connection._live()
    if result is None:
        connection._require_own(error, phase=Phase.EXECUTE)
        raise error
    session.tainted = True
    if not isinstance(error, Exception):
        note(error, DONE)
        raise error
    if (cancellation := swallowed(state, session, error)) is not None:
        note(cancellation, DONE)
        raise cancellation from error
    if state.driver.facts(error, session.raw).fault is Fault.FOREIGN:
        note(error, DONE)
        raise error
    note_lost(connection._pool, session, error)  # the caller's work has ended already: this is the pool's to know
    cursor.__dict__["_result"] = result
    return cursor
