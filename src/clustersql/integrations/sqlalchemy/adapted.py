"""SQLAlchemy's plain faces of asyncio drivers' connections, over a handle of the cluster's pool.

Its own classes are kept wherever they ask the driver's connection for nothing but what a handle has, too.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, NoReturn

from sqlalchemy.util import await_only, greenlet_spawn

from ...errors import (
    CausalityLost,
    ClusterError,
    NoNodeAvailable,
    OutcomeUnknown,
    PoolClosed,
    PoolTimeout,
    ReplayMismatch,
    TransactionLost,
    bind,
)

KINDS = (NoNodeAvailable, OutcomeUnknown, PoolClosed, PoolTimeout, ReplayMismatch, TransactionLost)


def handle_of(connection: Any) -> Any:
    """Return the handle, or the driver's own connection, that SQLAlchemy's face of it holds; what is no face is it
    already.
    """
    return getattr(connection, "_connection", connection) if hasattr(type(connection), "_cursor_cls") else connection


def as_operational(dbapi: Any, error: Exception) -> Exception:
    """Return our error as one that is SQLAlchemy's ``OperationalError`` on every driver: asyncpg has none.  What is
    lost is none, lest it be tried again.
    """
    if isinstance(error, (dbapi.OperationalError, CausalityLost)) or not isinstance(error, ClusterError):
        return error
    kind = next((kind for kind in KINDS if isinstance(error, kind)), ClusterError)
    same = bind(kind, dbapi.OperationalError)(str(error))
    if isinstance(error, NoNodeAvailable):
        same.errors = error.errors  # type: ignore[attr-defined]
    same.__cause__ = error
    return same


class OverHandle:
    """The mixin before SQLAlchemy's face of a driver's connection."""

    __slots__ = ()

    @classmethod
    def checked_out(cls, dialect: Any, database: Any, options: dict[str, Any]) -> Any:
        """Return the face of a connection that is checked out here."""
        try:
            handle = await_only(database.connection())
        except ClusterError as exc:
            raise as_operational(dialect.dbapi, exc) from exc.__cause__
        return cls(dialect.dbapi, handle, **options)  # type: ignore[call-arg]

    def _handle_exception(self, error: Exception) -> NoReturn:
        if isinstance(error, ClusterError):
            same = as_operational(self.dbapi, error)  # type: ignore[attr-defined]
            raise same from (same.__cause__ if same is not error else error.__cause__)
        super()._handle_exception(error)  # type: ignore[misc]
        raise AssertionError("SQLAlchemy raises it") from error

    def close(self) -> None:
        """Give the handle back."""
        await_only(handle_of(self).close())

    def terminate(self) -> None:
        """Give the handle back; where nothing can be awaited, its end is the collector's."""
        with contextlib.suppress(Exception):
            await_only(handle_of(self).close())


class _Cursor:
    """The mixin before SQLAlchemy's face of a cursor."""

    __slots__ = ()

    def close(self) -> None:
        """Forget the rows; the handle knows its cursors."""
        self._rows.clear()  # type: ignore[attr-defined]


def _psycopg(base: Any) -> Any:
    cursor = type("AdaptedCursor", (_Cursor, base._cursor_cls), {"__slots__": ()})

    class Adapted(OverHandle, base):  # type: ignore[misc]
        __slots__ = ()

        def cursor(self, name: str | None = None, /) -> Any:
            return cursor(self) if not name else super().cursor(name)

    return Adapted


