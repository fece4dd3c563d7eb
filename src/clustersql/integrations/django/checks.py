"""What ``manage.py check`` says of the settings, and what is wrong with them when the first connection is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from .bookmarks import COOKIE, HEADER
from .settings import is_ours, read

ROUTER = "clustersql.integrations.django.ReadRouter"
MIDDLEWARE = "clustersql.integrations.django.PinningMiddleware"

_checked: set[int] = set()


def check_all(databases: Mapping[str, Mapping[str, Any]]) -> None:
    """Read every alias over a cluster, once: a mistake in one that is used later is told at the start.  Raises
    `ImproperlyConfigured`.
    """
    if id(databases) in _checked:
        return
    found = []
    for alias in [alias for alias, entry in databases.items() if is_ours(entry)]:
        try:
            read(alias, databases)
        except ImproperlyConfigured as exc:
            found.append(str(exc))
    if found:
        raise ImproperlyConfigured("\n".join(dict.fromkeys(found)))
    _checked.add(id(databases))


@register(Tags.database)
@register()
def check_settings(**_: Any) -> list[Any]:
    """Tell what works, and not as it seems."""
    ours = {alias: entry for alias, entry in settings.DATABASES.items() if is_ours(entry)}
    found: list[Any] = []
    for alias, entry in ours.items():
        if entry.get("CONN_MAX_AGE", 0) != 0:
            found.append(
                Warning(
                    f"DATABASES[{alias!r}]: CONN_MAX_AGE keeps a connection of the cluster's pool for each thread, and"
                    " under ASGI threads come and go.",
                    hint="Leave it at 0: the pool keeps the sessions, and a checkout costs no connect.",
                    id="clustersql.W001",
                )
            )
    has_replica = any(entry.get("REPLICA_OF") for entry in ours.values())
    if ROUTER in settings.DATABASE_ROUTERS and not has_replica:
        found.append(
            Error(
                "DATABASE_ROUTERS has ReadRouter, and no alias of DATABASES has REPLICA_OF: there is nothing to route"
                " to.",
                hint="Add an alias {'ENGINE': ..., 'REPLICA_OF': 'default'}, or leave the router out.",
                id="clustersql.E001",
            )
        )
    if MIDDLEWARE in settings.MIDDLEWARE and ROUTER not in settings.DATABASE_ROUTERS:
        found.append(
            Warning(
                "MIDDLEWARE has PinningMiddleware, and DATABASE_ROUTERS has no ReadRouter: it pins nothing.",
                hint=f"Add {ROUTER!r} to DATABASE_ROUTERS, or leave the middleware out.",
                id="clustersql.W002",
            )
        )
    named = [name for name in (COOKIE, HEADER) if getattr(settings, name, None) is not None]
    if named and MIDDLEWARE not in settings.MIDDLEWARE:
        found.append(
            Warning(
                f"{named[0]} is set, and MIDDLEWARE has no PinningMiddleware: no bookmark travels.",
                hint=f"Add {MIDDLEWARE!r} to MIDDLEWARE, or leave {named[0]} out.",
                id="clustersql.W003",
            )
        )
    return found
