"""``clustersql commit-guard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..cluster import Cluster
from ..config.file import default_path, read
from ..config.knobs import KNOBS
from ..core.guard.table import KEYS, Table
from ..errors import ClusterError, ConfigError
from ..registry import load, unregister

__all__ = ["commit_guard"]


def commit_guard(
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file; default: what DBCONFIG names, or config.toml.", show_default=False),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the tables, as the user of the file.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements that make them, with the grants.")] = False,
    name: Annotated[
        str | None, typer.Option(help="The cluster's name, for a file with [[Nodes]], which has none (default).")
    ] = None,
    driver: Annotated[str | None, typer.Option(help="The driver, in place of the file's.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Only this cluster of the file.")] = None,
) -> None:
    """Make the tables of the commit guard, or say whether they are there.

    Without an option each cluster's primary is asked whether the tables are there, and whether the user of the file may
    work with them.  Exit status: 0 they are, 1 they are not, 2 cannot run.
    """
    if create and sql:
        raise ConfigError("--create and --sql contradict each other: give one of them")
    file = config or Path(default_path())
    settings = {each.name: each for each in read(file, name=name, driver=driver)}
    if cluster is not None and cluster not in settings:
        raise ConfigError(f"{file}: no cluster {cluster!r}; it has {', '.join(settings)}")
    good = True
    for one in load(file, name=name, driver=driver):
        try:
            if cluster in (None, one.name):
                table = str(settings[one.name].settings.get("commit_guard_table", KNOBS["commit_guard_table"].default))
                users = {address.user for _, address in settings[one.name].nodes if isinstance(address.user, str)}
                database = next((a.database for _, a in settings[one.name].nodes if isinstance(a.database, str)), None)
                good &= _Tables(one, table, database).do(create, sql, sorted(users))
        finally:
            unregister(one.name)
    if not good:
        raise typer.Exit(1)


class _Tables:
    """The guard's two tables on one cluster."""

    def __init__(self, cluster: Cluster, table: str, database: str | None) -> None:
        if cluster.driver is None:
            raise ConfigError(f"cluster {cluster.name!r} has no driver for threads: give one with --driver")
        dialect = cluster.driver.dialect
        if dialect.guard is None:
            raise ConfigError(f"cluster {cluster.name!r}: a {dialect.name} database cannot be guarded")
        self._cluster = cluster
        self._sql = dialect.guard
        self._commits = dialect.guard.table(Table.parse(table), database)
        self._keys = self._commits.beside(KEYS)
        self._names = self._commits.quoted(dialect.quote), self._keys.quoted(dialect.quote)

    def do(self, create: bool, sql: bool, users: list[str]) -> bool:
        """Do what was asked for.  Returns whether the tables are there, or may be."""
        statements = self._sql.create(*self._names)
        if sql:
            granting = [statement for user in users for statement in self._sql.grant(*self._names, user)]
            typer.echo("\n".join(f"{statement};" for statement in (*statements, *granting)))
            return True
        if create:
            for statement in statements:
                self._cluster.open().execute(statement)
        return self._is_there()

    def _is_there(self) -> bool:
        wrong = [f"{each}: {why}" for each in (self._commits, self._keys) if (why := self._missing(each))]
        for text in wrong:
            typer.echo(f"cluster {self._cluster.name}: {text}")
        if not wrong:
            typer.echo(f"cluster {self._cluster.name}: {self._commits} and {self._keys} are there")
        return not wrong

    def _missing(self, table: Table) -> str:
        """Return what keeps the guard from working with a table; "": nothing does."""

        def ask(conn: object) -> list[tuple[object, ...]]:
            cursor = conn.cursor()  # type: ignore[attr-defined]
            for statement in self._sql.present(table):
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

        try:
            [(present, allowed)] = self._cluster.open().run(ask)
        except ClusterError:
            raise
        except Exception as exc:  # the server's refusal, in the driver's words
            return f"cannot be worked with: {exc}"
        if not present:
            return "is not there: make it with --create, or with the statements of --sql"
        return "" if allowed else "is there, but this user may not work with it: see the grants of --sql"
