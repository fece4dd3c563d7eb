"""Programs that Django starts beside itself, which connect by themselves: they are given the address of the node that
serves us now.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class AtPrimary:
    """The mixin before a backend's ``DatabaseClient``: ``manage.py dbshell``."""

    connection: Any

    def runshell(self, parameters: Any) -> None:
        """Start the database's own shell."""
        connection = self.connection
        self.connection = SimpleNamespace(settings_dict=connection.primary_settings())
        connection.close()
        try:
            super().runshell(parameters)  # type: ignore[misc]
        finally:
            self.connection = connection


class Mirrored:
    """The mixin before a backend's ``DatabaseCreation``: test databases."""

    connection: Any
    is_mirror = False

    def set_as_test_mirror(self, primary_settings_dict: Any) -> None:
        """Note that this alias stands for another one's test database."""
        super().set_as_test_mirror(primary_settings_dict)  # type: ignore[misc]
        self.connection.settings_dict["TEST"]["IS_MIRROR"] = self.is_mirror = True

    def _clone_test_db(self, *args: Any, **kwargs: Any) -> None:
        self.connection.close()
        self.connection.close_pool()
        super()._clone_test_db(*args, **kwargs)  # type: ignore[misc]

    def _destroy_test_db(self, *args: Any, **kwargs: Any) -> None:
        self.connection.close_pool()
        super()._destroy_test_db(*args, **kwargs)  # type: ignore[misc]
