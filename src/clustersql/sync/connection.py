"""The connection: a handle on whichever session serves it now, and what is known of its transaction.

Rules
-----
1. ``_session`` is the one place that says whether the handle is live.  It is None when the handle was given back, or lost its session.
2. What was executed since checkout is noted by its text (`core.statements`): what leaves no state behind may move to another node.
3. A transaction that was lost stays lost until the caller has rolled back, or the rest of it would run alone on a new session.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any

from ..core.faults import Facts
from ..core.node import Role
from ..core.pooling import Session
from ..core.statements import Traits
from ..core.verdict import Phase, Situation, Transaction
from ..core.view import Want
from ..errors import ClusterError, PoolClosed, TransactionLost
from ..notes import Notes
from ..options import Options
from .cursor import CLOSED, Cursor, phase_of
from .pool import Pool
from .recovery import note_lost, recover_commit, recover_statement

_OURS = frozenset(
    "_arguments _broken _callbacks _committed _cursors _explicit _given_back _harmless _last_facts _may_commit _moved _notes _options _pool _pins _refused"
    " _session _site _unproven _want attempt".split()
)
_HARMLESS = frozenset(
    "character_set_name escape escape_string escape_sequence get_backend_pid get_parameter_status get_server_info get_host_info"
    " get_proto_info get_autocommit get_dsn_parameters get_transaction_status get_character_set_info fileno insert_id literal"
    " thread_id string_literal server_version server_capabilities ping info total_changes in_transaction open show_warnings".split()
)
"""Methods of drivers' connections that change nothing on the server."""


