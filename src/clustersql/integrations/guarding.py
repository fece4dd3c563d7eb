"""The statements of the commit guard's tables, for tools that keep a schema in step with a program: Django's and
Alembic's migrations.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..core.guard.table import DEFAULT, KEYS, Table
from ..dialects import KNOWN, by_name
from ..dialects.guarding import Guarding
from ..errors import ConfigError

__all__ = ["DEFAULT", "dropped", "guarded", "made", "tables_of"]


def guarded(database: str) -> bool:
    """Whether a database can be guarded: ``database`` is one of the schemes of `KNOWN`."""
    return any(database in schemes and by_name(name).guard is not None for name, schemes in KNOWN.items())


def made(database: str, table: str = DEFAULT, grant: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what makes both tables where they are not there, and lets the users ``grant`` work with them.

    ``database``: "postgresql", "mysql" or "mariadb".  ``table``: as the knob ``commit_guard_table``.  Raises
    `ConfigError` for another database, and for what is no table's name.
    """
    sql, names = _named(database, table)
    return (*sql.create(*names), *(statement for user in grant for statement in sql.grant(*names, user)))


def dropped(database: str, table: str = DEFAULT) -> tuple[str, ...]:
    """Return what drops both tables, for the same arguments.  Raises `ConfigError` likewise."""
    _, names = _named(database, table)
    return tuple(f"DROP TABLE IF EXISTS {name}" for name in names)


def tables_of(table: str = DEFAULT) -> frozenset[str]:
    """Return the names of both tables without their schema.  Raises `ConfigError` for what is no table's name."""
    return frozenset((_parsed(table).name, KEYS))


def _named(database: str, table: str) -> tuple[Guarding, tuple[str, str]]:
    dialect = next((by_name(name) for name, schemes in KNOWN.items() if database in schemes), None)
    if dialect is None or dialect.guard is None:
        raise ConfigError(
            f"the commit guard: a {database} database cannot be guarded, only PostgreSQL, MariaDB and MySQL"
        )
    commits = dialect.guard.table(_parsed(table), None)
    return dialect.guard, (commits.quoted(dialect.quote), commits.beside(KEYS).quoted(dialect.quote))


def _parsed(table: str) -> Table:
    try:
        return Table.parse(table)
    except ValueError as exc:
        raise ConfigError(f"the commit guard's table {table!r}: {exc}") from None
