"""The faces of SQLAlchemy 2.0 that make their cursors in the manner of their driver."""

from __future__ import annotations

from typing import Any

from .adapted import OverHandle, OverSQLite, PlainCursor, beside


def psycopg_2_0(base: Any) -> Any:
    """Return the class for psycopg, which takes no module, and gives each cursor the driver's."""
    streaming = beside(base, "AsyncAdapt_psycopg_ss_cursor")
    plain = type("AdaptedCursor", (PlainCursor, beside(base, "AsyncAdapt_psycopg_cursor")), {"__slots__": ()})

    class Adapted(OverHandle, base):  # type: ignore[misc]
        def __init__(self, dbapi: Any, handle: Any) -> None:
            super().__init__(handle)
            self.dbapi = dbapi

        def cursor(self, name: str | None = None, **options: Any) -> Any:
            # A handle's cursor has no attribute of the driver's before its first statement, by which 2.0 would choose.
            if name:
                return streaming(self._connection.cursor(name, **options), self.await_)
            return plain(self._connection.cursor(**options), self.await_)

    return Adapted


class _Awaited:
    """A handle whose cursors are awaited, as aiosqlite's are."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def cursor(self) -> Any:
        """Return a cursor."""
        return self._handle.cursor()


def aiosqlite_2_0(base: Any) -> Any:
    """Return the class for aiosqlite, whose cursors await one of the driver's for each statement."""

    def over_handles(kind: Any) -> Any:
        class AdaptedCursor(kind):  # type: ignore[misc]
            _connection: Any

            def __init__(self, adapted: Any) -> None:
                super().__init__(adapted)
                self._connection = _Awaited(self._connection)

        return AdaptedCursor

    plain = over_handles(beside(base, "AsyncAdapt_aiosqlite_cursor"))
    streaming = over_handles(beside(base, "AsyncAdapt_aiosqlite_ss_cursor"))

    class Adapted(OverSQLite, base):  # type: ignore[misc]
        def cursor(self, server_side: bool = False) -> Any:
            return (streaming if server_side else plain)(self)

    return Adapted
