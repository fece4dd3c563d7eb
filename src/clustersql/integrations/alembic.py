"""Alembic: the commit guard's tables in a revision.

    from alembic import op
    import clustersql.integrations.alembic  # adds both operations

    def upgrade():
        op.create_commit_guard(grant=["app"])

    def downgrade():
        op.drop_commit_guard()

Online and offline (``--sql``), with whatever engine: they are plain statements.  `include_object` keeps
``--autogenerate`` from dropping the tables, which no model of the program's has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text

from ..errors import ConfigError
from .guarding import DEFAULT, dropped, made, tables_of

__all__ = ["CreateCommitGuard", "DropCommitGuard", "include_object"]


@Operations.register_operation("create_commit_guard")
class CreateCommitGuard(MigrateOperation):
    """Makes the tables, where they are not there."""

    def __init__(self, table: str = DEFAULT, grant: Iterable[str] = ()) -> None:
        if isinstance(grant, str):
            raise ConfigError(f"create_commit_guard(): grant must be a list of users, not the text {grant!r}")
        self.table = table
        self.grant = tuple(grant)

    @classmethod
    def create_commit_guard(
        cls, operations: Operations, table: str = DEFAULT, *, grant: Iterable[str] = ()
    ) -> CreateCommitGuard:
        """Make the tables of the commit guard.

        ``table``: as the knob ``commit_guard_table``; its schema is there already.  ``grant``: the users that the
        program works as, where the migration runs as another one.  Raises `ConfigError` for what is no table's name,
        and for a database that cannot be guarded.
        """
        operation = cls(table, grant)
        operations.invoke(operation)
        return operation

    def reverse(self) -> DropCommitGuard:
        """Return what undoes it."""
        return DropCommitGuard(self.table)


@Operations.register_operation("drop_commit_guard")
class DropCommitGuard(MigrateOperation):
    """Drops the tables, and with them what became of every COMMIT and every key of ``once``."""

    def __init__(self, table: str = DEFAULT) -> None:
        self.table = table

    @classmethod
    def drop_commit_guard(cls, operations: Operations, table: str = DEFAULT) -> DropCommitGuard:
        """Drop the tables of the commit guard; ``table`` and what is raised are as in `create_commit_guard`."""
        operation = cls(table)
        operations.invoke(operation)
        return operation

    def reverse(self) -> CreateCommitGuard:
        """Return what undoes it."""
        return CreateCommitGuard(self.table)


@Operations.implementation_for(CreateCommitGuard)
def _create(operations: Operations, operation: CreateCommitGuard) -> None:
    _execute(operations, made(_database(operations), operation.table, operation.grant))


@Operations.implementation_for(DropCommitGuard)
def _drop(operations: Operations, operation: DropCommitGuard) -> None:
    _execute(operations, dropped(_database(operations), operation.table))


def _database(operations: Operations) -> str:
    return operations.get_context().dialect.name


def _execute(operations: Operations, statements: Iterable[str]) -> None:
    for statement in statements:
        # SQLAlchemy would take what stands behind a colon for a parameter: a name may have one.
        operations.execute(text(statement.replace(":", r"\:")))


def include_object(
    thing: Any, name: str | None, type_: str, reflected: bool, compare_to: Any, *, table: str = DEFAULT
) -> bool:
    """Tell ``--autogenerate`` to leave the tables of the commit guard alone: for ``context.configure`` in ``env.py``.

    ``table``: that of the program, where it is not the default (by `functools.partial`).  Everything else is included.
    Raises `ConfigError` for what is no table's name.
    """
    return not (type_ == "table" and reflected and compare_to is None and name in tables_of(table))
