"""The cursor: the driver's own, with recovery around `execute`.

Rules
-----
1. This is the hot path.  A statement that was seen before and leaves nothing behind costs one plain frame, two reads of
   the clock and a set lookup; there is no lock, no registration, no lambda.  ``fetch*`` are the driver's own bound
   methods.
2. Asking an object that has a ``__getattr__`` for anything is slow, so what `execute` needs is in one tuple, ``_hot``.
3. A cursor whose session is gone knows no harmless statement: whoever takes the session away calls `_unbind` (lost) or
   `_forget` (given back), and every execution then takes the slow path, which makes a new cursor or raises.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.base import BaseConnection
from ..connection.forwarded import looked_at_cursor, positional
from ..connection.interruption import broken_into, is_foreign, passes
from ..connection.result import Result
from ..connection.rows import LASTING
from ..connection.state import State
from ..connection.statements import UNSET, phase_of
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from .recovery import recover_statement

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from .connection import Connection

RETURNED: Any = object()
"""The session of a cursor whose connection was given back: every use raises."""

_UNBOUND: Any = (None, frozenset(), None, None)

CLOSED = {"closed": True, "open": False}
"""What drivers' objects say of themselves when they are closed."""

_OURS = frozenset(
    (
        "_args",
        "_connection",
        "_hot",
        "_raw",
        "_result",
        "_session",
        "_settings",
        "_state",
        "fetchall",
        "fetchmany",
        "fetchone",
        "__weakref__",
    )
)