def _asyncpg(base: Any) -> Any:
    class AdaptedCursor(base._cursor_cls):  # type: ignore[misc]
        async def _prepare_and_execute(self, operation: str, parameters: Sequence[Any] | None) -> None:
            adapted = self._adapt_connection
            async with getattr(adapted, "_execute_mutex"):  # noqa: B009 - SQLAlchemy's
                try:
                    await adapted.begin()
                    cursor = handle_of(adapted).cursor()
                    await cursor.execute(operation, tuple(parameters or ()))
                    self._description = cursor.description
                    self._rows = deque(await cursor.fetchall())
                    counts = (cursor.statusmessage or "").startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
                    self._rowcount = cursor.rowcount if counts else -1
                except Exception as exc:
                    adapted._handle_exception(exc)

        async def _executemany(self, operation: str, rows: Any) -> None:
            adapted = self._adapt_connection
            self._description = None
            async with getattr(adapted, "_execute_mutex"):  # noqa: B009 - SQLAlchemy's
                try:
                    await adapted.begin()
                    await handle_of(adapted).cursor().executemany(operation, list(rows))
                except Exception as exc:
                    adapted._handle_exception(exc)

    class Adapted(OverHandle, base):  # type: ignore[misc]
        _transaction: Any

        _cursor_cls = AdaptedCursor

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.mode = False

        async def begin(self) -> None:
            """Give the handle the mode that is wanted; the transaction is begun by it, and told its properties here."""
            autocommit = self.isolation_level == "autocommit"
            if autocommit is not self.mode:
                await self._connection.set_autocommit(autocommit)
                self.mode = autocommit
            if autocommit or self._transaction is not None:
                return
            words = (
                [f"ISOLATION LEVEL {self.isolation_level.replace('_', ' ').upper()}"] if self.isolation_level else []
            )
            words += (["READ ONLY"] if self.readonly else []) + (["DEFERRABLE"] if self.deferrable else [])
            if words:
                await self._connection.cursor().execute(f"SET TRANSACTION {', '.join(words)}")
            self._transaction = True

        async def _start_transaction(self) -> None:  # of a cursor on the server, which is the driver's own
            await self.begin()

        def commit(self) -> None:
            self._end("commit")

        def rollback(self) -> None:
            self._end("rollback")

        def _end(self, how: str) -> None:
            self._transaction = None
            try:
                await_only(getattr(self._connection, how)())
            except Exception as exc:
                self._handle_exception(exc)

        def ping(self) -> None:
            self.cursor().execute("SELECT 1")

    return Adapted


def _plain(base: Any) -> Any:
    return type("Adapted", (OverHandle, base), {"__slots__": ()})


_MAKERS: dict[str, Callable[[Any], Any]] = {"psycopg": _psycopg, "asyncpg": _asyncpg}


_classes: dict[tuple[type, str], Any] = {}


def _base_of(dbapi_class: type) -> Any:
    """Return SQLAlchemy's face of the connection, which stands in the module of its face of the driver."""
    import sys

    module = sys.modules[dbapi_class.__module__]
    [found] = [
        one
        for name, one in vars(module).items()
        if isinstance(one, type)
        and name.startswith("AsyncAdapt_")
        and name.endswith("_connection")
        and name != "AsyncAdapt_dbapi_connection"
    ]
    return found


def adapted_class(dialect: Any) -> Any:
    """Return the face of a handle for this dialect."""
    key = type(dialect.dbapi), dialect.driver
    if key not in _classes:
        _classes[key] = _MAKERS.get(dialect.driver, _plain)(_base_of(key[0]))
    return _classes[key]


def forget_notices(raw: Any) -> None:
    """Take away the handlers of notices that the dialect has set before a reset, or each reset would add another."""
    handlers = getattr(raw, "_notice_handlers", None)  # psycopg's, which has no other way to ask
    if handlers:
        handlers[:] = [one for one in handlers if not getattr(one, "__module__", "").startswith("sqlalchemy.")]


def adapted_raw(
    dialect: Any, hooks: Sequence[Callable[[Any], object]], look: Callable[[Any], None]
) -> Callable[[Any], Awaitable[None]]:
    """Return a hook of the cluster that calls SQLAlchemy's with its own face of the driver's connection, and first
    ``look`` with that itself.
    """
    base = _base_of(type(dialect.dbapi))

    def call(raw: Any) -> None:
        face = base(dialect.dbapi, raw)
        for hook in hooks:
            result = hook(face)
            assert not isawaitable(result)

    async def on_connect(raw: Any) -> None:
        look(raw)
        forget_notices(raw)
        await greenlet_spawn(call, raw)

    return on_connect
