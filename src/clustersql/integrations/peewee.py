"""Peewee over a cluster: its own classes of databases, whose connections are handles of the cluster's pool.

``db = PostgresqlDatabase("shop", cluster="shop")`` in place of ``PostgresqlDatabase("shop", host=..., user=...)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee

from ..cluster import Cluster
from ..config.checks import nearest
from ..errors import ClusterError, ConfigError
from ..nodes.dial import NODE_ARGUMENTS
from ..registry import registered
from .attempts import TIMEOUT, cause
from .following import following
from .link import Link

__all__ = ["MySQLDatabase", "PostgresqlDatabase", "cause", "following"]


DRIVER = "mysqlclient" if getattr(getattr(peewee, "mysql", None), "__name__", "") == "MySQLdb" else "pymysql"
"""The driver that Peewee has found for MySQL."""


def named(name: str) -> Cluster:
    """Return the registered cluster of that name.  Raises `ConfigError`."""
    clusters = registered()
    if name not in clusters:
        hint = nearest(name, clusters) if clusters else "register() or load() one first"
        raise ConfigError(f"no cluster {name!r} is registered; {hint}")
    return clusters[name]


@contextmanager
def in_peewees_form() -> Iterator[None]:
    """Raise our errors as Peewee's ``OperationalError``: it knows errors by the names of their classes."""
    try:
        yield
    except ClusterError as exc:
        raise peewee.OperationalError(str(exc)) from exc


class Clustered:
    """The mixin before one of Peewee's classes of databases."""

    drivers: tuple[str, ...]
    """Names of the cluster's drivers that it can use."""
    database_argument: str
    """The driver's name for the database."""
    database: str
    connect_params: dict[str, Any]

    def init(
        self,
        database: str | None,
        *,
        cluster: Cluster | str | None = None,
        read_only: bool = False,
        max_lag: float | str | None = None,
        timeout: float = TIMEOUT,
        **arguments: Any,
    ) -> None:
        """Join the database to its cluster.

        ``cluster``: one, or the name of a registered one.  ``read_only``: any ready node serves, and the server refuses
        writes; ``max_lag`` as among the options of `Database`.  ``timeout``: seconds to wait for a connection.
        ``arguments``: Peewee's, and the driver's.  ``database`` None: it is called again later.  Raises `ConfigError`
        for an unknown cluster, another driver, an address or credentials.
        """
        if database is None:  # `init` comes later
            super().init(None)  # type: ignore[misc]
            return
        if cluster is None:
            raise ConfigError(f"{type(self).__name__}: give cluster=, a cluster or the name of a registered one")
        found = named(cluster) if isinstance(cluster, str) else cluster
        driver = found.driver.name if found.driver is not None else "none for threads"
        if driver not in self.drivers:
            raise ConfigError(
                f"cluster {found.name!r} has the driver {driver}, and {type(self).__name__} uses"
                f" {' or '.join(self.drivers)}"
            )
        if wrong := sorted(NODE_ARGUMENTS.intersection(arguments)):
            raise ConfigError(
                f"{', '.join(wrong)}: address and credentials are the nodes' of the cluster: leave them out"
            )
        options = {"timeout": timeout, "read_only": read_only or None, "max_lag": max_lag}
        self.link = Link(found, {name: value for name, value in options.items() if value is not None}, ours=False)
        super().init(database, **self._preferring(driver), **arguments)  # type: ignore[misc]

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Check a connection out."""
        with in_peewees_form():
            return super().connect(*args, **kwargs)  # type: ignore[misc]

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement."""
        with in_peewees_form():
            return super().execute_sql(*args, **kwargs)  # type: ignore[misc]

    def begin(self, *args: Any, **kwargs: Any) -> Any:
        """Begin a transaction."""
        with in_peewees_form():
            return super().begin(*args, **kwargs)  # type: ignore[misc]

    def commit(self) -> Any:
        """Commit."""
        with in_peewees_form():
            return super().commit()  # type: ignore[misc]

    def _preferring(self, driver: str) -> dict[str, Any]:
        """Return what tells Peewee which driver the connections are of."""
        return {"prefer_psycopg3": driver == "psycopg"} if driver.startswith("psycopg") else {}

    def _connect(self) -> Any:
        arguments = {self.database_argument: self.database, **self.connect_params}
        connection = self.link.database(arguments, False).connection()
        try:
            self.set_mode(connection)
        except BaseException:  # nobody else knows of it
            connection.close()
            raise
        return connection

    def set_mode(self, connection: Any) -> None:
        """Turn the autocommit mode on: Peewee begins its transactions itself."""
        raise NotImplementedError


class PostgresqlDatabase(Clustered, peewee.PostgresqlDatabase):  # type: ignore[misc]
    """Peewee's for PostgreSQL, with psycopg or psycopg2, as the cluster has it."""

    drivers = ("psycopg", "psycopg2")
    database_argument = "dbname"

    def set_mode(self, connection: Any) -> None:
        """Turn it on."""
        connection.autocommit = True


class MySQLDatabase(Clustered, peewee.MySQLDatabase):  # type: ignore[misc]
    """Peewee's for MariaDB, MySQL and Galera, with the driver that Peewee itself finds: PyMySQL, else mysqlclient."""

    drivers = (DRIVER,)
    database_argument = "database"

    def set_mode(self, connection: Any) -> None:
        """Turn it on."""
        connection.autocommit(True)
