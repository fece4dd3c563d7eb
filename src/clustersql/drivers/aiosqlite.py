"""aiosqlite: sqlite3 in a thread of each connection's own.

A cancelled call goes on in that thread, and the next one waits behind it: `terminate` interrupts it.  Each call awaits
one future, and nothing catches what that raises, so none returns as if it had not been cancelled.  The thread is no
daemon, so a connection that is neither closed nor terminated keeps the program from ending.  Where its loop is closed
while a statement runs, the thread ends with "Event loop is closed" on stderr, and the file is closed by the collector.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .base.async_adapter import AsyncAdapter
from .base.foreign import packages_of
from .base.reader import Codes
from .base.surface import CONNECTION, Effect, surface
from .contract import Target
from .sqlite3 import CURSOR_NAMES, SQLite, script


def _first(sql: str, parameters: Any = None) -> str:
    """The statement is the first argument."""
    return sql


CONNECTION_NAMES = surface(
    tells="backup in_transaction interrupt iterdump total_changes",
    local="row_factory text_factory",
    registers="create_function set_authorizer set_progress_handler set_trace_callback",
    mode="isolation_level",
    ours=f"{CONNECTION} execute executemany",
    runs={"execute_fetchall": _first, "execute_insert": _first, "executescript": script},
    unmanaged="enable_load_extension load_extension stop",
)
"""aiosqlite's connection."""

ENDING = 0.05
"""Seconds for which the thread is waited for: far more than it needs to end, and no great halt of the loop where it
cannot be interrupted (in a function of the user's, in a wait for a lock)."""

_CLOSED = ("Connection closed", "no active connection")
"""The texts of the ValueError that refuses the use of a closed connection (``Connection._execute``,
``Connection._conn``)."""


class AioSQLite(AsyncAdapter):
    """Adapter for aiosqlite: what it tells is asked of sqlite3's own connection, which may be done in any thread."""

    name = "aiosqlite"
    family = "sqlite"
    dialect_name = "sqlite"
    abilities = SQLite.abilities
    form = SQLite.form
    keywords = ("sql", "parameters", "parameters")
    connection_names = CONNECTION_NAMES
    cursor_names = replace(CURSOR_NAMES, effects=CURSOR_NAMES.effects | {"iter_chunk_size": Effect.TELLS})

    def __init__(self, module: Any) -> None:
        super().__init__(sqlite3)  # whose errors it raises; it lacks some of their names itself
        self.packages |= packages_of(module.__name__)
        self.module = module
        self._file = SQLite(sqlite3)

    async def dial(self, target: Target, timeout: float) -> Any:
        """Open the file.  sqlite3 cannot be stopped at that: what opens after a cancellation is closed."""
        raw = self.module.connect(**self._file.arguments(target))
        opening = asyncio.ensure_future(_opened(raw))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(lambda _: self._give_up(raw, opening))
            # Opening takes a moment only.  A task that is cancelled at the end of its loop would leave the thread to
            # print "Event loop is closed".
            await asyncio.wait((opening,), timeout=ENDING)
            raise
        except Exception:
            raw._thread.join(ENDING)  # the driver has told it to end
            raise

    def _give_up(self, raw: Any, opening: asyncio.Future[Any]) -> None:
        if not opening.cancelled():  # as it is when the loop ends first
            opening.exception()  # seen: nobody else waits for it
        self.terminate(raw)

    def codes(self, exc: BaseException) -> Codes:
        """Return sqlite3's code."""
        return self._file.codes(exc)

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """A closed database runs nothing."""
        return (isinstance(exc, ValueError) and codes[2] in _CLOSED) or self._file.refused_unsent(exc, codes)

    def is_foreign(self, exc: BaseException, raw: Any) -> bool:
        """Also the ValueError that refuses the use of a closed connection is the driver's."""
        return super().is_foreign(exc, raw) and not self.refused_unsent(exc, self.codes(exc))

    def survives(self, exc: BaseException) -> bool:
        """As sqlite3; what a cancelled call does in its thread is another matter (`CancelledError` is no Exception)."""
        return self._file.survives(exc)

    def is_closed(self, raw: Any) -> bool:
        """Tell whether its thread was told to end, or has ended."""
        return not raw._running or raw._connection is None or self._file.is_closed(raw._connection)

    def is_stale(self, raw: Any) -> bool:
        """Tell whether it is closed; nothing else can die."""
        return self.is_closed(raw)

    def in_transaction(self, raw: Any) -> bool | None:
        """SQLite itself answers."""
        return None if self.is_closed(raw) else self._file.in_transaction(raw._connection)

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the mode as sqlite3 has it."""
        return None if self.is_closed(raw) else self._file.autocommit(raw._connection)

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set it; outside a transaction that is no I/O, so it need not be done in the thread."""
        self._file.set_autocommit(raw._conn, on)

    async def cursor(self, raw: Any, args: Any, kwargs: Any) -> Any:
        """Return a cursor of the driver."""
        return await raw.cursor(*args, **kwargs)

    async def plain_cursor(self, raw: Any) -> Any:
        """Return a cursor without the connection's row factory."""
        cursor = await raw.cursor()
        cursor.row_factory = None
        return cursor

    def before_change(self, raw: Any) -> None:
        """Look at it, as sqlite3's own; nothing else is under way."""
        self._file.before_change(raw._conn)

    async def reset(self, raw: Any) -> bool:
        """Bring it back, as sqlite3's own."""
        return self._file.reset(raw._conn)

    def undo(
        self, raw: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], object] | None:
        """Undo it on sqlite3's own connection."""
        return self._file.undo(raw._conn, name, args, kwargs)

    def abort(self, raw: Any) -> bool:
        """Interrupt the running statement: a write transaction is rolled back by that, the connection stays good."""
        return not self.is_closed(raw) and self._file.abort(raw._connection)

    async def close(self, raw: Any) -> None:
        """Close, behind what runs.  Not twice: the driver would wait for ever for a thread that was told to end."""
        if not self.is_closed(raw):
            await super().close(raw)

    def terminate(self, raw: Any) -> None:
        """Interrupt what runs, and let the thread close the file and end.

        Were the loop closed first, which is what a program does next at its end, the thread would print "Event loop is
        closed".
        """
        self.abort(raw)
        if raw._running:
            with contextlib.suppress(Exception):
                raw.stop()
                raw._thread.join(ENDING)


async def _opened(raw: Any) -> Any:
    """`raw` is awaitable, but no coroutine."""
    return await raw


def adapter(module: Any) -> AioSQLite:
    """Return the adapter over ``module``."""
    return AioSQLite(module)
