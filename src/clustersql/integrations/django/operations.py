"""An operation for Django's migrations: the tables of the commit guard."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.db import router
from django.db.migrations.operations.base import Operation

from ..guarding import DEFAULT, dropped, guarded, made


def statements_for(connection: Any, app_label: str, of: Any = made) -> tuple[str, ...]:
    """Return what makes the tables on ``connection`` (with ``of=dropped``: what drops them); nothing on a database that
    cannot be guarded, and where a router says so.

    An alias with another backend, such as Django's own to the primary, gets them under their default name.
    """
    if not guarded(connection.vendor) or not router.allow_migrate(connection.alias, app_label):
        return ()
    cluster = getattr(connection, "cluster", None)
    table = DEFAULT if cluster is None else cluster.snapshot().knobs["commit_guard_table"]
    statements: tuple[str, ...] = of(connection.vendor, table)
    return statements


class CommitGuardTables(Operation):
    """Makes both tables, under the name that the ``commit_guard_table`` of the alias's cluster has."""

    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model has them."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make them, where they are not there."""
        for statement in statements_for(schema_editor.connection, app_label):
            schema_editor.execute(statement, params=None)  # no parameters: a name may have a percent sign

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop them.  Raises `CommandError` while the guard is on: each program's next transaction would be lost."""
        cluster = getattr(schema_editor.connection, "cluster", None)
        if cluster is not None and cluster.snapshot().knobs["commit_guard"]:
            alias = schema_editor.connection.alias
            raise CommandError(
                f"DATABASES[{alias!r}]: commit_guard is on: turn it off in every program before its tables are dropped"
            )
        for statement in statements_for(schema_editor.connection, app_label, dropped):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        """Say what it does, for ``sqlmigrate`` and ``migrate --plan``."""
        return "Make the tables of clustersql's commit guard"
