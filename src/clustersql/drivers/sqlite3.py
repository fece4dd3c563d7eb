"""sqlite3 of the standard library: no server, no socket; a hung call is interrupted."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from ..errors import ConfigError, Form
from .adapter import Adapter, Codes, converted, server_arguments
from .contract import Abilities, Target


class WeakConnection(sqlite3.Connection):
    """The driver's own class cannot be referenced weakly, which is how dialled connections are remembered."""


class SQLite(Adapter):
    """Adapter for sqlite3.  A file has no role and no death: ``is_stale`` knows only whether we closed it."""

    name = "sqlite3"
    form = Form(fields={"sqlite_errorcode": sqlite3.SQLITE_ERROR, "sqlite_errorname": "SQLITE_ERROR"})
    family = "sqlite"
    dialect_name = "sqlite"
    abilities = Abilities(descriptor=False, transaction_status=True, autocommit=True, connect_timeout=True)
    numbers: ClassVar[dict[str, type]] = {
        "timeout": float,
        "detect_types": int,
        "cached_statements": int,
        "check_same_thread": bool,
        "uri": bool,
    }

    def connect(self, target: Target, timeout: float) -> sqlite3.Connection:
        """Open the file; ``timeout`` has no meaning here, and sqlite3's own (for locks) stays the user's."""
        raw: sqlite3.Connection = self.module.connect(**self.arguments(target))
        return raw

    def arguments(self, target: Target) -> dict[str, Any]:
        """Return what goes to ``connect``.

        ``check_same_thread`` is off: a pooled connection is used by one thread at a time, but not always the same.
        """
        fields = server_arguments(target, {"database": "database"})
        if target.dsn is not None:
            fields["database"] = target.dsn
        arguments = {"check_same_thread": False, "factory": WeakConnection} | fields
        arguments |= converted(target.arguments, self.numbers)
        if "database" not in arguments:
            raise ConfigError("sqlite3: no database given; it is the path of the file, or ':memory:'")
        arguments.setdefault("uri", str(arguments["database"]).startswith("file:"))
        return arguments

    def codes(self, exc: BaseException) -> Codes:
        """The primary code: the extended ones (SQLITE_BUSY_SNAPSHOT) keep it in their low byte."""
        code = getattr(exc, "sqlite_errorcode", None)
        return None, None if code is None else code & 0xFF, str(exc)

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """A closed database runs nothing."""
        return isinstance(exc, sqlite3.ProgrammingError) and codes[2].startswith("Cannot operate on a closed")

    def is_closed(self, raw: Any) -> bool:
        """Ask for a counter, which a closed connection refuses."""
        try:
            raw.total_changes  # noqa: B018 - the question is whether it raises
        except sqlite3.ProgrammingError as exc:
            return "closed" in str(exc)
        return False

    def is_stale(self, raw: Any) -> bool:
        """Tell whether it is closed; nothing else can die."""
        return self.is_closed(raw)

    def in_transaction(self, raw: Any) -> bool | None:
        """SQLite itself answers."""
        return None if self.is_closed(raw) else bool(raw.in_transaction)

    def autocommit(self, raw: Any) -> bool | None:
        """From Python 3.12 an attribute tells; before, and in its legacy mode, no isolation level means autocommit."""
        mode = getattr(raw, "autocommit", None)
        return mode if isinstance(mode, bool) else raw.isolation_level is None

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set it in the way in which it was opened.  Off in the legacy mode is the driver's default: BEGIN before a write."""
        if self.autocommit(raw) is on:
            return
        if isinstance(getattr(raw, "autocommit", None), bool):
            raw.autocommit = on
        else:
            raw.isolation_level = None if on else ""

    def cursor(self, raw: Any) -> Any:
        """Return a cursor without the connection's row factory."""
        cursor = raw.cursor()
        cursor.row_factory = None
        return cursor

    def abort(self, raw: Any) -> bool:
        """Interrupt the running statement: a write transaction is rolled back by that, the connection stays good."""
        try:
            raw.interrupt()
        except sqlite3.ProgrammingError:
            return False
        return True


def adapter(module: Any) -> SQLite:
    """Return the adapter over ``module``."""
    return SQLite(module)
