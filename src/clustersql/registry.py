"""Clusters by their names, one register per process."""

from __future__ import annotations

import os
import threading
from os import PathLike
from typing import TYPE_CHECKING, Any

from .cluster import Cluster, from_config, was_read
from .config.checks import nearest
from .errors import ConfigError

if TYPE_CHECKING:
    from .config.reread import Reloaded
    from .sync.connection import Connection
    from .sync.database import Database

_clusters: dict[str, Cluster] = {}
_lock = threading.Lock()

DEFAULT_DRIVER = "pymysql"
"""For a file in the ancestor's form, which names none: that package was used with MySQL and Galera."""


def driver_of(driver: str | None, async_driver: str | None) -> str | None:
    """Return the driver for threads that a file means; none for one that names only a driver for asyncio."""
    return driver or (None if async_driver else DEFAULT_DRIVER)


def register(cluster: Cluster) -> Cluster:
    """File ``cluster`` under its name, and return it.  Raises `ConfigError` when another has that name."""
    with _lock:
        if _clusters.get(cluster.name, cluster) is not cluster:
            raise ConfigError(
                f"a cluster named {cluster.name!r} is registered already; unregister({cluster.name!r}) it first"
            )
        _clusters[cluster.name] = cluster
    return cluster


def unregister(name: str) -> None:
    """Forget the cluster of that name and close it; none of that name is no error."""
    cluster = _clusters.pop(name, None)  # at once: no lock is needed, which a signal handler might wait for in vain
    if cluster is not None:
        cluster.close()


def get(name: str) -> Cluster:
    """Return the registered cluster called ``name``.  Raises `ConfigError` with the nearest name when there is none."""
    cluster = _clusters.get(name)
    if cluster is None:
        raise ConfigError(
            f"no cluster {name!r} is registered;"
            f" {nearest(name, _clusters) if _clusters else 'register() or load() one first'}"
        )
    return cluster


def registered() -> dict[str, Cluster]:
    """Return the clusters that are registered now, by their names."""
    return dict(_clusters)  # at once: no lock is needed, which a signal handler might wait for in vain


def open(name: str, dsn: object = None, /) -> Database:
    """Return the `Database` of the cluster called ``name``.  ``dsn`` is ignored: the cluster knows its nodes."""
    return get(name).open()


def connect(name: str, /, **arguments: Any) -> Connection:
    """Return a PEP 249 connection to the cluster called ``name``, outside its pool; ``arguments`` are the driver's
    own.
    """
    return get(name).connect(**arguments)


def load(
    path: str | PathLike[str] | None = None, *, name: str | None = None, driver: str | None = None
) -> list[Cluster]:
    """Read a TOML file, register its clusters, and return them in the file's order.

    ``path``: the file; None: what ``DBCONFIG`` names, else ``config.toml``.  ``name`` and ``driver`` are needed for a
    file in the ancestor's form, which has neither (default: "default", and PyMySQL); in ours they pick one cluster and
    replace its driver.  Raises `ConfigError` with every mistake.
    """
    from .config.file import default_path, read
    from .config.reread import Reading

    file = os.path.abspath(path if path is not None else default_path())
    clusters = [
        was_read(
            from_config(c.name, driver_of(c.driver, c.async_driver), c.async_driver, c.settings, c.nodes),
            Reading(file, name, driver, c),
        )
        for c in read(path, name=name, driver=driver)
    ]
    for cluster in clusters:
        register(cluster)
    return clusters


def reload(path: str | PathLike[str] | None = None) -> tuple[Reloaded, ...]:
    """Read a file again that clusters were loaded from, and let them be as it says now, while traffic runs.

    ``path``: the file; None: every one that a registered cluster was loaded from.  Only the nodes of the file are
    touched: those that are new in it are added, those that went are drained, and those that changed are replaced;
    knobs that can change while traffic runs do.  Returns for each cluster what was done, and what only a new process
    can take.  Raises one `ConfigError` naming every mistake in all of it, which the log tells too; then nothing is
    changed.  It takes locks: a signal handler calls it in a thread.
    """
    from .rereading import reload_all

    return reload_all(registered(), None if path is None else os.path.abspath(path))


def metrics() -> dict[str, Any]:
    """Return the figures of every registered cluster, by name, ready for JSON."""
    return {name: cluster.metrics() for name, cluster in sorted(_clusters.items())}
