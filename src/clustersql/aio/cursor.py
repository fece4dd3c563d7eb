"""The cursor: the driver's own, with recovery around `execute`.

This is the hot path.  A statement that was seen before and leaves nothing behind costs one plain coroutine, two reads
of the clock and a set lookup; there is no lock, no task, no registration.  The driver's cursor is made by ``async
with`` or with the first statement, because some drivers need a round trip, or a thread, for it.
"""

from __future__ import annotations

import weakref
from asyncio import current_task
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..connection.forwarded import looked_at_cursor, positional
from ..connection.recovery import ROLLED_BACK
from ..connection.result import Result
from ..connection.rows import LASTING
from ..connection.state import State
from ..connection.statements import UNSET, phase_of
from ..core.recovery.verdict import Phase
from ..core.statements.traits import Traits
from ..drivers.base.surface import Effect
from .cancellation import cancellable, requests
from .own import watched
from .recovery import recover_statement

if TYPE_CHECKING:
    from ..connection.result import Result
    from ..core.booking.shelf import Session
    from .connection import Connection

RETURNED: Any = object()
"""The session of a cursor whose connection was given back: it is no connection's session, so every use takes the slow
path, and raises."""

_OURS = frozenset(
    (
        "_args",
        "_connection",
        "_execute",
        "_executemany",
        "_fetchone",
        "_outlives",
        "_raw",
        "_result",
        "_session",
        "_settings",
        "_state",
        "__weakref__",
    )
)


