"""The backend for PostGIS: Django's own over our mixin for PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.contrib.gis.db.backends.postgis import base
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from ..postgresql.base import ClusteredPostgreSQL


class ClusteredPostGIS(ClusteredPostgreSQL):
    """The mixin for PostGIS."""

    _type_infos: dict[str, dict[str, Any]]

    def set_up(self, raw: Any) -> None:
        """Set a new session up, and register the geometry types in it."""
        super().set_up(raw)
        if is_psycopg3 and self.alias != base.NO_DB_ALIAS:
            super().register_geometry_adapters(raw)  # type: ignore[misc]
            raw.commit()

    def register_geometry_adapters(self, pg_connection: Any, clear_caches: bool = False) -> None:
        """Register the types, when the extension was made just now, on the driver's own connection.

        Django remembers for each alias that a type is not there: a session's hook may be that of another alias.
        """
        if clear_caches:
            for infos in self._type_infos.values():
                infos.clear()
        super().register_geometry_adapters(pg_connection.peek(), clear_caches)  # type: ignore[misc]


class DatabaseWrapper(ClusteredPostGIS, base.DatabaseWrapper):
    """Django's backend for PostGIS, over a cluster."""
