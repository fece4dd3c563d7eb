"""The connection: a handle on whichever session serves it now.  What is known of it is in `state.State`; here is the I/O."""

from __future__ import annotations

import sys
import warnings
import weakref
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any, NoReturn

from ..config.options import Options
from ..connection.base import BaseConnection
from ..connection.forwarded import OWN, assign, effect_of, looked_at, mode_changed
from ..connection.hooks import call_hooks
from ..connection.interruption import ANSWERED, COMMITTED, DONE, cancelled, is_foreign, passes
from ..connection.recovery import ROLLED_BACK, note_lost
from ..connection.rows import LASTING
from ..connection.state import State, passing
from ..connection.statements import LEFT, UNSET, StatementCache, phase_of
from ..connection.work import Callbacks
from ..core.booking.shelf import Session
from ..core.faults import Fault
from ..core.recovery.recover import Unrestorable
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..core.view.view import Want
from ..core.words import first_line
from ..drivers.base.surface import Effect
from ..errors import TransactionLost
from ..pool.session import awaited
from . import own
from .cancellation import cancellable, outlived, requests, swallowed
from .checkout import Checkout
from .cursor import Cursor
from .pool import Pool
from .recovery import never, recover_commit, recover_statement
from .transaction import Block

_OURS = frozenset(("_pool", "_state"))


