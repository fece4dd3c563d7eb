"""What SQLAlchemy's plain faces of asyncio drivers' connections have in common over a handle of the cluster's pool."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, NoReturn

from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.util import await_only

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
    return getattr(connection, "_connection", connection) if isinstance(connection, AdaptedConnection) else connection


def is_2_1(base: Any) -> bool:
    """Whether SQLAlchemy's face ``base`` is one of 2.1, which names the class of its cursors, as 2.0's do for MySQL."""
    return hasattr(base, "_cursor_cls")


def beside(base: Any, name: str) -> Any:
    """Return what stands in the module of SQLAlchemy's face ``base``."""
    return getattr(sys.modules[base.__module__], name)


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


class OverSQLite(OverHandle):
    """The mixin for aiosqlite, whose own face sets its mode past the handle, which would then begin transactions."""

    __slots__ = ()

    @property
    def isolation_level(self) -> str | None:
        """None: the autocommit mode."""
        level: str | None = handle_of(self).isolation_level
        return level

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        await_only(handle_of(self).set_autocommit(value is None))


class PlainCursor:
    """The mixin before SQLAlchemy's face of a cursor."""

    __slots__ = ()

    def close(self) -> None:
        """Forget the rows; the handle knows its cursors."""
        self._rows.clear()  # type: ignore[attr-defined]


def forget_notices(raw: Any) -> None:
    """Take away the handlers of notices that the dialect has set before a reset, or each reset would add another."""
    handlers = getattr(raw, "_notice_handlers", None)  # psycopg's, which has no other way to ask
    if handlers:
        handlers[:] = [one for one in handlers if not getattr(one, "__module__", "").startswith("sqlalchemy.")]
