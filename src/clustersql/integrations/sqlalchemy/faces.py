"""SQLAlchemy's plain faces of asyncio drivers' connections, made for handles of the cluster's pool, and the hooks that
are called with its own.

Its classes are kept wherever they ask the driver's connection for nothing but what a handle has, too.  Those of 2.1
have one base, by which all make their cursors; those of 2.0 that differ are in `faces20`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable, signature
from typing import Any

from sqlalchemy.util import await_only, greenlet_spawn

from .adapted import OverHandle, OverSQLite, PlainCursor, beside, forget_notices, handle_of, is_2_1
from .faces20 import aiosqlite_2_0, psycopg_2_0


def _psycopg(base: Any) -> Any:
    cursor = type("AdaptedCursor", (PlainCursor, base._cursor_cls), {"__slots__": ()})

    class Adapted(OverHandle, base):  # type: ignore[misc]
        __slots__ = ()

        def cursor(self, name: str | None = None, /) -> Any:
            return cursor(self) if not name else super().cursor(name)

    return Adapted


def _asyncpg(base: Any) -> Any:
    # In 2.0 it tells by attributes of its own, in 2.1 by properties.
    description, rowcount = ("_description", "_rowcount") if is_2_1(base) else ("description", "rowcount")

    class AdaptedCursor(beside(base, "AsyncAdapt_asyncpg_cursor")):  # type: ignore[misc]
        async def _prepare_and_execute(self, operation: str, parameters: Sequence[Any] | None) -> None:
            adapted = self._adapt_connection
            async with getattr(adapted, "_execute_mutex"):  # noqa: B009 - SQLAlchemy's
                try:
                    await adapted.begin()
                    cursor = handle_of(adapted).cursor()
                    await cursor.execute(operation, tuple(parameters or ()))
                    setattr(self, description, cursor.description)
                    self._rows = deque(await cursor.fetchall())
                    counts = (cursor.statusmessage or "").startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
                    setattr(self, rowcount, cursor.rowcount if counts else -1)
                except Exception as exc:
                    adapted._handle_exception(exc)

        async def _executemany(self, operation: str, rows: Any) -> None:
            adapted = self._adapt_connection
            setattr(self, description, None)
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

        def cursor(self, server_side: bool = False) -> Any:
            return super().cursor(True) if server_side else AdaptedCursor(self)

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
            self._transaction = self._started = True  # the latter is 2.0's

        async def _start_transaction(self) -> None:  # of a cursor on the server, which is the driver's own
            await self.begin()

        def commit(self) -> None:
            self._end("commit")

        def rollback(self) -> None:
            self._end("rollback")

        def _end(self, how: str) -> None:
            self._transaction, self._started = None, False
            try:
                await_only(getattr(self._connection, how)())
            except Exception as exc:
                self._handle_exception(exc)

        def ping(self) -> None:
            self.cursor().execute("SELECT 1")

    return Adapted


def _plain(base: Any) -> Any:
    return type("Adapted", (OverHandle, base), {"__slots__": ()})


def _aiosqlite(base: Any) -> Any:
    return type("Adapted", (OverSQLite, base), {"__slots__": ()})


_MAKERS: dict[str, Callable[[Any], Any]] = {"psycopg": _psycopg, "asyncpg": _asyncpg, "aiosqlite": _aiosqlite}
_MAKERS_2_0 = _MAKERS | {"psycopg": psycopg_2_0, "aiosqlite": aiosqlite_2_0}


_classes: dict[tuple[type, str], Any] = {}


def _base_of(dbapi_class: type) -> Any:
    """Return SQLAlchemy's face of the connection, which stands in the module of its face of the driver."""
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
        base = _base_of(key[0])
        _classes[key] = (_MAKERS if is_2_1(base) else _MAKERS_2_0).get(dialect.driver, _plain)(base)
    return _classes[key]


def adapted_raw(
    dialect: Any, hooks: Sequence[Callable[[Any], object]], look: Callable[[Any], None]
) -> Callable[[Any], Awaitable[None]]:
    """Return a hook of the cluster that calls SQLAlchemy's with its own face of the driver's connection, and first
    ``look`` with that itself.
    """
    base = _base_of(type(dialect.dbapi))
    taken = signature(base).parameters  # psycopg's of 2.0 takes the connection alone

    def call(raw: Any) -> None:
        face = base(dialect.dbapi, raw) if "dbapi" in taken else base(raw)
        for hook in hooks:
            result = hook(face)
            assert not isawaitable(result)

    async def on_connect(raw: Any) -> None:
        look(raw)
        forget_notices(raw)
        await greenlet_spawn(call, raw)

    return on_connect
