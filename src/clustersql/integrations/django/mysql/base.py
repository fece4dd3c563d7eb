"""The backend for MariaDB and MySQL, with mysqlclient, or PyMySQL where it stands in for that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.db.backends.mysql import base
from django.db.backends.mysql.client import DatabaseClient as Client
from django.db.backends.mysql.creation import DatabaseCreation as Creation

from ..backend import Clustered
from ..programs import AtPrimary, Mirrored


class DatabaseClient(AtPrimary, Client):
    """The database's own shell, at the primary."""


class DatabaseCreation(Mirrored, Creation):
    """Test databases."""

    def _clone_db(self, source_database_name: str, target_database_name: str) -> None:
        """Copy by the programs of the database, at the primary."""
        connection = self.connection
        self.connection = SimpleNamespace(settings_dict=connection.primary_settings())
        try:
            super()._clone_db(source_database_name, target_database_name)
        finally:
            self.connection = connection


class ClusteredMySQL(Clustered):
    """The mixin for MariaDB and MySQL, which `DatabaseWrapper` is made with."""

    client_class = DatabaseClient
    creation_class = DatabaseCreation
    isolation_level: str | None

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's arguments; where Django wants no database, that is said, or it would be the node's."""
        return {"database": None, **super().get_connection_params()}

    def session_settings(self) -> tuple[Any, ...]:
        """The isolation level, which Django reads with the driver's arguments."""
        return (self.settings_dict["OPTIONS"].get("isolation_level", "read committed"),)

    def set_up(self, raw: Any) -> None:
        """Set the isolation level of a new session, and what of NULL is not as in SQL's standard."""
        if getattr(raw, "encoders", {}).get(bytes) is bytes:  # of mysqlclient before 2.1: Django takes it away as well
            raw.encoders.pop(bytes)
        statements: list[tuple[str, list[Any]]] = [("SET SESSION sql_auto_is_null = 0", [])]
        if level := self.session_settings()[0]:
            statements.append((f"SET SESSION TRANSACTION ISOLATION LEVEL {level.upper()}", []))
        self.prepare_session(raw, statements)

    def address_of(self, raw: Any) -> dict[str, Any]:
        """Ask the driver, which does not tell the password."""
        host, port = raw.get_host_info().split()[0], str(getattr(raw, "port", "") or "")
        with raw.cursor() as cursor:
            cursor.execute("SELECT USER()")
            user = cursor.fetchone()[0].rpartition("@")[0]
        return {"HOST": host, "PORT": port, "USER": user, "PASSWORD": ""}


class DatabaseWrapper(ClusteredMySQL, base.DatabaseWrapper):
    """Django's backend for MariaDB and MySQL, over a cluster."""
