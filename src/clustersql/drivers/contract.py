"""What clustersql needs of a driver, and nothing more.  One adapter per driver; a third party may write its own.

Rules
-----
* An adapter never decides: it dials, reads what an exception proves, and answers questions about a connection without a
  round trip.
* What a driver cannot tell is None or False in `Abilities`, never a guess; ``docs/support.md`` says what follows for
  the guarantees.
* An exception that is not the driver's is no news: whatever raised it may look like a lost connection
  (`AnyDriver.facts`, `Fault.FOREIGN`).
* No question raises, not even of a connection that is closed: the answer to a cancelled task would be that error, not
  its cancellation.
* Driver modules are imported when the adapter is made, never at import of clustersql.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.faults import Facts
from ..core.view.node import Role
from ..dialects import Dialect
from ..errors import Form
from .base.surface import Effect, Surface

__all__ = ["Abilities", "AnyDriver", "AsyncCursor", "AsyncDriver", "Driver", "Effect", "Own", "Surface", "Target"]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the driver can do; each False weakens a guarantee in a way that docs/support.md names."""

    descriptor: bool
    """The socket's descriptor is known: a dead idle connection is seen without a round trip, a hung call can be
    woken."""
    transaction_status: bool
    """It tells truthfully whether a transaction is open."""
    autocommit: bool
    """It has an autocommit mode that can be set; without one each single statement is committed by us."""
    connect_timeout: bool
    """Its connect takes a timeout; without one a deaf node's dial is abandoned in its thread."""
    shared: bool = False
    """It can work in sessions that a pooler shares (`Target.shared`): it then prepares no statement by a name, and has
    `set_read_only`."""
    shared_autocommit: bool = True
    """In such a session it may be in autocommit mode: whatever it sends for one statement goes out as one unit, to one
    session."""
    mode_commits: bool = False
    """Its autocommit mode, turned on within a transaction, is a COMMIT: it is the server's, or the driver commits
    (sqlite3)."""
    leaves_results: bool = False
    """When `execute` has returned, rows of its result and whole further results may be on their way still, with an
    error among them."""
    reset_keeps_hook: bool = False
    """`Driver.reset` brings back what ``on_connect`` has left too, so that it is not called again."""
    cursor_asks: bool = False
    """Making a cursor asks the server for a sign of life, so it may hang there as a statement does, and must be
    woken."""
    fetch_reads: bool = False
    """Some cursors of its read from the server when rows are fetched: `Driver.reads_later` tells which."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how to connect, fully resolved: the password has been asked for, the environment read."""

    host: str | None = None
    """A name or an address."""
    port: int | None = None
    """None: the driver's default."""
    user: str | None = None
    """Who logs in."""
    password: str | None = field(default=None, repr=False)
    """Never shown."""
    database: str | None = None
    """The database, or the path of the file."""
    unix_socket: str | None = None
    """The path of the server's socket, in place of host and port."""
    dsn: str | None = field(default=None, repr=False)
    """The driver's own connection string, passed as it is."""
    shared: bool = False
    """A pooler in between gives the server's sessions to other clients too, so that the driver must keep nothing in
    them."""
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The driver's own, which win over everything."""


