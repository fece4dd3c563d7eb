"""The cluster of an alias, and what joins a wrapper to it.

One cluster per servers, user, knobs and driver arguments, whatever the alias.  It is made at the first connection, for
the database that is then wanted: a test runner first connects to none, or to ``postgres``, so that not even a probe
goes to the real database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from django.db.backends.base.base import NO_DB_ALIAS

from ...cluster import Cluster
from ...config.checks import nearest
from ...registry import registered
from ..link import Link
from .settings import Asked, wrong

DRIVERS = {"MySQLdb": "mysqlclient"}
"""Modules of drivers that have another name here."""
FACTORIES = frozenset(("context", "cursor_factory", "conv", "client_encoding", "prepare_threshold"))
"""Arguments that Django gives by itself: they are for what it reads, and probes have no use for them."""

_made: dict[tuple[str, ...], Cluster] = {}
_links: dict[str, Link] = {}
_proven: WeakSet[Cluster] = WeakSet()


def named(alias: str, asked: Asked, driver: str) -> Cluster:
    """Return the registered cluster that an alias names.  Raises `ImproperlyConfigured`."""
    clusters, name = registered(), str(asked.cluster)
    if name not in clusters:
        hint = nearest(name, clusters) if clusters else "register() or load() it in the settings, before DATABASES"
        raise wrong(alias, f"CLUSTER: no cluster {name!r} is registered; {hint}")
    cluster = clusters[name]
    if cluster.driver is None or cluster.driver.name != driver:
        found = f"has {cluster.driver.name}" if cluster.driver else "has none for threads"
        raise wrong(
            alias, f"CLUSTER: Django uses the driver {driver}, and cluster {name!r} {found}: give it {driver!r}"
        )
    return cluster


def cluster_of(asked: Asked, driver: str, entry: Mapping[str, Any], arguments: Mapping[str, Any]) -> Cluster:
    """Return the cluster of an alias that is not a named one's; it is made where none has been with the same servers,
    user and knobs.
    """
    own = {name: value for name, value in arguments.items() if name not in FACTORIES and value is not None}
    database = next((own.pop(name) for name in ("dbname", "database", "db") if name in own), None)
    key = (
        driver,
        repr(asked.nodes),
        repr(entry["USER"]),
        repr(entry["PASSWORD"]),
        repr(asked.knobs),
        repr(sorted(own.items())),
    )
    if key not in _made:
        servers = asked.servers
        cluster = Cluster(",".join(servers), driver=driver, **asked.knobs)
        user = {"user": entry["USER"] or None, "password": entry["PASSWORD"] or None, "database": database}
        for name, (host, port) in servers.items():
            where = {"unix_socket": host} if host.startswith("/") and driver not in LIBPQ else {"host": host}
            cluster.add_node(name, port=port, **where, **user, **own)
        _made.setdefault(key, cluster)
    return _made[key]


LIBPQ = ("psycopg", "psycopg2")
"""Drivers that take the folder of a socket as the host."""


def note_success(cluster: Cluster) -> None:
    """Note that the database that the cluster was made for can be reached."""
    if cluster not in _proven:
        _proven.add(cluster)


def note_failure(cluster: Cluster) -> None:
    """Let a cluster that has never worked be made anew: it may be the database that it was made for that cannot be
    reached.
    """
    found = [key for key, one in tuple(_made.items()) if one is cluster and cluster not in _proven]
    for key in found:
        _made.pop(key, None)
        cluster.close()


def link_of(
    alias: str, before: Link | None, cluster: Cluster, options: Mapping[str, Any], hook: Callable[[Any], object]
) -> Link:
    """Return what joins an alias's wrappers to their cluster: the same one for as long as they want the same sessions.

    It is held here, for a thread's wrapper ends with its thread, and the sessions should not.
    """
    for link in (before, _links.get(alias)):
        if link is not None and link.cluster is cluster and link.hook is hook and link.options == options:
            return link
    link = Link(cluster, options, ours=False)
    link.hook = hook
    if alias != NO_DB_ALIAS:  # what makes and drops databases has no further use for its sessions
        _links[alias] = link
    return link


def leave(alias: str) -> None:
    """Close the idle sessions of an alias's cluster: a database is dropped, or copied, with no session in it."""
    if (link := _links.get(alias)) is not None:
        link.cluster.open().close()