class Nothing:
    """Stands where the driver's cursor does, while there is none: the session was lost, and its transaction has been
    rolled back.
    """

    description = lastrowid = rownumber = None
    rowcount = -1
    arraysize = 1

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def fetch(self, *_: Any) -> Any:
        """Raise: there is no result."""
        raise self._error("clustersql: there is no result, the statement was a ROLLBACK of what was lost")

    def close(self) -> None:
        """Do nothing."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


FETCHING = ("fetchone", "fetchmany", "fetchall")


def guarded(connection: BaseConnection, function: Callable[..., Any], phase: Phase = Phase.FETCH) -> Callable[..., Any]:
    """Return a method of the driver that reads from the server: what breaks into it leaves half an answer, and closes
    the session.

    ``phase``: `Phase.EXECUTE` where it reads rows, which may be a write's: then that is not over before the last one.
    """

    def reading(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as exc:
            passes(connection, exc, phase=phase)
            raise

    reading.__name__ = getattr(function, "__name__", "reading")
    return reading


class Cursor:
    """A PEP 249 cursor on whichever node serves.  What PEP 249 does not know is forwarded to the driver's cursor."""

    _connection: Connection
    _state: State
    _args: tuple[tuple[Any, ...], dict[str, Any]]
    _session: Session
    _settings: dict[str, Any] | None = None
    """What was set on the driver's cursor, for that of another session."""
    _raw: Any
    _hot: tuple[Session, set[Any], Any, Callable[..., Any]]
    """The session, the statements that leave nothing behind, the driver's cursor, and its ``execute``."""
    _result: Result | None = None
    """The first of several results, where all were read at once."""
    fetchone: Callable[..., Any]
    fetchmany: Callable[..., Any]
    fetchall: Callable[..., Any]

    def __init__(self, connection: Connection, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ours = self.__dict__  # past our own __setattr__, which forwards to the driver
        ours["_connection"] = connection
        ours["_state"] = connection._state
        ours["_args"] = args, kwargs
        try:
            self._bind()
        except BaseException as exc:
            self._bind_elsewhere(exc)

    @classmethod
    def _around(cls, connection: Connection, raw: Any) -> Cursor:
        """Return a cursor of ours around the driver's, which was made on the connection's present session as
        `Database.execute` does.
        """
        cursor, state = cls.__new__(cls), connection._state
        ours = cursor.__dict__
        ours["_connection"], ours["_state"], ours["_args"] = connection, state, ((), dict(state.pool.driver.buffering))
        ours["_session"], ours["_raw"] = state.session, raw
        cursor._unbind()
        state.cursors = (*state.cursors, weakref.ref(cursor))
        state.touched, state.alone = True, None
        return cursor

    def _bind(self) -> None:
        """Make a cursor of the driver on the connection's present session."""
        ours = self.__dict__
        state = ours["_state"]
        session = state.session
        args, kwargs = ours["_args"]
        abilities = state.driver.abilities
        if abilities.cursor_asks:
            with awaited(session):
                raw = session.raw.cursor(*args, **kwargs)
        else:
            raw = session.raw.cursor(*args, **kwargs) if args or kwargs else session.raw.cursor()
        if "_settings" in ours:
            for name, value in ours["_settings"].items():
                setattr(raw, name, value)
        ours["_session"] = session
        ours["_raw"] = raw
        ours["_hot"] = session, state.harmless, raw, raw.execute
        ours["fetchone"] = raw.fetchone
        ours["fetchmany"] = raw.fetchmany
        ours["fetchall"] = raw.fetchall
        if abilities.fetch_reads and state.driver.reads_later(raw):
            for name in FETCHING:
                ours[name] = guarded(ours["_connection"], getattr(raw, name), Phase.EXECUTE)

    def _bind_elsewhere(self, error: BaseException) -> None:
        """The driver asked for a sign of life to make a cursor, and there was none: nothing of the caller's
        was sent.
        """
        self.__dict__["_session"] = None
        if self._state.session is None and self._state.broken is not None:
            self._blank()  # what is lost can be rolled back by a statement too, which needs no cursor of the driver
            return
        if is_foreign(self._connection, error):
            if self._state.driver.abilities.cursor_asks:  # else nothing was sent, and no answer can be pending
                broken_into(self._connection, error, phase=Phase.FETCH)
            try:
                raise error
            finally:  # or this frame and the error would keep each other, and the connection with them
                del error
        recover_statement(self._connection, self._rebound, None, Phase.EXECUTE, error, sends=False)

    def _rebound(self, session: Session) -> None:
        """Make a cursor of the driver on ``session``, unless there is one."""
        if self._session is not session:
            self._bind()

    def execute(self, operation: Any = UNSET, parameters: Any = UNSET, /, **options: Any) -> Any:
        """Run a statement; arguments and result are the driver's (where that is its cursor, it is this one).

        Raises the driver's errors, `TransactionLost` or `OutcomeUnknown`.
        """
        session, harmless, raw, run = self._hot
        try:
            known = operation in harmless
        except TypeError:  # psycopg's composed SQL has no hash
            known = False
        if not known or options:
            if options:
                operation, parameters, options = positional(self._state, operation, parameters, options, many=False)
                self._state.reads_options(options)
            return self._noted("execute", operation, parameters, options)
        session.statement = operation
        session.started = monotonic()
        try:
            result = run(operation) if parameters is UNSET else run(operation, parameters)
            session.ended = monotonic()
            session.count += 1
        except Exception as exc:
            return self._connection._recover(self, "execute", operation, parameters, options, None, exc)
        except BaseException as exc:
            broken_into(self._connection, exc)
            raise
        return self if result is raw else result

    def executemany(self, operation: Any = UNSET, parameters: Any = UNSET, /, **options: Any) -> Any:
        """Run a statement once per item of ``parameters``; as `execute`.  Without a transaction a part may have been
        committed.

        Only rows in a list or a tuple are sent again where the node fails; what can be read once only never is.
        """
        if options:
            operation, parameters, options = positional(self._state, operation, parameters, options, many=True)
        if parameters.__class__ not in LASTING:
            self._state.reads(parameters)
        return self._noted("executemany", operation, parameters, options)

    def _noted(self, method: str, operation: Any, parameters: Any, options: dict[str, Any]) -> Any:
        """Run a statement that something must be noted of: it was not seen before, it controls the transaction, or it
        leaves state behind.
        """
        connection = self._connection
        if self._state.answered is not None:
            connection._read_on()
        traits = connection._prepare(operation, many=method == "executemany")
        if traits is None:
            self._blank()
            return self
        if self._state.session is not self._session:
            try:
                self._bind()  # the connection has moved since; what is left of the old result stays readable until here
            except BaseException as exc:
                self._bind_elsewhere(exc)
        session = self._state.session
        assert session is not None
        if self._hot is _UNBOUND:
            self.__dict__["_hot"] = session, self._state.harmless, self._raw, self._raw.execute
        session.started = monotonic()
        try:
            if traits.commits and (to_the_end := getattr(self._state.driver, "to_the_end", None)):
                result = to_the_end(session.raw, partial(self._call, method, operation, parameters, options))
            else:
                result = self._call(method, operation, parameters, options)
            session.ended = monotonic()
            session.count += 1
        except Exception as exc:
            return connection._recover(self, method, operation, parameters, options, traits, exc)
        except BaseException as exc:
            broken_into(connection, exc, traits, phase_of(traits))
            raise
        connection._after(traits)
        return self if result is self._raw else result

    def _call(self, method: str, operation: Any, parameters: Any, options: dict[str, Any]) -> Any:
        given = tuple(value for value in (operation, parameters) if value is not UNSET)
        result = getattr(self._raw, method)(*given, **options)
        state = self._state
        if state.driver.abilities.leaves_results and state.leaves_results(operation, self._raw):
            self._read_whole()
        if state.answered is not None:  # mysql-connector would take what is left for the answer to the next statement
            for cursor in state.alive_cursors():
                cursor._unbind()
        return result

    def _read_whole(self) -> None:
        """Read every result of what was executed where nobody can do it later, and keep the first."""
        state = self._state
        if state.session is not None:
            self.__dict__["_result"] = Result.of(self._raw)
            self._connection._pool.driver.read_on(state.session.raw, self._raw)
            state.answered = None

    def _again(self, method: str, operation: Any, parameters: Any, options: dict[str, Any]) -> Callable[[Session], Any]:
        """Return what runs the statement once more, on the session that it is given."""

        def again(session: Session) -> Any:
            self._rebound(session)
            session.statement = operation
            result = self._call(method, operation, parameters, options)
            return self if result is self._raw else result

        return again

    def _detach(self) -> None:
        """The connection was given back: from now on every use raises, or it would work on somebody else's session."""
        self._forget()
        self._raw.close()

    def _forget(self) -> None:
        ours = self.__dict__
        ours["_session"], ours["_hot"] = RETURNED, _UNBOUND
        ours["fetchone"] = ours["fetchmany"] = ours["fetchall"] = self._state.refuse

    def _blank(self) -> None:
        """There is no cursor of the driver, and no result."""
        ours, nothing = self.__dict__, Nothing(self._state.driver.interface_error)
        ours["_session"], ours["_hot"], ours["_raw"] = None, _UNBOUND, nothing
        ours["fetchone"] = ours["fetchmany"] = ours["fetchall"] = nothing.fetch

    def _unbind(self) -> None:
        """The session was lost: the next execution makes a cursor on another one; what is left of the old result stays
        readable until then.
        """
        self.__dict__["_hot"] = _UNBOUND

    @property
    def driver_cursor(self) -> Any:
        """The driver's own cursor.  What is done with it is not recovered."""
        self._state.unmanaged("driver_cursor")
        return self._raw

    @property
    def connection(self) -> Connection:
        """The connection that this cursor works on."""
        return self._connection

    def close(self) -> None:
        """Close the cursor; twice does no harm, and that of a lost session neither."""
        if self._session is RETURNED:
            return
        if self._state.answered is self._raw:  # some drivers lose an error in what is left
            self._connection._read_on()
        try:
            self._raw.close()
        except BaseException as exc:
            # mysqlclient still asks the server: on leaving ``with`` that would mask OutcomeUnknown
            if self._session is self._state.session:
                passes(self._connection, exc, phase=Phase.FETCH)
                raise
            if not isinstance(exc, Exception):
                raise

    def __getattr__(self, name: str) -> Any:
        if name in _OURS or name.startswith("__"):
            raise AttributeError(name)
        if self._session is RETURNED:
            if name in CLOSED:
                return CLOSED[name]
            raise self._state.returned()
        value = getattr(self._raw, name)
        return (
            guarded(self._connection, value, Phase.EXECUTE)
            if name == "nextset"
            else looked_at_cursor(self._state, name, value)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OURS:
            object.__setattr__(self, name, value)
            return
        if self._session is RETURNED:
            raise self._state.returned()
        setattr(self._raw, name, value)
        self.__dict__["_settings"] = (self._settings or {}) | {name: value}

    def __iter__(self) -> Iterator[Any]:
        if self._session is RETURNED:
            raise self._state.returned()
        driver = self._connection._pool.driver
        return self if driver.abilities.fetch_reads and driver.reads_later(self._raw) else iter(self._raw)

    def __next__(self) -> Any:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        session: Session | None = self._session
        state = (
            "returned" if session is RETURNED else f"on {session.node}" if session is not None else "without a session"
        )
        return f"<clustersql.Cursor {state}>"
