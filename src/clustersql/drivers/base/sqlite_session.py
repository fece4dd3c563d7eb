"""What a connection of SQLite keeps beyond its transactions, and how it is brought back: there is no statement that
resets it.

An in-memory database is its connection: closing it to be rid of a setting would throw the tables away.  So a connection
is looked at before something is left in it for the first time (`First`), and made so again at its return.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

PRAGMAS = tuple(
    """
    analysis_limit automatic_index busy_timeout cache_size cache_spill cell_size_check checkpoint_fullfsync
    count_changes empty_result_callbacks foreign_keys full_column_names fullfsync ignore_check_constraints journal_mode
    journal_size_limit legacy_alter_table locking_mode max_page_count mmap_size read_uncommitted recursive_triggers
    reverse_unordered_selects secure_delete
    short_column_names synchronous temp_store threads trusted_schema wal_autocheckpoint writable_schema
    """.split()
)
"""Settings of a connection, those that can be asked for: https://www.sqlite.org/pragma.html.  ``query_only`` is the
pool's own."""
_OF_THE_FILE = "wal"
"""A journal mode that is the file's, not the connection's."""
_LIKE = "SELECT 'a' LIKE 'A'"


class RememberingConnection(sqlite3.Connection):
    """The driver's own class cannot be referenced weakly, and forgets what was registered: with this one a former
    handler can be put back.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._registered: dict[tuple[Any, ...], tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
        """By what there can be only one of: the call that registered it last."""

    def create_function(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().create_function(*args, **kwargs)
        self._note("create_function", args, kwargs)

    def create_aggregate(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().create_aggregate(*args, **kwargs)
        self._note("create_aggregate", args, kwargs)

    def create_window_function(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().create_window_function(*args, **kwargs)
        self._note("create_window_function", args, kwargs)

    def create_collation(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().create_collation(*args, **kwargs)
        self._note("create_collation", args, kwargs)

    def set_authorizer(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().set_authorizer(*args, **kwargs)
        self._note("set_authorizer", args, kwargs)

    def set_progress_handler(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().set_progress_handler(*args, **kwargs)
        self._note("set_progress_handler", args, kwargs)

    def set_trace_callback(self, *args: Any, **kwargs: Any) -> None:
        """As the driver's."""
        super().set_trace_callback(*args, **kwargs)
        self._note("set_trace_callback", args, kwargs)

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._registered[slot(method, args, kwargs)] = method, args, kwargs


def slot(method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return what there can be only one of: a function of a name and a number of arguments, a collation of a name, a
    handler.

    >>> slot("create_function", ("Twice", 1, None), {})
    ('function', 'twice', 1)
    >>> slot("create_function", (), {"func": None, "narg": 1, "name": "Twice"})
    ('function', 'twice', 1)
    """
    if method in NOTHING:
        return (method,)
    name, count, *_ = (*args, None, None)
    name = str(kwargs.get("name", name)).lower()
    if method == "create_collation":
        return "collation", name
    return "function", name, kwargs.get("narg", kwargs.get("n_arg", count))


NOTHING: dict[str, tuple[Any, ...]] = {
    "set_authorizer": (None,),
    "set_progress_handler": (None, 0),
    "set_trace_callback": (None,),
}
"""Takes a handler away again."""


def functions(cursor: sqlite3.Cursor) -> set[tuple[str, int]]:
    """Return the functions that there are, the library's own too."""
    return set(cursor.execute("SELECT lower(name), narg FROM pragma_function_list"))


def collations(cursor: sqlite3.Cursor) -> set[str]:
    """Return the collations that there are, in lower case."""
    return {row[1].lower() for row in cursor.execute("PRAGMA collation_list")}


def in_memory(cursor: sqlite3.Cursor) -> bool:
    """Tell whether the main database is gone with its connection."""
    return any(name == "main" and not file for _, name, file in cursor.execute("PRAGMA database_list"))


@dataclass(frozen=True, slots=True)
class First:
    """A connection as it was before something was left in it."""

    pragmas: dict[str, Any]
    """The values of `PRAGMAS`, and whether LIKE tells cases apart, which cannot be asked for."""
    temporary: frozenset[tuple[str, str]]
    """Kind and name of what is in its temporary database."""
    attached: frozenset[tuple[str, str]]
    """Name and file of the databases besides its own."""

    @classmethod
    def of(cls, cursor: sqlite3.Cursor) -> First:
        """Look at a connection; some 0.3 ms."""
        pragmas = {name: row[0] for name in PRAGMAS if (row := cursor.execute(f"PRAGMA {name}").fetchone())}
        pragmas["case_sensitive_like"] = 1 - cursor.execute(_LIKE).fetchone()[0]
        kinds = "('table', 'view', 'trigger')"
        temporary = cursor.execute(
            f"SELECT type, name FROM sqlite_temp_master WHERE type IN {kinds} AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchall()
        attached = cursor.execute("PRAGMA database_list").fetchall()
        others = ((name, file) for _, name, file in attached if name not in ("main", "temp"))
        return cls(pragmas, frozenset(temporary), frozenset(others))

    def restore(self, cursor: sqlite3.Cursor) -> bool:
        """Bring a connection back to this; False: something is gone that cannot be made again.  No transaction is
        open.
        """
        now = First.of(cursor)
        if not (self.temporary <= now.temporary and self.attached <= now.attached):
            return False
        for kind, name in sorted(now.temporary - self.temporary, key=lambda each: each[0] == "table"):
            cursor.execute(f"DROP {kind} IF EXISTS temp.{_quoted(name)}")
        for name, _ in now.attached - self.attached:
            cursor.execute(f"DETACH {_quoted(name)}")
        for name, value in self.pragmas.items():
            if now.pragmas.get(name) != value and _OF_THE_FILE not in (value, now.pragmas.get(name)):
                cursor.execute(f"PRAGMA {name} = {value}").fetchall()
        return not self._differs(First.of(cursor))

    def _differs(self, now: First) -> bool:
        """Whether anything is left; a journal mode of the file's stays as it was made."""
        left = {name for name, value in self.pragmas.items() if now.pragmas.get(name) != value}
        if _OF_THE_FILE in (self.pragmas.get("journal_mode"), now.pragmas.get("journal_mode")):
            left.discard("journal_mode")
        return bool(left) or (self.temporary, self.attached) != (now.temporary, now.attached)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
