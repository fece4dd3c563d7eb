"""asyncpg: PostgreSQL in a protocol of its own.

It is not made after PEP 249, so this adapter adds what that asks for: BEGIN before the first statement (unless the
connection is in autocommit mode), and a cursor.  asyncpg's own methods keep their signatures and results.

A cancelled call sends a cancel request in the background, and the next call waits until the server has answered it; the
connection is good afterwards, in a failed transaction where there was one.  Only ``executemany`` loses a cancellation
that comes while it has more to send than the network takes: see `many`.  Each other call awaits one future, and nothing
catches what that raises (``protocol.pyx``), so none returns as if nothing had been.

It has no OperationalError.  Our own errors are ``PostgresConnectionError``, so that programs which catch that, or
``PostgresError``, catch them too.  Apart from ``PostgresError`` it raises ``InterfaceError``, ``InternalClientError``,
and OSErrors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar
from urllib.parse import urlencode

from ..core.faults import Fault
from ..core.view.node import Role
from ..dialects import Dialect, by_name
from ..errors import ConfigError, Form
from .base import sockets, transports
from .base.async_adapter import AsyncAdapter
from .base.foreign import packages_of
from .base.reader import SAME_NAMES, Codes, converted, server_arguments
from .base.surface import surface
from .base.unseen import unseen
from .contract import Abilities, Own, Target

NAMES = {**SAME_NAMES, "unix_socket": "host"}
OURS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
"""libpq's keywords for what we do ourselves; the server would take them for settings of its own and refuse."""
PREPARED = 64
"""Statements that are kept prepared per connection for our cursor; asyncpg keeps 100 for its own methods."""
UNWINDING = 0.1
"""Seconds for which a cancelled ``executemany`` is waited for: it ends in a few turns of the loop, or never."""
FORGETTING = ("DISCARD", "DEALLOCATE")
"""Status tags after which the server may have forgotten what was prepared."""


BEGUN = ("prepare", "fetchmany", "copy_from_table", "copy_from_query", "copy_to_table", "copy_records_to_table")
"""What passes by us and works on data; not what sets the connection up: LISTEN takes no effect before its COMMIT."""


CONNECTION_NAMES = surface(
    tells="get_reset_query get_server_pid get_server_version get_settings is_closed is_in_transaction session",
    replaces="reset",
    # `execute` and its like are the adapter's (`AsyncPG.methods`).
    ours="close cursor execute executemany fetch fetchrow fetchval transaction",
    unmanaged="add_listener add_log_listener add_query_logger add_termination_listener copy_from_query"
    " copy_from_table copy_records_to_table copy_to_table fetchmany prepare query_logger reload_schema_state"
    " remove_listener remove_log_listener remove_query_logger remove_termination_listener reset_type_codec"
    " set_builtin_type_codec set_type_codec terminate",
)
"""asyncpg's connection."""
CURSOR_NAMES = surface(
    tells="arraysize description rowcount statusmessage",
    ours="close execute executemany fetchall fetchmany fetchone",
    unmanaged="run",
)
"""Our cursor for it."""