class Cursor:
    """A cursor on whichever node serves.  What is not named here is forwarded to the driver's cursor, once there is
    one.
    """

    _connection: Connection
    _state: State
    _args: tuple[tuple[Any, ...], dict[str, Any]]
    _session: Session | None
    _settings: dict[str, Any]
    _raw: Any
    _outlives = False
    """The driver may keep a cancellation back, and return: each call of its is looked at."""
    _result: Result | None = None
    """The first of several results, where all were read at once."""

    def __init__(self, connection: Connection, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.__dict__.update(
            _connection=connection,
            _state=connection._state,
            _args=(args, kwargs),
            _session=None,
            _settings={},
            _raw=None,
        )

    @classmethod
    def _around(cls, connection: Connection, raw: Any) -> Cursor:
        """Return a cursor of ours around the driver's, which was made on the connection's present session as
        `Database.execute` does.
        """
        cursor, state = cls(connection, (), {}), connection._state
        cursor.__dict__.update(
            _session=state.session,
            _raw=raw,
            _execute=raw.execute,
            _executemany=raw.executemany,
            _fetchone=raw.fetchone,
        )
        state.cursors, state.alone = (weakref.ref(cursor),), None
        return cursor

    async def _bind(self, session: Session) -> None:
        """Make a cursor of the driver on ``session``."""
        args, kwargs = self._args
        raw = await self._connection._pool.driver.cursor(session.raw, args, kwargs)
        if self._settings:
            for name, value in self._settings.items():
                setattr(raw, name, value)
        self.__dict__.update(  # past our own __setattr__, which forwards to the driver
            _session=session, _raw=raw, _execute=raw.execute, _executemany=raw.executemany, _fetchone=raw.fetchone
        )
        if getattr(self._state.driver, "outlives_cancellation", False):
            self.__dict__.update(
                _outlives=True, _execute=_cancellable(raw.execute), _executemany=_cancellable(raw.executemany)
            )

    async def execute(self, operation: Any = UNSET, parameters: Any = UNSET, /, **options: Any) -> Any:
        """Run a statement; parameters are in the driver's style, and the result is the driver's (where that is its
        cursor, it is this one).

        Raises the driver's errors, `TransactionLost` or `OutcomeUnknown`.  Cancelled, it leaves no answer pending in
        the pool.
        """
        state, session = self._state, self._session
        if (
            session is None
            or session is not state.session
            or operation.__class__ is not str
            or operation not in state.harmless
        ):
            if options:
                operation, parameters, options = positional(state, operation, parameters, options, many=False)
                state.reads_options(options)
            return await self._noted("execute", operation, parameters, options)
        session.statement = operation
        session.started = monotonic()
        try:
            if parameters is UNSET:
                result = await self._execute(operation, **options)
            else:
                result = await self._execute(operation, parameters, **options)
            session.ended = monotonic()
            session.count += 1
        except BaseException as exc:
            return await self._recover("execute", operation, parameters, options, None, exc)
        return self if result is self._raw else result

    async def executemany(self, operation: Any = UNSET, parameters: Any = UNSET, /, **options: Any) -> Any:
        """Run a statement once per item of ``parameters``; as `execute`.  Without a transaction a part may have been
        committed.

        Only rows in a list or a tuple are sent again where the node fails; what can be read once only never is.
        """
        if options:
            operation, parameters, options = positional(self._state, operation, parameters, options, many=True)
        if parameters.__class__ not in LASTING:
            self._state.reads(parameters)
        return await self._noted("executemany", operation, parameters, options)

    async def _noted(self, method: str, operation: Any, parameters: Any, options: dict[str, Any]) -> Any:
        """Run a statement that something must be noted of: it was not seen before, it controls the transaction, or it
        leaves state behind.
        """
        connection = self._connection
        if self._state.answered is not None:
            await connection._read_on()
        task = current_task(connection._pool.loop)
        asked = 0 if task is None else task.cancelling()
        traits = await connection._prepare(operation, method == "executemany", asked)
        if traits is None:
            self._blank()
            return self
        session = self._state.session
        assert session is not None
        session.started = monotonic()
        try:
            if session is not self._session:  # the first statement, or the connection has moved since
                await self._bind(session)
            call = self._call(method, operation, parameters, options)
            if traits.commits and (to_the_end := getattr(connection._pool.driver, "to_the_end", None)):
                call = to_the_end(session.raw, call)
            result = await call
            session.ended = monotonic()
            session.count += 1
        except BaseException as exc:
            return await self._recover(method, operation, parameters, options, traits, exc)
        if task is not None and task.cancelling() > asked:
            connection._require_wanted(traits)
        if traits.commits and getattr(self._raw, "statusmessage", None) == ROLLED_BACK:
            await connection._end_commit(self._state.failed_commit())
        connection._after(traits)
        return self if result is self._raw else result

    async def _call(self, method: str, operation: Any, parameters: Any, options: dict[str, Any]) -> Any:
        function = self._execute if method == "execute" else self._executemany
        given = tuple(value for value in (operation, parameters) if value is not UNSET)
        result = await function(*given, **options)
        state = self._state
        if state.driver.abilities.leaves_results and state.leaves_results(operation, self._raw):
            await self._read_whole()
        return result

    async def _read_whole(self) -> None:
        """Read every result of what was executed where nobody can do it later, and keep the first."""
        state, raw = self._state, self._raw
        if state.session is not None:
            self.__dict__["_result"] = await fetched(raw, raw)
            await self._connection._pool.driver.read_on(state.session.raw, raw)
            state.answered = None

    async def _recover(
        self,
        method: str,
        operation: Any,
        parameters: Any,
        options: dict[str, Any],
        traits: Traits | None,
        error: BaseException,
    ) -> Any:
        async def again(session: Session) -> Any:
            if self._session is not session:
                await self._bind(session)
            session.statement = operation
            result = await self._call(method, operation, parameters, options)
            return self if result is self._raw else result

        connection = self._connection
        connection._require_own(error, traits, phase_of(traits))
        connection._no_sample()
        traits = self._state.told(operation, parameters, options, traits, method == "executemany")
        if traits is None:  # it was not noted, so what the count was before it is not known
            self._state.cancelling = requests(connection._pool.loop)
        result = await recover_statement(connection, again, traits, phase_of(traits), error)
        connection._require_wanted(traits)
        if traits is None and self._state.behind is not None:
            traits = self._state.notes.look(operation)
        if traits is not None:
            connection._after(traits)
        return result

    # -- results -------------------------------------------------------------------------------------------------------

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return await self._fetched(self._fetchone())

    async def fetchmany(self, size: int | None = None) -> Any:
        """Return the next ``size`` rows, by default the cursor's ``arraysize``; fewer at the end."""
        raw = self._live()
        return await self._fetched(raw.fetchmany() if size is None else raw.fetchmany(size))

    async def fetchall(self) -> Any:
        """Return all rows that were not fetched yet."""
        return await self._fetched(self._live().fetchall())

    async def _fetched(self, rows: Awaitable[Any]) -> Any:
        if self._outlives:
            rows = cancellable(rows)
        try:
            return await rows
        except BaseException as exc:
            # Not as `Phase.FETCH`: what is fetched may be a write's, and then it is not over before the last row.
            self._require_own(exc, Phase.EXECUTE)
            raise

    async def _fetchone(self) -> Any:
        """Stands here until the first statement puts the driver's own in its place."""
        return await self._live().fetchone()

    def _require_own(self, error: BaseException, phase: Phase = Phase.FETCH) -> None:
        """Return when a call on the driver's cursor, which is no statement, raised an error of the driver's; else raise
        what passes.
        """
        session = self._session
        if session is not None and session is self._state.session:
            self._connection._require_own(error, phase=phase)

    def _live(self) -> Any:
        if self._session is RETURNED:
            raise self._state.returned()
        if self._raw is None:
            raise self._state.driver.interface_error(
                "clustersql: the driver's cursor is made by `async with` or the first statement: there was neither yet"
            )
        return self._raw

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> Any:
        row = await self.fetchone()
        if row is None:
            raise StopAsyncIteration
        return row

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _forget(self) -> Any:
        """The connection was given back: from now on every use raises, or it would work on somebody else's session.
        Returns the driver's cursor.
        """
        raw = self._raw
        # The state's method: its own would be a cycle of references in each cursor, which only the collector frees.
        self.__dict__.update(_session=RETURNED, _fetchone=self._state.refuse)
        return raw

    def _blank(self) -> None:
        """There is no cursor of the driver, and no result: the statement was a ROLLBACK of what was lost."""
        ours = self.__dict__
        ours.update(_session=None, _raw=None)
        for bound in ("_execute", "_executemany", "_fetchone"):
            ours.pop(bound, None)

    def _unbind(self) -> None:
        """Nothing more may be executed on its session: `State.harmless` says so to every statement."""

    @property
    def driver_cursor(self) -> Any:
        """The driver's own cursor.  What is done with it is not recovered."""
        self._state.unmanaged("driver_cursor")
        return self._live()

    @property
    def connection(self) -> Connection:
        """The connection that this cursor works on."""
        return self._connection

    @property
    def description(self) -> Any:
        """The columns of the result as PEP 249 has them; None when there are none, or no statement was run."""
        return None if self._session is None else self._live().description

    @property
    def rowcount(self) -> int:
        """How many rows were returned or changed; -1 when that is not known."""
        return -1 if self._session is None else self._live().rowcount

    async def close(self) -> None:
        """Close the cursor; twice does no harm, and that of a lost session neither."""
        session, raw = self._session, self._raw
        if session is RETURNED or raw is None:
            return
        if self._state.answered is raw:
            await self._connection._read_on()
        try:
            await self._connection._pool.driver.close_cursor(raw)
        except BaseException as exc:
            self._require_own(exc)
            if session is self._state.session or not isinstance(exc, Exception):
                raise  # else it would mask OutcomeUnknown on leaving ``async with``

    def __getattr__(self, name: str) -> Any:
        if name in _OURS or name.startswith("__"):
            raise AttributeError(name)
        if self._session is RETURNED and name == "closed":
            return True
        if self._raw is None and name in self._settings:
            return self._settings[name]
        value = getattr(self._live(), name)
        return watched(self._connection, looked_at_cursor(self._state, name, value), Effect.TELLS)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OURS:
            object.__setattr__(self, name, value)
            return
        if self._session is RETURNED:
            raise self._state.returned()
        if self._raw is not None:
            setattr(self._raw, name, value)
        self._settings[name] = value  # for the driver's cursor that the first statement makes, or that of another node

    async def __aenter__(self) -> Cursor:
        """Make the driver's cursor already here, so that its own methods (psycopg's ``copy`` and ``stream``) can come
        first.
        """
        session = self._state.session
        if self._session is None and session is not None:
            try:
                await self._bind(session)
            except BaseException as exc:  # an error of the driver's the first statement meets again, and is recovered
                self._connection._require_own(exc, phase=Phase.FETCH)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        session = self._session
        state = "returned" if session is RETURNED else "not used yet" if session is None else f"on {session.node}"
        return f"<clustersql.aio.Cursor {state}>"


def _cancellable(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    def called(*args: Any, **options: Any) -> Awaitable[Any]:
        return cancellable(function(*args, **options))

    return called


async def fetched(cursor: Any, raw: Any) -> Result:
    """Fetch everything from ``cursor``, which is the driver's, ``raw``, or ours over it."""
    description = cursor.description
    rows = list(await cursor.fetchall()) if description is not None else []
    return Result(rows, description, cursor.rowcount, getattr(raw, "lastrowid", None))
