"""The connection: a handle on whichever session serves it now.

What is known of it is in `state.State`; how it gets and loses its session in `serving`, what an error means in
`answers`, COMMIT and ROLLBACK in `ending`.  Here is what a caller sees of it, and what is done before and after a
statement.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..config.options import Options
from ..connection.forwarded import EXCEPTIONS, OWN, assign, effect_of, exception_of, looked_at
from ..connection.hooks import call_hooks
from ..connection.interruption import in_return
from ..connection.state import State, passing
from ..connection.statements import UNSET, StatementCache
from ..connection.work import Callbacks
from ..core.statements.traits import Traits
from ..core.view.view import Want
from ..drivers.base.surface import Effect
from . import guard, own
from .cancellation import requests
from .checkout import Checkout
from .cursor import Cursor
from .ending import Ending
from .pool import Pool
from .transaction import Block

_OURS = frozenset(("_pool", "_state"))


class Connection(Ending):
    """A connection to the cluster for one task at a time.  What is not named here is forwarded to the driver's
    connection.

    From a pool (``async with db.connection()``) the block commits on success, rolls back on an error and gives it back;
    `close` gives it back too.  From ``aio.connect()``, leaving the block has the driver's own meaning, and `close`
    closes.
    """

    __slots__ = ("__weakref__", "_pool", "_state")

    _pool: Pool
    _state: State

    def __init__(
        self, pool: Pool, options: Options, want: Want, notes: StatementCache, frame: Any, deadline: float
    ) -> None:
        state = State(pool.topology, pool.driver, options, want, notes, (frame.f_code, frame.f_lasti, id(frame)))
        state.deadline = deadline
        _set(self, "_state", state)
        _set(self, "_pool", pool)

    @classmethod
    def acquired(
        cls,
        pool: Pool,
        options: Options,
        want: Want,
        notes: StatementCache,
        arguments: Mapping[str, Any] | None = None,
        depth: int = 2,
        deadline: float = 0.0,
    ) -> Checkout:
        """Return what checks a session out when it is awaited or entered; with ``arguments``, the driver's own, one
        outside the pool.

        ``depth``: frames up to the caller's.  ``deadline`` (monotonic seconds) ends everything that is done with it;
        0.0: nothing does.
        """
        connection = cls(pool, options, want, notes, sys._getframe(depth), deadline)
        connection._state.arguments = arguments
        return Checkout(connection)

    @classmethod
    def _around(cls, state: State, pool: Pool) -> Connection:
        """Return a connection around a state whose session was checked out already."""
        connection = cls.__new__(cls)
        _set(connection, "_state", state)
        _set(connection, "_pool", pool)
        return connection

    async def _begin(self) -> None:
        session = await self._acquire(self._timeout())
        if self._state.arguments is not None:  # the driver's default mode, or what the caller's arguments say
            self._state.mode_is(bool(session.autocommit))

    # -- the common face -----------------------------------------------------------------------------------------------

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Return a new cursor; the arguments are those of the driver's, which is made by ``async with`` or with the
        first statement.
        """
        state = self._state
        if state.closed:
            raise state.returned()
        cursor = Cursor(self, args, kwargs)
        if (args or kwargs) and isinstance(kwargs.get("name", args[0] if args else None), str):
            state.unmanaged("cursor(name)")  # a server-side cursor lives in this session
        cursors = state.cursors
        if len(cursors) > 16:
            cursors = tuple(ref for ref in cursors if ref() is not None)
        state.cursors = (*cursors, weakref.ref(cursor))
        return cursor

    async def execute(self, operation: Any = UNSET, parameters: Any = UNSET, /, *args: Any, **options: Any) -> Any:
        """Run a statement on a new cursor, and return the cursor.

        On asyncpg, which has an ``execute`` of its own, this is that one (``execute(query, *args)``, which returns the
        status), unless a single tuple of parameters is given, as on every other driver.
        """
        if "execute" in self._pool.driver.methods and (args or type(parameters) is not tuple):
            given = [value for value in (operation, parameters) if value is not UNSET]
            return await own.method(self, "execute", *given, *args, **options)
        cursor = self.cursor()
        await cursor.execute(operation, parameters, *args, **options)
        return cursor

    async def _executemany(self, *args: Any, **options: Any) -> Cursor:
        """Run a statement once per item on a new cursor, and return the cursor."""
        cursor = self.cursor()
        await cursor.executemany(*args, **options)
        return cursor

    def transaction(self, *args: Any, **kwargs: Any) -> Block:
        """Return ``async with`` for a transaction, or inside one for a savepoint: committed or released on success,
        else rolled back.

        The arguments are those of psycopg's own: ``savepoint_name``, and ``force_rollback`` for one that is rolled back
        in any case; with asyncpg also those of its own: ``isolation``, ``readonly``, ``deferrable``.
        """
        return Block(self, *args, **kwargs)

    async def close(self) -> None:
        """Give the connection back to the pool, rolled back and clean; one from ``connect()`` is closed.  Twice does no
        harm.
        """
        state = self._state
        session, state.session = state.session, None
        state.given_back = True
        state.callbacks = ()
        if session is None:
            return
        keep = False
        try:
            keep = await self._finish(session)
        except BaseException as exc:  # cancelled in the middle of an answer
            session.tainted = True
            in_return(state, exc)
            raise
        finally:
            session.statements += session.count
            session.count = 0
            self._pool.give_back(session, keep)

    def __getattr__(self, name: str) -> Any:
        if name in _OURS or name.startswith("__"):
            raise AttributeError(name)
        if name in self._pool.driver.methods:
            return partial(own.method, self, name)
        state = self._state
        if name in ("closed", "is_closed") and state.closed:
            return True if name == "closed" else lambda: True
        if name in EXCEPTIONS:
            return exception_of(state, name)
        effect = effect_of(state, name)
        if effect in own.METHODS:  # they are awaited, and so may get a new session first
            return partial(own.METHODS[effect], self, name)
        if effect is Effect.OURS and name == "executemany":  # aiosqlite's
            return self._executemany
        raw = self._live().raw
        begun = self._pool.driver.begun.get(name)
        if begun is not None:
            return passing(state, name, partial(begun, raw))
        if effect not in OWN:
            return own.watched(self, looked_at(state, raw, name), effect)
        value = getattr(raw, name)
        return partial(self._autocommit_method, value) if effect is Effect.MODE and callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        assign(self._state, self._live().raw, name, value)

    # -- ours ----------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Connection:
        if self._state.session is None:
            await self._revive()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        leaving = self._pool.driver.leaving if self._state.arguments is not None else "pool"
        state = self._state
        hooks: Callbacks = ()
        try:
            if leaving in ("commit", "commit-close") or leaving == "pool":
                if kind is None and (state.has_work() or state.callbacks):
                    leaves = leaving == "pool" and state.driver.abilities.leaves_results
                    done = leaves and state.leaves_reads_unread()
                    hooks = state.boundary(committed=True) if done else await self._commit(ours=True)
                elif leaving != "pool" and not state.closed:
                    await self.rollback()
            state.done = kind is None
        finally:
            try:
                if leaving != "commit":
                    await self.close()
            finally:  # only now: a hook may want a connection, and this may be the last one
                if hooks:
                    call_hooks(hooks)

    def __del__(self) -> None:
        try:
            state, pool = self._state, self._pool
        except AttributeError:  # the checkout itself was interrupted
            return
        if state.session is not None:
            pool.abandon(state.session)
            warnings.warn(state.forgotten(), ResourceWarning, 2, source=self)

    def __repr__(self) -> str:
        return f"<clustersql.aio.Connection to {self._pool.topology.name!r} {self._state!r}>"

    # -- sessions ------------------------------------------------------------------------------------------------------

    # -- statements ----------------------------------------------------------------------------------------------------

    async def _prepare(self, operation: Any, many: bool, asked: int | None = None) -> Traits | None:
        """Note what a statement may leave behind, before it is sent; None: it was a ROLLBACK of what is lost, and there
        is nothing to send.

        ``asked``: how often its task was asked to end before it, where the caller knows.
        """
        state = self._state
        if state.broken is not None and state.ends_lost(operation):
            return None
        state.cancelling = requests(self._pool.loop) if asked is None else asked
        if state.session is None:
            await self._revive()
        elif state.number is not None:
            self._require_same_session()
        if state.behind is not None and (question := state.question(operation)):
            await self._find_out(question)
        traits = state.prepare(operation, many)
        if traits.commits and (error := state.uncommittable(ours=False)) is not None:
            await self._end_commit(error)
        if traits.commits and not traits.begins and state.topology.guard is not None and state.session is not None:
            await guard.prepare(self, state.session, text=True)
        return traits

    async def _find_out(self, question: str) -> None:
        """Ask the server whether something was generated since the session before was lost."""
        state, found = self._state, False
        state.answerable(True)
        try:
            cursor = self.cursor()
            await cursor.execute(question)
            found = bool(await cursor.fetchall())
            await cursor.close()
        finally:
            if not found:
                state.answerable(False)

    def _after(self, traits: Traits) -> None:
        """A noted statement has succeeded."""
        if hooks := self._state.after(traits):
            call_hooks(hooks)


_set = object.__setattr__
"""Past our own ``__setattr__``, which forwards to the driver."""