class AnyDriver(Protocol):
    """What an adapter tells without a round trip; the same for threads and asyncio.  ``raw`` is always the driver's own
    connection.
    """

    name: str
    """The name by which the driver is chosen: "psycopg"."""
    module: Any
    """The driver's module."""
    family: str | None
    """Which URLs it takes: "postgresql", "mysql", "sqlite"; None: any."""
    dialect: Dialect
    """What is special about its database."""
    operational_error: type[BaseException]
    """Base of our own errors: the driver's OperationalError, or what it has in its place."""
    interface_error: type[BaseException]
    """Raised for a handle that was used after its return."""
    error: type[BaseException] | tuple[type[BaseException], ...]
    """Base of the driver's errors, or several where it has no common one (asyncpg); what else a call raises is not the
    driver's."""
    abilities: Abilities
    """What the driver can do."""
    form: Form
    """What a program may ask of the driver's errors beyond their class, so that it may ask it of ours."""
    connection_names: Surface
    """What each public name of the driver's connection does: `surface.Effect`.  Without it (an adapter of a third party
    may leave it out, and with it everything up to `undo`) the little holds that is known of any driver:
    `surface.UNKNOWN_CONNECTION`."""
    cursor_names: Surface
    """The same for its cursor."""
    keywords: tuple[str, str, str]
    """The names by which a caller may give the statement and the parameters of its ``execute``, and the rows of its
    ``executemany``."""

    def text(self, operation: Any, raw: Any) -> str | None:
        """Return the text of a statement that is neither str nor bytes (psycopg's composed SQL); None: it cannot be
        told.
        """

    def forget_plans(self, raw: Any) -> None:
        """Forget what was prepared, for the schema is another one now: what is executed next is prepared anew.  No
        round trip.
        """

    def before_change(self, raw: Any) -> None:
        """A statement is about to be sent that may leave something in its session: remember what `reset` must bring
        back.  No round trip.
        """

    def sends(self, raw: Any) -> bool:
        """Tell whether setting a name that is `Effect.LOCAL` would be sent to the server now."""

    def put(self, raw: Any, name: str, value: Any) -> None:
        """Set a name that is `Effect.LOCAL`, or a registry, on the driver's object, without a round trip."""

    def lend(self, raw: Any, name: str) -> Any:
        """Put a copy of a registry in its place, for a caller to change.  Return the registry, for `put`."""

    def undo(
        self, raw: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], object] | None:
        """Return what undoes a registration that is about to be made (`Effect.REGISTERS`); None: nothing can, the
        connection is closed.
        """

    def facts(self, exc: BaseException, raw: Any | None) -> Facts:
        """Return what ``exc`` proves.  ``raw`` is the connection it came from; None: it was raised while connecting.

        Only an error of the driver's, and what is the connection's end (an OSError of the driver's own call of the
        socket), is news of the connection.  Anything else that a call raised, and an error of the driver's that it made
        of such a thing, is `Fault.FOREIGN`.
        """

    def is_stale(self, raw: Any) -> bool:
        """Tell without a round trip whether an idle connection is dead; pending notices are consumed where the driver
        can.
        """

    def is_closed(self, raw: Any) -> bool:
        """Tell whether this side knows that the connection is closed or broken."""

    def failed_transaction(self, raw: Any) -> bool:
        """Tell, without a round trip, that the open transaction has failed, so that its COMMIT would be a silent
        rollback.
        """

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell whether a transaction is open; None: not known, which counts as yes."""

    def autocommit(self, raw: Any) -> bool | None:
        """Return the autocommit mode as the driver knows it, without a round trip; None: it cannot tell."""

    def pushed_role(self, raw: Any) -> Role | None:
        """Return the role that the server told at connect, without a round trip; None: it did not."""

    def session_id(self, raw: Any) -> int | None:
        """Return the server's number of this session (backend pid, thread id), which another session can cancel; None:
        not known.
        """

    def folds(self, raw: Any) -> bool:
        """Tell whether `commit_folded` may be used now: the driver notices a COMMIT inside a text, and none of its own
        blocks is open.
        """

    def own_thread(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a connection with these arguments can only be used by the thread that has dialled it."""

    def socket(self, raw: Any) -> tuple[int, int] | None:
        """Return the number of its descriptor and the identity of the socket behind it; None: it has none, or is
        closed.

        By the two it can be shut down from outside at any later time, whoever may close it meanwhile.
        """

    def peer(self, raw: Any) -> str:
        """Return the address and port at the other end of the connection, ``10.0.0.1:5432``, without a round trip; "":
        not known.
        """

    def received(self, raw: Any) -> int | None:
        """Return how many bytes have come from the node so far, without a round trip; None: not known."""

    def has_answered(self, raw: Any, since: int | None) -> bool:
        """Tell whether anything has come from the node since `received` was ``since``, or waits to be read.  Any thread
        may call it, during a call too.
        """

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Tell, without reading it, whether anything of what was executed is still to be read; ``cursors``: the
        driver's, on ``raw``.

        Only asked of drivers with `Abilities.leaves_results`, of a connection that is given back.
        """

    def cut_off(self, raw: Any) -> None:
        """Shut the connection down so that nothing of what is unread is read, neither by `close` nor by the
        collector.
        """

    def abort(self, raw: Any) -> bool:
        """Wake a call that hangs on this connection by shutting its socket down; False: the driver cannot.  Any thread
        may call it.
        """


class Driver(AnyDriver, Protocol):
    """One PEP 249 driver, as clustersql sees it."""

    leaving: str
    """What the driver's own ``with connection:`` does at its end: "commit" (or roll back), "close", or
    "commit-close"."""

    buffering: Mapping[str, Any]
    """Arguments of the driver's ``cursor()`` with which ``execute`` reads all rows before it returns; none where it
    does so anyway."""

    def reads_later(self, cursor: Any) -> bool:
        """Tell whether fetching from ``cursor`` may read from the server.  Only asked where `Abilities.fetch_reads`
        says so.
        """

    def connect(self, target: Target, timeout: float) -> Any:
        """Open a connection within about ``timeout`` seconds (where the driver can), with TCP keepalive and user
        timeout set.
        """

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode; may cost a round trip; no transaction is open."""

    def set_read_only(self, raw: Any, on: bool) -> None:
        """Begin transactions by BEGIN READ ONLY from now on, or as ever; no round trip; no transaction is open, and it
        is not in autocommit mode.
        """

    def ask(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` and return the rows of each (empty where it returns none).  Leaves no transaction open."""

    def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of ours as a part of the open transaction, and return its rows.  Only asked under the knob
        ``commit_guard``.
        """

    def commit_folded(self, raw: Any, text: str) -> None:
        """Run a text that ends with COMMIT, and raise its error.  Only asked where `folds` says so."""

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Read the results that follow the first one of what ``cursor`` has executed, to the end; an error among them
        is raised.

        Only asked of drivers with `Abilities.leaves_results`.  What the cursor holds of the first result stays where
        the driver can.
        """

    def reset(self, raw: Any) -> bool:
        """Make the session as it was after `connect`, but for its autocommit mode; False: the driver cannot, and the
        connection is closed.

        No transaction is open.  May cost round trips.
        """

    def ping(self, raw: Any) -> Any:
        """Ask for a sign of life, and for nothing else: where the driver would connect again, it must not.  Only asked
        where `Effect.PINGS` is.
        """

    def close(self, raw: Any) -> None:
        """Close quietly: a connection that is already broken raises nothing."""


Own = Callable[..., Awaitable[Any]]
"""A method of the driver's connection as a function: ``(raw, *args, **kwargs)``, in the driver's own signature."""


class AsyncCursor(Protocol):
    """What our cursor needs of the driver's cursor, or of what the adapter puts in its place (asyncpg has none)."""

    description: Any
    rowcount: int

    async def execute(self, operation: Any, parameters: Any = ..., /) -> Any:
        """Run a statement; ``parameters`` in the driver's own style.  A driver's cursor may return anything."""

    async def executemany(self, operation: Any, parameters: Any, /) -> Any:
        """Run a statement once per item."""

    async def fetchone(self) -> Any:
        """Return the next row, or None."""

    async def fetchmany(self, size: int = ..., /) -> Any:
        """Return the next rows."""

    async def fetchall(self) -> Any:
        """Return all rows that are left."""


class AsyncDriver(AnyDriver, Protocol):
    """One asyncio driver, as clustersql sees it.

    Rules
    -----
    * Statements begin a transaction unless the connection is in autocommit mode, as in PEP 249.  Where the driver does
      not (asyncpg, aiosqlite in autocommit), the adapter sends BEGIN itself, before the statement, inside `cursor` and
      `methods`.
    * A cancelled call (`asyncio.CancelledError`) passes; whether the connection can be used again is not the adapter's
      to decide.
    """

    leaving: str
    """What ``async with`` on the driver's own connection does at its end: "commit" (or roll back), "close", or
    "commit-close"."""
    methods: Mapping[str, Own]
    """The driver's own ways to run a statement on its connection, which are recovered as `execute` is; the first
    argument after ``raw`` is the statement.  asyncpg: fetch, fetchrow, fetchval, execute, executemany.  Empty for
    drivers that work through cursors."""

    begun: Mapping[str, Own]
    """The driver's own methods that pass by us, but must stand in the transaction, where the driver begins none by
    itself: with it begun.  asyncpg: prepare, fetchmany, copy_*; else what a COPY wrote would stay when its block is
    rolled back."""

    async def connect(self, target: Target, timeout: float) -> Any:
        """Open a connection within about ``timeout`` seconds, with TCP keepalive and user timeout set.  Never blocks
        the loop.
        """

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode; may cost a round trip; no transaction is open."""

    async def set_read_only(self, raw: Any, on: bool) -> None:
        """Begin transactions by BEGIN READ ONLY from now on, or as ever; no round trip; no transaction is open, and it
        is not in autocommit mode.
        """

    async def ask(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` and return the rows of each (empty where it returns none).  Leaves no transaction open."""

    async def reset(self, raw: Any) -> bool:
        """Make the session as it was after `connect`, but for its autocommit mode; False: the driver cannot, and the
        connection is closed.

        No transaction is open.  May cost round trips.
        """

    async def read_on(self, raw: Any, cursor: Any) -> None:
        """Read the results that follow the first one of what ``cursor`` has executed, to the end; an error among them
        is raised.

        Only asked of drivers with `Abilities.leaves_results`.
        """

    async def cursor(self, raw: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AsyncCursor:
        """Return a cursor of the driver, or what stands in its place; the arguments are those of the driver's
        ``cursor()``.
        """

    async def close_cursor(self, cursor: Any) -> None:
        """Close a cursor, with what is left of its result."""

    async def commit(self, raw: Any) -> bool:
        """Commit.  False: the server says that it rolled back instead, because the transaction had failed."""

    async def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """As `Driver.within`."""

    async def commit_folded(self, raw: Any, text: str) -> bool:
        """As `Driver.commit_folded`; returns what `commit` does."""

    async def to_the_end(self, raw: Any, call: Coroutine[Any, Any, Any]) -> Any:
        """Await ``call``, a COMMIT as text.  Where the driver would itself ask the server to end it when it is
        cancelled, it must not.
        """

    async def rollback(self, raw: Any) -> None:
        """Roll back; nothing open is no error."""

    async def ping(self, raw: Any) -> Any:
        """Ask for a sign of life, and for nothing else: where the driver would connect again, it must not.  Only asked
        where `Effect.PINGS` is.
        """

    async def close(self, raw: Any) -> None:
        """Close politely and quietly.  The caller bounds it in time, and calls `terminate` when it takes too long."""

    def terminate(self, raw: Any) -> None:
        """Close at once without a word to the server and without waiting; raises nothing, also when the
        loop is closed.
        """