class Connection:
    """A PEP 249 connection to the cluster.  What PEP 249 does not know is forwarded to the driver's connection.

    From a pool (``db.connection()``), ``with`` commits on success, rolls back on an error and gives it back; `close` gives it back too.
    From ``clustersql.connect()``, ``with`` and `close` have the driver's own meaning.
    """

    attempt = 1
    """Inside ``run``: which call of the function this is, from 1."""

    # What most connections never change stands here, so that a checkout sets only what differs.
    _arguments: Mapping[str, Any] | None = None
    _broken: BaseException | None = None
    _callbacks: tuple[Callable[[], object], ...] = ()
    _cursors: tuple[weakref.ref[Cursor], ...] = ()
    _last_facts: Facts | None = None
    _pins: tuple[str, ...] = ()
    _refused: BaseException | None = None
    _session: Session | None = None
    _committed = _explicit = _given_back = _may_commit = _moved = _unproven = False

    _pool: Pool
    _options: Options
    _want: Want
    _notes: Notes
    _harmless: set[Any]
    _site: tuple[CodeType, int]

    def __init__(
        self,
        pool: Pool,
        options: Options,
        want: Want,
        notes: Notes,
        arguments: Mapping[str, Any] | None = None,
        depth: int = 2,
    ) -> None:
        """Check a session out; with ``arguments``, the driver's own, one outside the pool.  ``depth``: frames up to the caller's."""
        frame = sys._getframe(depth)
        self.__dict__.update(  # past our own __setattr__, which forwards to the driver and would cost more than all the rest
            _pool=pool,
            _options=options,
            _want=want,
            _notes=notes,
            _harmless=notes.proven if want.read_only else notes.plain,
            _site=(frame.f_code, frame.f_lasti),
            _arguments=arguments,
        )
        self._acquire(self._timeout())

    # -- the driver's face ---------------------------------------------------------------------------------------------------------

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Return a new cursor; the arguments are the driver's own."""
        if self._session is None:
            self._revive()
        cursor = Cursor(self, args, kwargs)
        if isinstance(kwargs.get("name", args[0] if args else None), str):
            self._unmanaged("cursor(name)")  # a server-side cursor lives in this session
        cursors = self._cursors
        if len(cursors) > 16:
            cursors = tuple(ref for ref in cursors if ref() is not None)
        self.__dict__["_cursors"] = (*cursors, weakref.ref(cursor))
        return cursor

    def commit(self) -> None:
        """Commit.  Raises the driver's error, `TransactionLost` (it did not happen) or `OutcomeUnknown`."""
        session = self._session
        if session is None:
            return self._commit_without_session()
        if self._pool.topology.driver.failed_transaction(session.raw):
            self._refuse_commit()
        try:
            session.raw.commit()
        except Exception as exc:
            recover_commit(self, exc)
        except BaseException:
            session.tainted = True
            raise
        self._boundary(committed=True)
        return None

    def rollback(self) -> None:
        """Roll back.  A connection that was lost meanwhile has rolled back already, so that is no error."""
        session = self._session
        if session is not None:
            try:
                session.raw.rollback()
            except Exception as exc:
                if not self._facts(exc).lost:
                    raise
                self._lose(exc)
        elif self._returned_already():
            raise self._returned()
        self._broken = None
        self._boundary(committed=False)

    def close(self) -> None:
        """Give the connection back to the pool, rolled back and clean; one from ``connect()`` is closed.  Twice does no harm."""
        session = self._session
        self.__dict__.update(_session=None, _given_back=True)
        if session is not None:
            self._finish(session)

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection.  What is done with it is not recovered, and it is closed instead of going back to the pool."""
        if self._session is None:
            self._revive()
        assert self._session is not None
        self._unmanaged("driver_connection")
        return self._session.raw

    def __getattr__(self, name: str) -> Any:
        if name in _OURS or name.startswith("__"):
            raise AttributeError(name)
        if name in CLOSED and self._returned_already():
            return CLOSED[name]
        if self._session is None:
            self._revive()
        assert self._session is not None
        value = getattr(self._session.raw, name)
        if not callable(value) or isinstance(value, type) or name in _HARMLESS:
            return value
        if name in ("execute", "executemany"):
            return lambda *args, **kwargs: getattr(self.cursor(), name)(*args, **kwargs)
        if name in ("autocommit", "set_autocommit"):
            return self._autocommit_method(value)
        return self._passing(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OURS:
            object.__setattr__(self, name, value)
            return
        if self._session is None:
            self._revive()
        assert self._session is not None
        setattr(self._session.raw, name, value)
        if name in ("autocommit", "isolation_level") and self._mode_changed():
            return
        self._unmanaged(name)

    # -- ours ----------------------------------------------------------------------------------------------------------------------

    @property
    def node(self) -> str | None:
        """The name of the node that serves this connection now; None: none does."""
        return self._session.node if self._session is not None else None

    @property
    def pins(self) -> tuple[str, ...]:
        """What keeps this connection from moving to another node: the leading words of the statements, or the calls, that left state."""
        return self._pins

    @contextmanager
    def options(self, **values: Any) -> Iterator[Connection]:
        """Within the block, statements have these options: ``timeout`` in seconds, ``idempotent``, ``move``."""
        before = self._options
        self._options = before.changed(**values)
        try:
            yield self
        finally:
            self._options = before

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once, after the COMMIT of this transaction was acknowledged, and never if it is not."""
        self._callbacks += (function,)

    def __enter__(self) -> Connection:
        if self._session is None:
            self._revive()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._arguments is None:
            self._leave(kind is None)
            return
        driver = self._pool.topology.driver
        if driver.leaving != "close":  # what the driver's own ``with`` does with the transaction
            self.commit() if kind is None else self.rollback()
        if driver.leaving != "commit":
            self.close()

    def _leave(self, success: bool) -> None:
        try:
            if success and self._has_work():
                self.commit()
        finally:
            self.close()

    def _has_work(self) -> bool:
        """Whether a COMMIT has anything to do, or must say that it cannot."""
        session = self._session
        if session is None:
            return self._broken is not None and not self._given_back
        return bool(session.count or self._pins or self._may_commit)

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is None:
            return
        self._session = None
        self._pool.orphans.append(session)
        name = self._pool.topology.name
        text = f"a connection of cluster {name!r}, checked out at {_line(*self._site)}, was never closed"
        warnings.warn(text, ResourceWarning, 2, source=self)

    def __repr__(self) -> str:
        state = (
            f"on {self._session.node}"
            if self._session is not None
            else "closed"
            if self._returned_already()
            else "lost"
        )
        return f"<clustersql.Connection to {self._pool.topology.name!r} {state}>"

    @property
    def _managed(self) -> bool:
        """Whether it is the pool's; else it was made by ``connect()``."""
        return self._arguments is None

    @property
    def _count(self) -> int:
        """How many statements of the open transaction have succeeded."""
        return self._session.count if self._session is not None else 0

    # -- sessions ------------------------------------------------------------------------------------------------------------------

    def _timeout(self) -> float:
        """Seconds that an operation on this connection may take, with everything that it waits for."""
        timeout = self._options.timeout
        return self._pool.timeout if timeout is None else timeout

    def _returned(self) -> ClusterError:
        return self._pool.error(
            PoolClosed, f"this connection of cluster {self._pool.topology.name!r} was closed, or given back to the pool"
        )

    def _returned_already(self) -> bool:
        return self._given_back or isinstance(self._broken, PoolClosed)

    def _revive(self) -> None:
        """Get a session again after the former one was lost, where nothing is lost with it."""
        if self._given_back:
            raise self._returned()
        if self._broken is not None:
            raise self._broken
        if not self._movable():
            raise self._pool.error(
                TransactionLost,
                f"the session was lost with its state ({', '.join(self._pins) or 'pinned'}); connect anew",
            )
        self._acquire(self._timeout())

    def _acquire(self, timeout: float, avoid: str | None = None) -> Session:
        """Get a session, the first one or one in place of one that is gone, within ``timeout`` seconds."""
        if self._arguments is None:
            session = self._pool.checkout(self._want, timeout, avoid)
        else:
            session = self._pool.open_outside(self._want, timeout, self._arguments, avoid)
            self._set_outside_mode(session)
        session.holder = weakref.ref(self)
        self.__dict__["_session"] = session
        return session

    def _set_outside_mode(self, session: Session) -> None:
        """The driver's default mode, or what the caller's arguments say, holds at first; after a move, what it was before."""
        if self._session is None and not self._moved:
            self._mode_is(bool(session.autocommit))
        self.__dict__["_moved"] = True
        self._pool.set_mode(session, self._want.autocommit, self._want.read_only)

    def _mode_is(self, autocommit: bool) -> None:
        want = self._want
        self._want = Want(want.service, want.read_only, autocommit, want.node, want.move)

    def _lose(self, error: BaseException) -> None:
        """The session is gone, which is news about its node."""
        session = self._session
        if session is not None:
            note_lost(self._pool, session, self._facts(error), error)
            self._drop()

    def _drop(self) -> None:
        """Close the session; nothing of it can be used again."""
        session, self._session = self._session, None
        if session is not None:
            self._pool.give_back(session, keep=False)

    def _movable(self) -> bool:
        return self._want.movable and self._options.move and not self._pins

    def _finish(self, session: Session) -> None:
        """Make a session clean and give it back; what cannot be made clean is closed."""
        if not (self._cursors or session.count or self._pins or self._may_commit or session.tainted or session.outside):
            self._pool.give_back(session)
            return
        keep = not session.tainted and not session.outside
        for ref in self._cursors:
            cursor = ref()
            if cursor is not None:
                try:
                    cursor._detach()
                except Exception:
                    keep = False
        self.__dict__["_cursors"] = ()
        try:
            if (
                keep
                and (session.count or self._may_commit)
                and (self._explicit or not session.autocommit or not self._autocommits())
            ):
                session.raw.rollback()
            if keep and self._pins:
                keep = self._pool.reset(session)
        except Exception as exc:
            note_lost(self._pool, session, self._facts_of(session, exc), exc)
            keep = False
        session.statements += session.count
        session.count = 0
        self._pool.give_back(session, keep)

    def _inherited(self) -> None:
        """In a forked child: the session is the parent's, and nothing may touch it here."""
        self._session = None
        self._broken = self._pool.error(
            PoolClosed, "this connection belongs to the parent process; check one out in this process"
        )
        for ref in self._cursors:
            cursor = ref()
            if cursor is not None:
                cursor._forget()

    def _autocommits(self) -> bool:
        return self._pool.topology.driver.abilities.autocommit

    # -- what is known of the transaction ------------------------------------------------------------------------------------------

    def _prepare(self, operation: Any, many: bool = False) -> Traits:
        """Note what a statement may leave behind, before it is sent."""
        if self._session is None:
            self._revive()
        traits = self._notes.look(operation)
        if many and self._transaction() is Transaction.NONE:
            traits = self._notes.many(traits)
        if traits.begins:
            self._explicit = True
        # MySQL's BEGIN commits what is open: with nothing open that is nothing.
        self._may_commit |= traits.may_commit and not (traits.begins and not traits.commits and self._count == 0)
        self._unproven |= not traits.read
        if traits.leaves_state:
            self._pins += (self._notes.leading_word(operation),)
        return traits

    def _after(self, traits: Traits) -> None:
        """A noted statement has succeeded."""
        if traits.commits or traits.rolls_back:
            self._boundary(committed=traits.commits)
        elif traits.may_commit and self._transaction() is Transaction.NONE:
            self._may_commit = False  # it was an operation of its own, and has happened

    def _boundary(self, committed: bool) -> None:
        """A transaction has ended; a new one begins with the next statement."""
        self._committed |= committed and (self._count > 0 or self._may_commit)
        session = self._session
        if session is not None:
            session.statements += session.count
            session.count = 0
        self._explicit = self._may_commit = self._unproven = False
        self._refused = None
        callbacks, self._callbacks = self._callbacks, ()
        if committed:
            for callback in callbacks:
                callback()

    def _transaction(self) -> Transaction:
        session = self._session
        if session is not None and session.autocommit and self._autocommits() and not self._explicit:
            return Transaction.NONE
        return Transaction.LATER if self._count else Transaction.FIRST

    def _unmanaged(self, name: str) -> None:
        """Something passes us by: the session may be in any state, and its transaction may have been committed."""
        self._pins += (name,)
        self._may_commit = self._unproven = True
        if self._session is not None:
            self._session.tainted = True

    def _passing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method of the driver that is forwarded; calling it is noted, looking at it is not."""

        def passed(*args: Any, **kwargs: Any) -> Any:
            self._unmanaged(f"{name}()")
            return function(*args, **kwargs)

        passed.__name__ = name
        return passed

    def _autocommit_method(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self._mode_changed()
            return result

        return changed

    def _mode_changed(self) -> bool:
        """The caller has set the autocommit mode: it is remembered, and set again after a move."""
        session = self._session
        mode = self._pool.topology.driver.autocommit(session.raw) if session is not None else None
        if session is None or mode is None:
            return False
        session.autocommit = mode
        self._mode_is(mode)
        self._explicit = self._explicit and self._count > 0
        return True

    # -- errors --------------------------------------------------------------------------------------------------------------------

    def _facts(self, error: BaseException) -> Facts:
        assert self._session is not None
        return self._facts_of(self._session, error)

    def _facts_of(self, session: Session, error: BaseException) -> Facts:
        return self._pool.topology.driver.facts(error, session.raw)

    def _situation(self, error: BaseException, phase: Phase, traits: Traits | None) -> Situation:
        """Everything that the verdict on ``error`` depends on.  ``traits`` None: the statement is one that leaves nothing behind."""
        session = self._session
        assert session is not None
        node = self._pool.topology.view.by_name.get(session.node)
        read = bool(session.read_only) and (traits is None or traits.read)
        if phase is Phase.COMMIT:
            proven = (bool(session.read_only) and not self._unproven) or self._count == 0
        else:
            proven = read or self._options.idempotent or (traits is not None and traits.begins)
        return Situation(
            facts=self._facts(error),
            phase=phase,
            transaction=self._transaction(),
            proven=proven,
            may_commit=self._may_commit,
            movable=self._movable(),
            read_only=bool(session.read_only),
            on_replica=node is not None and node.role is Role.REPLICA,
        )

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
        session = self._session
        if session is not None:
            session.started = session.ended = (
                0.0  # an error's latency is no sample: an instant error must not look fast
            )
        result = recover_statement(
            self, cursor, (method, operation, parameters, options), traits, phase_of(traits), exc
        )
        if traits is not None:
            self._after(traits)
        return result

    def _commit_without_session(self) -> None:
        if self._given_back:
            raise self._returned()
        if self._broken is not None:
            raise self._broken
        self._boundary(committed=True)  # nothing was executed since the session was lost

    def _refuse_commit(self) -> None:
        """The transaction has failed: the server would answer this COMMIT with a silent rollback, and the caller would believe it."""
        error = self._pool.error(
            TransactionLost, "COMMIT of a failed transaction: an earlier statement failed, so the server rolls it back"
        )
        self.rollback()
        raise error


def _line(code: CodeType, instruction: int) -> str:
    """Return "file:line" of an instruction: worked out only when somebody reads it."""
    line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
    return f"{code.co_filename}:{line or code.co_firstlineno}"
