"""sqlite3 of the standard library: no server, no socket; a hung call is interrupted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from ..errors import ConfigError, Form
from .base.adapter import Adapter, Codes, converted, server_arguments
from .base.sqlite_session import NOTHING, First, RememberingConnection, collations, functions, in_memory, slot
from .base.surface import CONNECTION, CURSOR, ERRORS, surface
from .contract import Abilities, Target


def script(text: str) -> str:
    """Return what ``executescript`` runs: it commits what is open before it begins."""
    return f"COMMIT; {text}"


def _replacement(*_: Any, **__: Any) -> str:
    """What the database is replaced by stays, as what a script has written does."""
    return "COMMIT; VACUUM"


CONNECTION_NAMES = surface(
    tells=f"{ERRORS} backup getlimit in_transaction interrupt iterdump serialize total_changes",
    local="row_factory text_factory",
    registers="create_aggregate create_collation create_function create_window_function set_authorizer"
    " set_progress_handler set_trace_callback setlimit",
    mode="autocommit isolation_level",
    ours=f"{CONNECTION} execute executemany",
    runs={"deserialize": _replacement, "executescript": script},
    unmanaged="blobopen enable_load_extension getconfig load_extension setconfig",
)
"""sqlite3's connection; ``backup`` reads it, and writes to another one."""
CURSOR_NAMES = surface(
    tells="arraysize description lastrowid row_factory rowcount setinputsizes setoutputsize",
    ours=CURSOR,
    runs={"executescript": script},
)
"""Its cursor."""


class SQLite(Adapter):
    """Adapter for sqlite3.  A file has no role and no death: ``is_stale`` knows only whether we closed it."""

    name = "sqlite3"
    form = Form(fields={"sqlite_errorcode": sqlite3.SQLITE_ERROR, "sqlite_errorname": "SQLITE_ERROR"})
    family = "sqlite"
    dialect_name = "sqlite"
    abilities = Abilities(
        descriptor=False,
        transaction_status=True,
        autocommit=True,
        connect_timeout=True,
        mode_commits=True,
        reset_keeps_hook=True,
    )
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    numbers: ClassVar[dict[str, type]] = {
        "timeout": float,
        "detect_types": int,
        "cached_statements": int,
        "check_same_thread": bool,
        "uri": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._first: WeakKeyDictionary[Any, First] = WeakKeyDictionary()

    def connect(self, target: Target, timeout: float) -> sqlite3.Connection:
        """Open the file; ``timeout`` has no meaning here, and sqlite3's own (for locks) stays the user's."""
        raw: sqlite3.Connection = self.module.connect(**self.arguments(target))
        return raw

    def own_thread(self, arguments: Mapping[str, Any]) -> bool:
        """With ``check_same_thread``, which is off by default here."""
        return bool(converted(arguments, self.numbers).get("check_same_thread"))

    def arguments(self, target: Target) -> dict[str, Any]:
        """Return what goes to ``connect``.

        ``check_same_thread`` is off: a pooled connection is used by one thread at a time, but not always the same.
        """
        fields = server_arguments(target, {"database": "database"})
        if target.dsn is not None:
            fields["database"] = target.dsn
        arguments = {"check_same_thread": False, "factory": RememberingConnection} | fields
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

    def survives(self, exc: BaseException) -> bool:
        """There is no answer that could be pending: a call of the library's has ended when its exception is here."""
        return isinstance(exc, Exception)

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
        """From Python 3.12 an attribute tells; before, and in its legacy mode, no isolation level means autocommit.
        None: it is closed.
        """
        if self.is_closed(raw):
            return None
        mode = getattr(raw, "autocommit", None)
        return mode if isinstance(mode, bool) else raw.isolation_level is None

    def turns_on(self, name: str, value: Any) -> bool:
        """Both ways commit what is open; the legacy mode (-1) does not.

        https://docs.python.org/3/library/sqlite3.html#sqlite3.Connection.autocommit
        """
        return (name == "autocommit" and value is True) or (name == "isolation_level" and value is None)

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set it in the way in which it was opened.  Off in the legacy mode is the driver's default: BEGIN before a
        write.
        """
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

    def before_change(self, raw: Any) -> None:
        """Look at a connection in which something may be left for the first time.

        Where the caller's own authorizer forbids that, or his progress handler ends it, the connection is closed at its
        return.
        """
        if raw not in self._first:
            factory, raw.text_factory = raw.text_factory, str
            try:
                self._first[raw] = First.of(self.cursor(raw))
            except sqlite3.Error:
                return
            finally:
                raw.text_factory = factory

    def reset(self, raw: Any) -> bool:
        """Make the connection what it was before; False: nobody has looked at it then, or something is gone that cannot
        be made again.
        """
        first = self._first.pop(raw, None)
        if first is None:
            return False
        legacy = not isinstance(getattr(raw, "autocommit", None), bool)
        name = "isolation_level" if legacy else "autocommit"
        mode = getattr(raw, name)
        setattr(raw, name, None if legacy else True)  # a PRAGMA has no effect in a transaction
        try:
            cursor = self.cursor(raw)
            cursor.execute("PRAGMA query_only = OFF")
            return first.restore(cursor)
        finally:
            setattr(raw, name, mode)

    def undo(
        self, raw: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], object] | None:
        """Return what brings the former back; None: that is not known, or cannot be had without closing, as an own
        function in a file's connection.

        Python takes no function away, it puts one there that fails: only for an in-memory database, which would be lost
        otherwise.
        """
        if name == "setlimit":
            return partial(raw.setlimit, *args[:1], raw.getlimit(*args[:1]))
        if not isinstance(raw, RememberingConnection):
            return None
        key = slot(name, args, dict(kwargs))
        if former := raw._registered.get(key):
            method, values, named = former
            return partial(getattr(raw, method), *values, **named)
        if name in NOTHING:
            return partial(getattr(raw, name), *NOTHING[name])
        cursor = self.cursor(raw)
        if key[0] == "collation":
            return None if key[1] in collations(cursor) else partial(raw.create_collation, key[1], None)
        if key[1:] in functions(cursor) or not in_memory(cursor):
            return None
        return partial(raw.create_function, key[1], key[2], None)

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
