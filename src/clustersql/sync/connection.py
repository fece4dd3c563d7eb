"""The connection: a handle on whichever session serves it now.

What is known of it is in `state.State`; how it gets and loses its session in `serving`, what an error means in
`answers`, COMMIT and ROLLBACK in `ending`.  Here is what a caller sees of it, and what is done before and after a
statement.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from sys import _getframe
from threading import get_ident
from time import monotonic
from typing import Any

from ..config.options import Options
from ..connection.forwarded import EXCEPTIONS, OWN, assign, effect_of, exception_of, looked_at, turns_on
from ..connection.hooks import call_hooks
from ..connection.interruption import in_return, passes
from ..connection.state import State
from ..connection.statements import StatementCache, phase_of
from ..connection.work import Callbacks
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..core.view.view import Want
from ..drivers.base.surface import Effect
from ..errors import ConfigError
from . import guard, own
from .cursor import CLOSED, Cursor, guarded
from .ending import Ending
from .pool import Pool
from .recovery import recover_statement
from .transaction import Block


class Connection(Ending):
    """A PEP 249 connection to the cluster.  What PEP 249 does not know is forwarded to the driver's connection.

    From a pool (``db.connection()``), ``with`` commits on success, rolls back on an error and gives it back; `close`
    gives it back too. From ``clustersql.connect()``, ``with`` and `close` have the driver's own meaning.
    """

    __slots__ = ("__weakref__", "_state")

    _state: State

    def __init__(
        self,
        pool: Pool,
        options: Options,
        want: Want,
        notes: StatementCache,
        arguments: Mapping[str, Any] | None = None,
        depth: int = 2,
        deadline: float = 0.0,
    ) -> None:
        """Check a session out; with ``arguments``, the driver's own, one outside the pool.  ``depth``: frames up to the
        caller's.

        ``deadline`` (monotonic seconds) ends everything that is done with it; 0.0: nothing does.
        """
        frame = _getframe(depth)
        state = State(
            pool.topology, pool.driver, options, want, notes, (frame.f_code, frame.f_lasti, get_ident()), pool
        )
        _set_state(self, state)
        if arguments is None and not deadline:  # by far the most: what `_acquire` does, written out
            timeout = pool.timeout if options.timeout is None else options.timeout
            try:
                state.session = pool.checkout(want, timeout, None, state)
            except BaseException:
                # A signal's handler may have raised after the pool had lent it, and before it was stored.
                pool.reclaim(state)
                raise
            return
        state.arguments, state.deadline = arguments, deadline
        session = self._acquire(self._timeout())
        if arguments is not None:  # the driver's default mode, or what the caller's arguments say
            state.touched = True
            state.mode_is(bool(session.autocommit))

    @classmethod
    def _around(cls, state: State) -> Connection:
        """Return a connection around a state whose session was checked out already."""
        connection = cls.__new__(cls)
        _set_state(connection, state)
        return connection

    # -- the driver's face ---------------------------------------------------------------------------------------------

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Return a new cursor; the arguments are the driver's own."""
        state = self._state
        if state.session is None and (state.broken is None or state.closed):
            self._revive()
        if state.answered is not None and state.driver.abilities.cursor_asks:
            self._read_on()  # or its question would be answered by what is left
        cursor = Cursor(self, args, kwargs)
        if (args or kwargs) and isinstance(kwargs.get("name", args[0] if args else None), str):
            state.unmanaged("cursor(name)")  # a server-side cursor lives in this session
        cursors = state.cursors
        if len(cursors) > 16:
            cursors = tuple(ref for ref in cursors if ref() is not None)
        state.cursors = (*cursors, weakref.ref(cursor))
        state.touched = True
        return cursor

    def transaction(self, *args: Any, **kwargs: Any) -> Block:
        """Return ``with`` for a transaction, or inside one for a savepoint: committed or released on success, else
        rolled back.

        The arguments are those of psycopg's own: ``savepoint_name``, and ``force_rollback`` for one that is rolled back
        in any case.
        """
        return Block(self, *args, **kwargs)

    def close(self) -> None:
        """Give the connection back to the pool, rolled back and clean; one from ``connect()`` is closed.  Twice does no
        harm.
        """
        state = self._state
        session, state.session = state.session, None
        state.given_back = True
        state.callbacks = ()
        if session is not None:
            try:
                self._finish(session)
            except BaseException as exc:
                state.pool.give_back(session, False, state)  # it was already, unless that was broken off
                in_return(state, exc)
                raise

    def __getattr__(self, name: str) -> Any:
        if name == "_state" or name.startswith("__"):
            raise AttributeError(name)
        if name in CLOSED and self._state.closed:
            return CLOSED[name]
        if name in EXCEPTIONS:
            return exception_of(self._state, name)
        if name in ("execute", "executemany") and self._state.session is None and self._state.broken is not None:
            return getattr(self.cursor(), name)
        state, raw = self._state, self._live().raw
        effect = effect_of(state, name)
        if effect not in OWN:
            return looked_at(state, raw, name)
        value = getattr(raw, name)
        if effect is Effect.ENDS:
            return lambda *_, **__: self.close()
        if not callable(value):
            return value
        if effect is Effect.OURS:
            return lambda *args, **kwargs: getattr(self.cursor(), name)(*args, **kwargs)
        if effect is Effect.MODE:
            return self._autocommit_method(value)
        return partial(_OWN[effect], self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if turns_on(self._state.driver, name, value):
            self._turn_on()
        session = self._live()
        try:
            assign(self._state, session.raw, name, value)
        except ConfigError:  # it was refused before anything was sent, and nothing broke into anything
            raise
        except BaseException as exc:
            passes(self, exc, phase=Phase.FETCH)
            raise

    # -- ours ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Connection:
        if self._state.session is None:
            self._revive()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object = None, trace: object = None) -> None:
        state = self._state
        session = state.session
        if session is None or state.touched:
            self._leave(kind is None)
            return
        state.session = None  # nothing was done with it: there is nothing to commit, and nothing to undo
        state.given_back = True
        try:
            state.pool.give_back(session, not session.tainted, state)
        except BaseException:
            # What broke in may have come before the pool had it; twice does no harm, for its holder is named.
            state.pool.give_back(session, False, state)
            raise

    def _leave(self, success: bool) -> None:
        if self._state.arguments is not None:
            self._leave_outside(success)
            return
        hooks: Callbacks = ()
        try:
            if success and (self._state.has_work() or self._state.callbacks):
                state = self._state
                done = state.driver.abilities.leaves_results and state.leaves_reads_unread()
                hooks = state.boundary(committed=True) if done else self._commit(ours=True)
            self._state.done = success
        finally:
            try:
                self.close()
            finally:  # only now: a hook may want a connection, and this may be the last one
                if hooks:
                    call_hooks(hooks)

    def _leave_outside(self, success: bool) -> None:
        """Do what the driver's own ``with`` does with the transaction and the connection."""
        driver = self._pool.driver
        if driver.leaving != "close":
            self.commit() if success else self.rollback()
        if driver.leaving != "commit":
            self.close()

    def __del__(self) -> None:
        try:
            state = self._state
        except AttributeError:  # the checkout itself was interrupted
            return
        if state.session is not None:
            self._pool.abandon(state.session)
            warnings.warn(state.forgotten(), ResourceWarning, 2, source=self)

    def __repr__(self) -> str:
        return f"<clustersql.Connection to {self._pool.topology.name!r} {self._state!r}>"

    # -- sessions ------------------------------------------------------------------------------------------------------

    # -- statements ----------------------------------------------------------------------------------------------------

    def _prepare(self, operation: Any, many: bool) -> Traits | None:
        """Note what a statement may leave behind, before it is sent; None: it was a ROLLBACK of what is lost, and there
        is nothing to send.
        """
        state = self._state
        if state.broken is not None and state.ends_lost(operation):
            return None
        if state.session is None:
            self._revive()
        elif state.number is not None:
            self._require_same_session()
        if state.behind is not None and (question := state.question(operation)):
            self._find_out(question)
        traits = state.prepare(operation, many)
        if traits.commits and (error := state.uncommittable(ours=False)) is not None:
            self._end_commit(error)
        if traits.commits and not traits.begins and state.topology.guard is not None and state.session is not None:
            guard.prepare(self, state.session, text=True)
        return traits

    def _find_out(self, question: str) -> None:
        """Ask the server whether something was generated since the session before was lost."""
        state, found = self._state, False
        state.answerable(True)
        try:
            cursor = self.cursor()
            cursor.execute(question)
            found = bool(cursor.fetchall())
            cursor.close()
        finally:
            if not found:
                state.answerable(False)

    def _after(self, traits: Traits) -> None:
        """A noted statement has succeeded."""
        session = self._state.session
        ended = session is not None and session.shared and (traits.rolls_back or traits.commits)
        if session is not None and ended and self._pool.driver.in_transaction(session.raw) is False:
            # psycopg2 has not noticed, and would send what follows without BEGIN; for the others, and at the server,
            # there is nothing to undo.
            guarded(self, session.raw.rollback)()
        if hooks := self._state.after(traits):
            call_hooks(hooks)

    def _recover(
        self,
        cursor: Cursor,
        method: str,
        operation: Any,
        parameters: Any,
        options: dict[str, Any],
        traits: Traits | None,
        exc: Exception,
    ) -> Any:
        session = self._state.session
        if session is not None:  # an error's latency is no sample: an instant error must not look fast
            session.started = session.ended = monotonic()
        if passes(self, exc, traits, phase_of(traits)):
            raise exc
        traits = self._state.told(operation, parameters, options, traits, method == "executemany")
        again = cursor._again(method, operation, parameters, options)
        result = recover_statement(self, again, traits, phase_of(traits), exc)
        if traits is None and self._state.behind is not None:
            traits = self._state.notes.look(operation)
        if traits is not None:
            self._after(traits)
        return result


_OWN: dict[Effect, Callable[..., Any]] = {Effect.ASKS: own.ask, Effect.PINGS: own.ping, Effect.RUNS: own.run}
"""What is called for a method of the driver's, with the connection, its name and the caller's arguments."""


_set_state = Connection.__dict__["_state"].__set__
"""Past our own ``__setattr__``, which forwards to the driver, and faster than ``object.__setattr__``."""
