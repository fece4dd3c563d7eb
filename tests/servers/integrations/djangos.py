"""Django's connections over real servers, with the settings of the page, for a test at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import django.db
from django.conf import settings
from django.db.utils import ConnectionHandler

ENGINES = {"psycopg": "postgresql", "mysqlclient": "mysql"}


def databases(driver: str, servers: Any, **entry: Any) -> dict[str, dict[str, Any]]:
    """DATABASES over all nodes of ``servers``, with a replica."""
    engine = f"clustersql.integrations.django.{ENGINES[driver]}"
    nodes = [f"127.0.0.1:{servers.port(name)}" for name in servers.nodes]
    default = {"ENGINE": engine, "NAME": "app", "USER": "app", "PASSWORD": "secret", "NODES": nodes}
    return {"default": default | entry, "replica": {"ENGINE": engine, "REPLICA_OF": "default"}}


@contextmanager
def connected(found: dict[str, dict[str, Any]]) -> Iterator[Any]:
    """Let ``django.db.connections`` be those; all is ended after the block, the clusters too."""
    from clustersql.integrations.django import clusters

    if not settings.configured:
        settings.configure()
        django.setup()
    connections, before = django.db.connections, django.db.connections.settings
    connections.settings = ConnectionHandler(found).settings
    try:
        yield connections
    finally:
        for alias in found:
            connections[alias].close()
            del connections[alias]
        connections.settings = before
        for cluster in clusters._made.values():
            cluster.close()
        clusters._made.clear()
        clusters._links.clear()
