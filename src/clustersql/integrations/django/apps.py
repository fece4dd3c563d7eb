"""The application ``clustersql.integrations.django``, for INSTALLED_APPS: its migration makes the commit guard's
tables.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate

from .operations import statements_for


class ClusterSQL(AppConfig):
    """It has a migration and no model.  The last part of its name, ``django``, would say nothing as its label."""

    name = "clustersql.integrations.django"
    label = "clustersql"
    verbose_name = "clustersql"

    def ready(self) -> None:
        """Ask to be told of each ``migrate``."""
        pre_migrate.connect(make_first, sender=self)


def make_first(sender: AppConfig, using: str, plan: Any, **told: Any) -> None:
    """Make the tables before all other migrations, where ours is among them.

    With the guard on, the first transaction of another application's migration would carry a token already, and be lost
    for want of the table: in a new database, and so under ``manage.py test``, always.
    """
    if any(migration.app_label == sender.label and not backwards for migration, backwards in plan):
        connection = connections[using]
        with connection.cursor() as cursor:
            for statement in statements_for(connection, sender.label):
                cursor.execute(statement)