class AsyncPG(AsyncAdapter):
    """Adapter for asyncpg."""

    name = "asyncpg"
    family = "postgresql"
    dialect_name = "postgresql"
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    abilities = Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True, shared=True)
    form = Form(texts=("message",))
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "timeout": float,
        "command_timeout": float,
        "statement_cache_size": int,
        "max_cached_statement_lifetime": int,
        "max_cacheable_statement_size": int,
        "direct_tls": bool,
    }

    def __init__(self, module: Any) -> None:
        self.module = module
        self.packages = packages_of(module.__name__)
        self.dialect: Dialect = by_name(self.dialect_name)
        self.error = (module.PostgresError, module.InterfaceError, module.InternalClientError)
        self.operational_error = module.PostgresConnectionError
        self.interface_error = module.InterfaceError
        self.methods: Mapping[str, Own] = {
            name: self._beginning(name) for name in ("fetch", "fetchrow", "fetchval", "execute", "executemany")
        }
        self.begun = {name: self._beginning(name) for name in BEGUN}

    # Connecting

    async def dial(self, target: Target, timeout: float) -> Any:
        """Connect.  Arguments that only libpq knows (sslmode, application_name) go where asyncpg reads them: into the
        DSN.
        """
        arguments = {name: value for name, value in target.arguments.items() if name not in OURS}
        known = set(signature(self.module.connect).parameters)
        if "service" not in known and ("service" in arguments or "service=" in (target.dsn or "")):
            raise ConfigError(
                "this asyncpg knows no service, the server would get it for a setting: give the address itself"
            )
        known -= {"service", "servicefile"}  # which it reads in a DSN only
        given = server_arguments(target, NAMES) | converted(
            {name: value for name, value in arguments.items() if name in known}, self.numbers
        )
        others = {name: value for name, value in arguments.items() if name not in known}
        given |= {"dsn": _dsn(target.dsn, others)} if target.dsn or others else {}
        given["connection_class"] = _remembering(given.get("connection_class", self.module.Connection))
        if target.shared:
            given["statement_cache_size"] = 0  # what is prepared in one session would be asked for in another
        try:
            raw = await self.module.connect(**given)
        except self.module.ClientConfigurationError:  # its text may repeat a part of the DSN, which may be the password
            raise ConfigError("asyncpg: the dsn or an argument of connect is not as asyncpg wants it") from None
        raw.session = Session(target.shared)
        transports.keep_alive(raw._transport)
        return raw

    # Reading

    def codes(self, exc: BaseException) -> Codes:
        """SQLSTATE where the server gave one; asyncpg gives one of its own (08003) to a call whose connection died."""
        return getattr(exc, "sqlstate", None), None, str(exc)

    def stale(self, exc: BaseException) -> Fault | None:
        """Tell by the class, of which asyncpg has one for each; the second one it raises itself, after the statement
        has happened.
        """
        if isinstance(exc, self.module.InvalidCachedStatementError):
            return Fault.STALE_PLAN
        return Fault.STALE_TYPES if isinstance(exc, self.module.OutdatedSchemaCacheError) else None

    def forget_plans(self, raw: Any) -> None:
        """Forget what was prepared for our cursor; asyncpg has forgotten its own, and its types."""
        raw.session.prepared.clear()

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Raised by ``_check_open``, and before that by whatever finds another call under way."""
        refusals = ("connection is closed", "another operation is in progress", "cannot switch to state")
        return isinstance(exc, self.module.InterfaceError) and any(text in codes[2] for text in refusals)

    def is_foreign(self, exc: BaseException, raw: Any) -> bool:
        """Also the TimeoutError of its own ``timeout=``, which is no end of the connection: only the kernel's has an
        errno.
        """
        return (isinstance(exc, TimeoutError) and exc.errno is None) or super().is_foreign(exc, raw)

    def descriptor(self, raw: Any) -> int | None:
        """Return the transport's."""
        return transports.descriptor(raw._transport)

    def is_closed(self, raw: Any) -> bool:
        """Ask asyncpg, which learns it from the loop."""
        return bool(raw.is_closed())

    def is_stale(self, raw: Any) -> bool:
        """Tell whether it is dead: the loop has seen it, or the end waits in the kernel; a notification is no end.

        Over TLS what waits cannot be read from outside: such a connection is given up rather than trusted.
        """
        descriptor = self.descriptor(raw)
        if descriptor is None or raw.is_closed():
            return True
        if not sockets.is_readable(descriptor):
            return False
        return transports.is_encrypted(raw._transport) or not sockets.only_news(sockets.peek(descriptor))

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell what the server's latest answer told."""
        return None if raw.is_closed() else bool(raw.is_in_transaction())

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the mode, which is ours: asyncpg has none."""
        return bool(raw.session.autocommit)

    def session_id(self, raw: Any) -> int | None:
        """Return the backend's pid."""
        return None if raw.is_closed() else raw.get_server_pid()

    def pushed_role(self, raw: Any) -> Role | None:
        """Tell from what PostgreSQL 14 and later report at connect and after a change.

        A session that is read-only by default tells nothing: that may be our own doing.
        """
        told = None if raw.is_closed() else raw.get_settings()
        standby = getattr(told, "in_hot_standby", None)
        if standby == "on":
            return Role.REPLICA
        read_only = getattr(told, "default_transaction_read_only", None)
        return Role.PRIMARY if standby == "off" and read_only == "off" else None

    # Statements

    async def begin(self, raw: Any, timeout: float | None = None) -> None:
        """Send BEGIN, unless a transaction is open or the connection is in autocommit mode; ``timeout`` is
        asyncpg's.
        """
        if not raw.session.autocommit and not (raw.is_closed() or raw.is_in_transaction()):
            await raw.execute("BEGIN READ ONLY" if raw.session.read_only else "BEGIN", timeout=timeout)

    def _beginning(self, name: str) -> Own:
        async def own(raw: Any, *args: Any, **kwargs: Any) -> Any:
            await self.begin(raw, kwargs.get("timeout"))
            if name == "executemany":
                return await self.many(raw, *args, **kwargs)
            return await getattr(raw, name)(*args, **kwargs)

        own.__name__ = name
        return own

    async def many(self, raw: Any, *args: Any, **kwargs: Any) -> Any:
        """Run asyncpg's ``executemany``, so that it ends when it is cancelled.

        Cancelled while it waits to send more (``bind_execute_many``, whose ``finally`` returns), it drops the
        cancellation, sends no more, and waits for ever for the answer to a message that it has not ended.  So it works
        in a task of its own, and the connection is closed where that does not end.  For the same reason it would wait
        after a BaseException of the rows: then the connection is closed, and that passes.
        """
        names = dict(zip(("command", "args"), args, strict=False)) | kwargs
        rows = Rows(names.get("args"), lambda: self.terminate(raw))
        if "args" in names:
            names["args"] = rows.read()
        working = asyncio.ensure_future(raw.executemany(**names))
        try:
            return await asyncio.shield(working)
        except Exception:
            if rows.broken is not None:
                raise rows.broken from None
            raise
        except asyncio.CancelledError:
            working.cancel()
            working.add_done_callback(_seen)
            try:
                await asyncio.wait((working,), timeout=UNWINDING)
            finally:
                if not working.done():
                    self.terminate(raw)
            raise

    async def cursor(self, raw: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Cursor:
        """Return a cursor; it takes no arguments.  asyncpg's own ``cursor(query)`` is a method of its connection."""
        return Cursor(self, raw, *args, **kwargs)

    async def answers(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run them, each for itself."""
        cursor = Cursor(self, raw)
        answers = []
        for statement in statements:
            await cursor.run(statement, ())
            answers.append([tuple(row) for row in await cursor.fetchall()])
        return answers

    def modes(self, isolation: str | None = None, readonly: bool = False, deferrable: bool = False) -> str:
        """Return what follows BEGIN or SET TRANSACTION for the arguments of asyncpg's own ``transaction()``.

        Raises ValueError, as that does, for a level that it does not know (`asyncpg.transaction.ISOLATION_LEVELS`).
        """
        levels = self.module.transaction.ISOLATION_LEVELS
        if isolation and isolation not in levels:
            raise ValueError(f"isolation is expected to be either of {levels}, got {isolation!r}")
        level = f"ISOLATION LEVEL {isolation.replace('_', ' ').upper()}" if isolation else ""
        wanted = (level, "READ ONLY" if readonly else "", "DEFERRABLE" if deferrable else "")
        return ", ".join(mode for mode in wanted if mode)

    async def leave_transaction(self, raw: Any, autocommit: bool | None) -> None:
        """Nothing was begun."""

    # Ending

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the mode, without a round trip."""
        raw.session.autocommit = on

    async def set_read_only(self, raw: Any, on: bool) -> None:
        """Let `begin` do it."""
        raw.session.read_only = on

    async def commit(self, raw: Any) -> bool:
        """Commit.  The server answers ROLLBACK where the transaction had failed."""
        if self.in_transaction(raw) is False:
            return True
        return bool(await raw.execute("COMMIT") != "ROLLBACK")

    def folds(self, raw: Any) -> bool:
        """Not inside its own ``transaction()``, which would end a transaction that is gone."""
        return getattr(raw, "_top_xact", True) is None

    async def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """By the simple protocol where nothing is returned: a token's text is another one each time, and would fill
        what is kept prepared.
        """
        await self.begin(raw)
        if statement.startswith("INSERT"):
            await raw.execute(statement)
            return []
        return [tuple(row) for row in await raw.fetch(statement)]

    async def commit_folded(self, raw: Any, text: str) -> bool:
        """Run a text that ends with COMMIT, in the simple protocol."""
        with unseen():
            return bool(await raw.execute(text) != "ROLLBACK")

    async def rollback(self, raw: Any) -> None:
        """Roll back what is open."""
        if self.in_transaction(raw) is not False:
            await raw.execute("ROLLBACK")

    def terminate(self, raw: Any) -> None:
        """Close the socket at once."""
        transport = raw._transport
        with contextlib.suppress(Exception):
            raw.terminate()
        transports.end(transport)


class Session:
    """What asyncpg does not keep for a connection: the mode, and what was prepared for our cursor."""

    def __init__(self, shared: bool) -> None:
        self.autocommit = self.read_only = False
        self.shared = shared
        self.prepared: OrderedDict[str, Any] = OrderedDict()

    async def prepare(self, raw: Any, query: str) -> Any:
        """Return the prepared statement, the latest used being kept.

        Where others share the server's session, it has no name and is used at once: a pooler keeps the session for us
        until the answer to what is executed.
        """
        if self.shared:
            return await raw.prepare(query, name="")
        if query not in self.prepared:
            self.prepared[query] = await raw.prepare(query)
        self.prepared.move_to_end(query)
        while len(self.prepared) > PREPARED:
            self.prepared.popitem(last=False)  # asyncpg closes it on the server before its next statement
        return self.prepared[query]


class Cursor:
    """What asyncpg lacks of PEP 249; parameters are its own ($1).  Rows are ``asyncpg.Record``.

    A string of several statements cannot be prepared, and is refused by the server: asyncpg's ``execute`` takes it.
    """

    def __init__(self, driver: AsyncPG, raw: Any) -> None:
        self._driver = driver
        self._raw = raw
        self._rows: list[Any] = []
        self.description: list[tuple[Any, ...]] | None = None
        """Per column its name and the type's oid, and five times None; None: the statement returns no rows."""
        self.statusmessage: str | None = None
        """The server's status tag: "INSERT 0 2"."""
        self.arraysize = 1

    @property
    def rowcount(self) -> int:
        """The number in the status tag; -1: it has none."""
        number = (self.statusmessage or "").rpartition(" ")[2]
        return int(number) if number.isdecimal() else -1

    async def execute(self, operation: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run a statement, and fetch all its rows."""
        await self._driver.begin(self._raw)
        await self.run(operation, parameters)
        return self

    async def executemany(self, operation: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a statement once per item; asyncpg tells no count of it."""
        await self._driver.begin(self._raw)
        self._rows, self.description, self.statusmessage = [], None, None
        await self._driver.many(self._raw, operation, parameters)
        return self

    async def run(self, query: str, parameters: Sequence[Any]) -> None:
        """Run a statement without BEGIN."""
        self._rows, self.description, self.statusmessage = [], None, None
        await self._run(query, parameters)
        if (self.statusmessage or "").startswith(FORGETTING):
            self._raw.session.prepared.clear()
            await self._raw.reload_schema_state()  # asyncpg forgets what it had prepared itself

    async def _run(self, query: str, parameters: Sequence[Any]) -> None:
        statement = await self._raw.session.prepare(self._raw, query)
        self._rows = list(reversed(await statement.fetch(*parameters)))
        self.statusmessage = statement.get_statusmsg()
        columns = statement.get_attributes()
        self.description = [(one.name, one.type.oid, None, None, None, None, None) for one in columns] or None

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._rows.pop() if self._rows else None

    async def fetchmany(self, size: int | None = None, /) -> list[Any]:
        """Return the next ``size`` rows (`arraysize`)."""
        return [self._rows.pop() for _ in range(min(size or self.arraysize, len(self._rows)))]

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return await self.fetchmany(len(self._rows)) if self._rows else []

    async def close(self) -> None:
        """Forget the rows."""
        self._rows = []

    async def __aiter__(self) -> AsyncIterator[Any]:
        while self._rows:
            yield self._rows.pop()


class Rows:
    """The rows of an ``executemany``, by which is known what they have raised."""

    def __init__(self, rows: Any, end: Callable[[], None]) -> None:
        """``end`` is called when they raise what asyncpg does not pass on."""
        self.broken: BaseException | None = None
        self._rows = rows
        self._end = end

    def read(self) -> Iterator[Any]:
        """Return them; raises TypeError where they are none."""
        rows = iter(self._rows)
        return self._each(rows)

    def _each(self, rows: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from rows
        except (Exception, GeneratorExit):  # it passes the one on, and the other is the end of this
            raise
        except BaseException as exc:
            self.broken = exc
            self._end()
            raise


def _seen(working: asyncio.Future[Any]) -> None:
    """Nobody waits for its end any more, so nobody else would take its error."""
    if not working.cancelled():
        working.exception()


def _remembering(kind: Any) -> type:
    """Return the connection class with room for our `Session`: asyncpg's has slots only.

    Its own ``transaction()`` begins by itself: in a session that is shared it must be as read-only as ours.
    """

    def transaction(self: Any, **kwargs: Any) -> Any:
        if self.session.read_only:
            kwargs["readonly"] = True
        return kind.transaction(self, **kwargs)

    return type(
        kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__, "transaction": transaction}
    )


def _dsn(dsn: str | None, others: Mapping[str, Any]) -> str:
    """Return the DSN with the other arguments in its query."""
    base = dsn or "postgresql://"
    return base + (("&" if "?" in base else "?") + urlencode(others) if others else "")


def adapter(module: Any) -> AsyncPG:
    """Return the adapter over ``module``."""
    return AsyncPG(module)
