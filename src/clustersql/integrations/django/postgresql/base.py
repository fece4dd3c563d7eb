"""The backend for PostgreSQL, with psycopg or psycopg2, as Django has it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.backends.postgresql.client import DatabaseClient as Client
from django.db.backends.postgresql.creation import DatabaseCreation as Creation
from django.db.backends.postgresql.psycopg_any import IsolationLevel, is_psycopg3

from ..backend import Clustered
from ..programs import AtPrimary, Mirrored

CURSORS = [getattr(base, name) for name in ("Cursor", "ServerBindingCursor") if hasattr(base, name)]
"""Django's own factories of cursors."""


class DatabaseClient(AtPrimary, Client):
    """psql, at the primary."""


class DatabaseCreation(Mirrored, Creation):
    """Test databases."""


class ClusteredPostgreSQL(Clustered):
    """The mixin for PostgreSQL, which `DatabaseWrapper` is made with."""

    client_class = DatabaseClient
    creation_class = DatabaseCreation
    timezone: Any
    timezone_name: Any
    ops: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_psycopg3:
            self.ops.compose_sql = self._compose_sql

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Check a handle out."""
        self._level()
        self._zone = self.timezone
        own = conn_params.get("cursor_factory")
        if own in CURSORS:
            return super().get_new_connection(conn_params)
        # Another package's, which may make a class anew each time: the sessions are the same.
        others = {name: value for name, value in conn_params.items() if name != "cursor_factory"}
        connection = super().get_new_connection(others)
        connection.cursor_factory = own
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor of the handle's."""
        if not is_psycopg3:
            return super().create_cursor(name)  # type: ignore[misc]
        if name:
            # Made by a factory, which is called with the session: psycopg's classes of cursors take no handle.
            self.connection.server_cursor_factory = self._server_cursor
            cursor = self.connection.cursor(name, scrollable=False, withhold=self.connection.autocommit)
        else:
            cursor = self.connection.cursor()
        if self.timezone != self._zone:  # it was changed since the checkout
            base.register_tzloader(self.timezone, cursor)
        return cursor

    def ensure_timezone(self) -> bool:
        """Let this connection have a zone that was changed under it, as only tests do; the session is reset at its
        return.
        """
        if self.connection is None:
            return False
        with self.connection.cursor() as cursor:
            cursor.execute(self.ops.set_time_zone_sql(), [self.timezone_name])
        return True

    def session_settings(self) -> tuple[Any, ...]:
        """The zone, the role and the isolation level."""
        options = self.settings_dict["OPTIONS"]
        return self.timezone_name, options.get("assume_role"), options.get("isolation_level")

    def set_up(self, raw: Any) -> None:
        """Set zone, role and isolation level of a new session."""
        if (level := self._level()) is not None:
            raw.isolation_level = level
        if not is_psycopg3:
            base.psycopg2.extras.register_default_jsonb(conn_or_curs=raw, loads=lambda text: text)
        statements = []
        if self.timezone_name:
            statements.append((self.ops.set_time_zone_sql(), [self.timezone_name]))
        if role := self.settings_dict["OPTIONS"].get("assume_role"):
            statements.append((f"SET ROLE {self.ops.quote_name(role)}", []))
        self.prepare_session(raw, statements)

    def address_of(self, raw: Any) -> dict[str, Any]:
        """Ask libpq, which remembers."""
        info = raw.info
        return {"HOST": info.host, "PORT": str(info.port), "USER": info.user, "PASSWORD": info.password}

    def _compose_sql(self, sql: Any, params: Any) -> str:
        """Return a statement with its parameters in it: psycopg wants a connection of its own for that, or a cursor
        that can.
        """
        with self.cursor() as cursor:  # type: ignore[attr-defined]
            if self._server_side_binding:
                cursor = base.Database.ClientCursor(self.connection.peek())
            text: str = cursor.mogrify(sql, params)
            return text

    @property
    def _server_side_binding(self) -> bool:
        return self.settings_dict["OPTIONS"].get("server_side_binding") is True

    @property
    def _server_cursor(self) -> Any:
        """Django's class, which binds parameters as its ORM needs; Django 4.2 has none, and uses psycopg's."""
        plain = base.Database.ServerCursor
        return plain if self._server_side_binding else getattr(base, "ServerSideCursor", plain)

    def _level(self) -> Any:
        """Return the isolation level of the settings; None: the server's."""
        value = self.settings_dict["OPTIONS"].get("isolation_level")
        try:
            self.isolation_level = IsolationLevel.READ_COMMITTED if value is None else IsolationLevel(value)
        except ValueError:
            raise ImproperlyConfigured(
                f"Invalid transaction isolation level {value} specified. Use one of the psycopg.IsolationLevel values."
            ) from None
        return None if value is None else self.isolation_level


class DatabaseWrapper(ClusteredPostgreSQL, base.DatabaseWrapper):
    """Django's backend for PostgreSQL, over a cluster."""