class Connection(BaseConnection):
    """A connection to the cluster for one task at a time.  What is not named here is forwarded to the driver's connection.

    From a pool (``async with db.connection()``) the block commits on success, rolls back on an error and gives it back; `close` gives it
    back too.  From ``aio.connect()``, leaving the block has the driver's own meaning, and `close` closes.
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
        """Return what checks a session out when it is awaited or entered; with ``arguments``, the driver's own, one outside the pool.

        ``depth``: frames up to the caller's.  ``deadline`` (monotonic seconds) ends everything that is done with it; 0.0: nothing does.
        """
        connection = cls(pool, options, want, notes, sys._getframe(depth), deadline)
        connection._state.arguments = arguments
        return Checkout(connection)

    async def _begin(self) -> None:
        session = await self._acquire(self._timeout())
        if self._state.arguments is not None:  # the driver's default mode, or what the caller's arguments say
            self._state.mode_is(bool(session.autocommit))

    # -- the common face -------------------------------------------------------------------------------------------------------------

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Return a new cursor; the arguments are those of the driver's, which is made by ``async with`` or with the first statement."""
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

        On asyncpg, which has an ``execute`` of its own, this is that one (``execute(query, *args)``, which returns the status), unless a
        single tuple of parameters is given, as on every other driver.
        """
        own = self._pool.driver.methods.get("execute")
        if own is not None and (args or type(parameters) is not tuple):
            given = [value for value in (operation, parameters) if value is not UNSET]
            return await self._own("execute", *given, *args, **options)
        cursor = self.cursor()
        await cursor.execute(operation, parameters, *args, **options)
        return cursor

    async def _executemany(self, *args: Any, **options: Any) -> Cursor:
        """Run a statement once per item on a new cursor, and return the cursor."""
        cursor = self.cursor()
        await cursor.executemany(*args, **options)
        return cursor

    def transaction(self, *args: Any, **kwargs: Any) -> Block:
        """Return ``async with`` for a transaction, or inside one for a savepoint: committed or released on success, else rolled back.

        The arguments are those of psycopg's own: ``savepoint_name``, and ``force_rollback`` for one that is rolled back in any case; with
        asyncpg also those of its own: ``isolation``, ``readonly``, ``deferrable``.
        """
        return Block(self, *args, **kwargs)

    async def commit(self) -> None:
        """Commit.  Raises the driver's error, `TransactionLost` (it did not happen) or `OutcomeUnknown`.

        Cancelled while the answer is awaited, the outcome is unknown: the `CancelledError` has a note that says so.
        """
        if hooks := await self._commit():
            call_hooks(hooks)

    async def _commit_block(self) -> None:
        """Commit what a block of ours has executed, or raise that the server has rolled it back."""
        if hooks := await self._commit(ours=True):
            call_hooks(hooks)

    async def _commit(self, ours: bool = False) -> Callbacks:
        """Commit, and return what is to be called because of it.  ``ours``: as for `State.uncommittable`."""
        session = self._state.session
        if session is None:
            self._require_nothing_lost()
        elif self._state.number is not None:
            self._require_same_session()
        if session is not None and self._state.answered is not None:
            await self._read_on()
        if (error := self._state.uncommittable(ours)) is not None:
            await self._end_commit(error)
        if session is not None:
            driver, done = self._pool.driver, False
            self._state.cancelling = requests(self._pool.loop)
            try:
                with awaited(session):
                    done = await driver.commit(session.raw)
            except BaseException as exc:
                self._require_own(exc, phase=Phase.COMMIT)
                await recover_commit(self, exc)
                done = True
            if not done:
                await self._end_commit(self._state.failed_commit())
        hooks = self._state.boundary(committed=True)
        if session is not None and (cancellation := outlived(self._state.cancelling)) is not None:
            self._end_committed(session, cancellation, hooks)
        return hooks

    def _end_committed(self, session: Session, cancellation: CancelledError, hooks: Callbacks) -> NoReturn:
        """The driver kept ``cancellation`` back during a COMMIT, which has happened: call what follows it, and raise."""
        cancellation.add_note(COMMITTED)
        self._state.committed = session.tainted = True
        try:
            if hooks:
                call_hooks(hooks)
        finally:
            raise cancellation

    async def rollback(self) -> None:
        """Roll back.  A connection that was lost meanwhile has rolled back already, so that is no error."""
        state = self._state
        if state.closed:
            raise state.returned()
        session = state.session
        if session is not None:
            state.cancelling = requests(self._pool.loop)  # a cancellation of before has ended something else already
            try:
                with awaited(session):
                    await self._forget_results(session)
                    await self._pool.driver.rollback(session.raw)
            except BaseException as exc:
                self._require_own(exc, phase=Phase.FETCH)
                if not state.facts(exc).lost:
                    raise
                self._lose(exc)
        state.forget_lost()
        if session is not None and (cancellation := outlived(state.cancelling)) is not None:
            session.tainted = True
            raise cancellation

    async def close(self) -> None:
        """Give the connection back to the pool, rolled back and clean; one from ``connect()`` is closed.  Twice does no harm."""
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
            if state.done:
                exc.add_note(DONE)
            raise
        finally:
            session.statements += session.count
            session.count = 0
            self._pool.give_back(session, keep)

    async def set_autocommit(self, on: bool) -> None:
        """Set the autocommit mode, on every driver; asyncpg has none of its own.  It is set again after a move.  Raises the driver's errors."""
        session = self._state.session or await self._revive()
        if on:
            await self._turn_on()
        await self._set_autocommit(self._pool.driver.set_autocommit, session.raw, on)

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection.  What is done with it is not recovered, and it is closed instead of going back to the pool."""
        session = self._live()
        self._state.unmanaged("driver_connection")
        return session.raw

    def __getattr__(self, name: str) -> Any:
        if name in _OURS or name.startswith("__"):
            raise AttributeError(name)
        if name in self._pool.driver.methods:
            return partial(self._own, name)
        state = self._state
        if name in ("closed", "is_closed") and state.closed:
            return True if name == "closed" else lambda: True
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

    # -- ours ------------------------------------------------------------------------------------------------------------------------

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

    # -- sessions --------------------------------------------------------------------------------------------------------------------

    def _live(self) -> Session:
        """Return the session; one that was lost comes again only with a statement, for here nothing can be awaited."""
        session = self._state.session
        if session is None:
            self._state.require_revivable()
            raise self._state.error(TransactionLost, "the session was lost; run a statement, or take a new connection")
        return session

    async def _revive(self) -> Session:
        state = self._state
        state.require_revivable()
        try:
            return await self._acquire(self._timeout())
        except Unrestorable as exc:
            raise state.not_restored(exc) from exc

    async def _acquire(self, timeout: float, avoid: str | None = None) -> Session:
        """Get a session, the first one or one in place of one that is gone, within ``timeout`` seconds.

        Raises `Unrestorable` when it could not be given the settings of the one that is gone.
        """
        state = self._state
        if self._state.arguments is None:
            session = await self._pool.checkout(state.want, timeout, avoid)
        else:
            session = await self._outside(timeout, avoid, self._state.arguments)
        if state.ledger.kept or (state.behind is not None and state.to_forget(session)):
            session = await self._restored(session, timeout, avoid)
        state.hold(session)
        if state.deadline:
            self._pool.wake_by(state.deadline)
        return session

    async def _restored(self, session: Session, timeout: float, avoid: str | None) -> Session:
        """Return ``session`` with the settings of the one that is gone, or another one with them, if it is lost meanwhile."""
        end = monotonic() + timeout
        while True:
            try:
                await self._pool.restore(session, self._state.ledger, self._state.to_forget(session))
            except Exception as exc:
                if not self._pool.lost_in_switch(session, exc):
                    raise Unrestorable(f"its settings could not be restored: {first_line(exc)}") from exc
            except BaseException:  # with the answer pending
                session.tainted = True
                self._pool.give_back(session, keep=False)
                raise
            else:
                return session
            left = max(0.0, end - monotonic())
            if self._state.arguments is None:
                session = await self._pool.checkout(self._state.want, left, avoid)
            else:
                session = await self._outside(left, avoid, self._state.arguments)

    async def _outside(self, timeout: float, avoid: str | None, arguments: Mapping[str, Any]) -> Session:
        state, pool = self._state, self._pool
        session = await pool.open_outside(state.want, timeout, arguments, avoid)
        autocommit = state.want.autocommit if state.mode_known else bool(session.autocommit)
        try:
            with awaited(session):
                await pool.set_mode(session, autocommit, state.want.read_only)
        except BaseException:  # nobody else knows of it
            pool.give_back(session, keep=False)
            raise
        return session

    def _lose(self, error: BaseException) -> None:
        """The session is gone, which is news about its node."""
        session = self._state.session
        if session is not None:
            note_lost(self._pool, session, error)
            self._drop()

    def _drop(self) -> None:
        """Close the session; nothing of it can be used again."""
        session = self._state.lose()
        if session is not None:
            session.tainted = True
            self._pool.give_back(session, keep=False)

    def _forget_cursors(self) -> list[Any]:
        """Let every cursor refuse its use from now on.  Returns the driver's."""
        cursors, self._state.cursors = self._state.cursors, ()
        raws = []
        for ref in cursors:
            cursor = ref()
            if cursor is not None and (raw := cursor._forget()) is not None:
                raws.append(raw)
        return raws

    async def _finish(self, session: Session) -> bool:
        """Make a session clean.  Returns whether it is worth keeping."""
        state = self._state
        raws = self._forget_cursors() if state.cursors else []
        if state.driver.abilities.leaves_results and state.driver.unread(session.raw, raws):
            state.driver.cut_off(session.raw)  # to read what is left may take longer than anybody wants to wait
            session.tainted = True
        if session.tainted or session.outside:
            return False
        unclean = state.pins or state.unclean
        if not (raws or session.count or unclean or state.transaction.may_commit or state.borrowed):
            return True
        try:
            with awaited(session):
                for raw in raws:
                    await self._pool.driver.close_cursor(raw)
                if rolled_back := state.must_roll_back(session):
                    state.cancelling = requests(self._pool.loop)
                    await self._pool.driver.rollback(session.raw)
                if state.borrowed is not None:  # before the reset, which does what the driver's own object says
                    state.borrowed.put_back(session.raw)
                    session.autocommit = self._pool.driver.autocommit(session.raw)
                if rolled_back and (cancellation := outlived(state.cancelling)) is not None:
                    raise cancellation
                return not unclean or await self._pool.reset(session)
        except Exception as exc:  # the caller's work has ended already: this is the pool's to know
            session.tainted = True
            if (cancellation := swallowed(state, session, exc)) is not None:
                raise cancellation from exc
            if state.driver.facts(exc, session.raw).fault is Fault.FOREIGN:
                raise
            note_lost(self._pool, session, exc)
            return False

    # -- statements ------------------------------------------------------------------------------------------------------------------

    async def _prepare(self, operation: Any, many: bool, asked: int | None = None) -> Traits | None:
        """Note what a statement may leave behind, before it is sent; None: it was a ROLLBACK of what is lost, and there is nothing to send.

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

    def _no_sample(self) -> None:
        """An error's latency is none: an instant error must not look fast."""
        session = self._state.session
        if session is not None:
            session.started = session.ended = monotonic()

    async def _own(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run a statement by one of the driver's own methods, recovered as `execute` is."""
        function = self._pool.driver.methods[name]
        many = name == "executemany"
        operation = args[0] if args else kwargs.get("command" if many else "query")
        rows: Any = ()
        if many:
            rows = args[1] if len(args) > 1 else kwargs.get("args")
        if rows.__class__ not in LASTING:
            self._state.reads(rows)
        traits = await self._prepare(operation, many)
        if traits is None:
            return {"execute": "ROLLBACK", "fetch": []}.get(name)
        session = self._state.session
        assert session is not None
        session.started = monotonic()
        try:
            result = await function(session.raw, *args, **kwargs)
        except BaseException as exc:
            self._require_own(exc, traits, phase_of(traits))
            self._no_sample()
            told = self._state.told(operation, rows, traits, many)
            result = await recover_statement(
                self, lambda session: function(session.raw, *args, **kwargs), told, phase_of(traits), exc
            )
        else:
            session.ended = monotonic()
            session.count += 1
        self._require_wanted(traits)
        if traits.commits and result == ROLLED_BACK:
            await self._end_commit(self._state.failed_commit())
        self._after(traits)
        return result

    def _require_wanted(self, traits: Traits | None) -> None:
        """Return, unless a statement has returned though its task was cancelled meanwhile: then raise that.

        What it has done stands, but in a transaction nothing follows: that is lost, as with any cancellation.
        """
        state = self._state
        cancellation = outlived(state.cancelling)
        if cancellation is None or state.session is None:
            return
        if traits is not None and traits.commits:
            self._end_committed(state.session, cancellation, state.after(traits))
        cancelled(self, state.session, cancellation, traits, words=ANSWERED)
        raise cancellation

    def _require_own(self, error: BaseException, traits: Traits | None = None, phase: Phase = Phase.EXECUTE) -> None:
        """Return when ``error``, which a call on the session raised, is the driver's own; else raise what passes to the caller.

        ``traits`` None: the statement leaves nothing behind; still, in autocommit mode, it may have written.
        """
        session = self._state.session
        if session is None:  # given back meanwhile
            raise error
        if isinstance(error, CancelledError):
            cancelled(self, session, error, traits, phase)
            # Before the driver asks the server to cancel, which would end a wait for a synchronous standby.
            if phase is Phase.COMMIT and self._pool.driver.dialect.cancel:
                self._pool.driver.terminate(session.raw)
            raise error
        if isinstance(error, Exception):
            cancellation = swallowed(self._state, session, error)
            if cancellation is None and (
                traits is not None or phase is Phase.COMMIT
            ):  # it was counted when this call began
                cancellation = outlived(self._state.cancelling)
            if cancellation is not None:
                cancelled(self, session, cancellation, traits, phase)
                raise cancellation from error
        if passes(self, error, traits, phase):
            raise error

    async def _read_on(self) -> None:
        """Read the results that the latest statement has left; an error among them is raised as that statement's own."""
        state = self._state
        session, cursor, state.answered = state.session, state.answered, None
        if session is None:
            return
        state.cancelling = requests(self._pool.loop)
        try:
            with awaited(session):
                await self._pool.driver.read_on(session.raw, cursor)
        except BaseException as exc:
            self._require_own(exc, LEFT)
            await recover_statement(self, never, LEFT, Phase.EXECUTE, exc)
        self._require_wanted(LEFT)

    async def _forget_results(self, session: Session) -> None:
        """Read the results that are left before a ROLLBACK; an error of theirs is rolled back too."""
        cursor, self._state.answered = self._state.answered, None
        if cursor is not None:
            try:
                await self._pool.driver.read_on(session.raw, cursor)
            except Exception as exc:  # if it is lost, the ROLLBACK finds that too
                if is_foreign(self, exc):
                    raise

    async def _end_commit(self, error: BaseException) -> NoReturn:
        """Raise what a COMMIT would hide: that its transaction is lost, or has failed.  That is its end all the same."""
        await self.rollback()
        self._state.transaction = self._state.transaction.ended_by(error)
        raise error

    async def _turn_on(self) -> None:
        """The autocommit mode is about to be turned on: where that commits what is open, it is a COMMIT with all that belongs to one."""
        self._require_autocommit()
        if self._state.mode_commits():
            await self.commit()

    async def _autocommit_method(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if any((*args, *kwargs.values())):
            await self._turn_on()
        return await self._set_autocommit(function, *args, **kwargs)

    async def _set_autocommit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        session = self._live()
        try:
            with awaited(session):
                result = await cancellable(function(*args, **kwargs))
        except BaseException as exc:
            self._require_own(exc, phase=Phase.FETCH)
            raise
        mode_changed(self._state, session.raw, "autocommit()")
        return result


_set = object.__setattr__
"""Past our own ``__setattr__``, which forwards to the driver."""
