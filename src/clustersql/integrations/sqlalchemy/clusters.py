"""The cluster of an engine: a registered one, one of a file, or one that is made of the URL alone."""

from __future__ import annotations

import os
import threading
from typing import Any

from ...cluster import Cluster
from ...config.checks import nearest
from ...drivers import asyncio_of, load_async
from ...errors import ConfigError
from ...registry import load, registered
from ..servers import server_of
from .settings import Asked

DRIVERS = {
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector",
    "mariadbconnector": "mariadb",
    "pysqlite": "sqlite3",
}
"""SQLAlchemy's names of drivers that have another one here."""

_lock = threading.Lock()


def cluster_of(asked: Asked, url: Any, driver: str, is_async: bool) -> Cluster:
    """Return the cluster that an engine asks for.  ``driver`` is SQLAlchemy's name of the one in the URL.  Raises
    `ConfigError`.
    """
    name = DRIVERS.get(driver, driver)
    if asked.config is not None:
        cluster = _from_file(asked.config, asked.cluster)
    elif asked.cluster is not None:
        cluster = _named(asked.cluster)
    else:
        return _from_url(asked, url, name, is_async)
    _check_driver(cluster, name, is_async)
    return cluster


def _named(name: str) -> Cluster:
    clusters = registered()
    if name not in clusters:
        hint = (
            nearest(name, clusters)
            if clusters
            else "register() or load() one first, or name a file by clustersql_config="
        )
        raise ConfigError(f"the URL: no cluster {name!r} is registered; {hint}")
    return clusters[name]


def _from_file(path: str, name: str | None) -> Cluster:
    """Return the cluster of a file, which is loaded once; one that is registered already under its name is that one."""
    from ...config.file import read

    with _lock:
        names = [one.name for one in read(path)]
        if name is None and len(names) != 1:
            raise ConfigError(
                f"{os.fspath(path)} has the clusters {', '.join(names)}: say which, by clustersql_cluster=NAME in the"
                " URL"
            )
        wanted = name or names[0]
        if wanted in names and wanted in registered():
            return _named(wanted)
        [cluster] = load(path, name=wanted)
        return cluster


def _check_driver(cluster: Cluster, name: str, is_async: bool) -> None:
    if is_async:
        choice = cluster.async_driver if cluster.async_driver is not None else asyncio_of(cluster.driver)
        found = None if choice is None else load_async(choice).name
        key = "async_driver"
    else:
        found = None if cluster.driver is None else cluster.driver.name
        key = "driver"
    if found != name:
        has = f"has {found}" if found else "has none for this API"
        raise ConfigError(
            f"the URL names the driver {name}, and cluster {cluster.name!r} {has} ({key}): name that one, or give the"
            f" cluster {key}={name!r}"
        )


def _from_url(asked: Asked, url: Any, driver: str, is_async: bool) -> Cluster:
    """Make a cluster of the hosts in the URL; everything else in it holds for each."""
    key: dict[str, Any] = {"async_driver" if is_async else "driver": driver}
    cluster = Cluster(url.database or "default", **key, **asked.knobs)
    fields = {"user": url.username, "password": None if url.password is None else str(url.password)}
    for host, port in _hosts(url):
        name = host if port is None else f"{host}:{port}"
        where = (
            {"unix_socket": host} if host.startswith("/") and driver not in ("sqlite3", "aiosqlite") else {"host": host}
        )
        cluster.add_node(
            name,
            **where,
            port=port,
            **{key: value for key, value in fields.items() if value is not None},
            database=url.database or None,
        )
    if not cluster.nodes and url.get_backend_name() == "sqlite" and url.database:
        cluster.add_node(url.database, database=url.database or None)
    if not cluster.nodes:
        raise ConfigError(
            "the URL names no server: give hosts (?host=db1:5432&host=db2:5432), clustersql_cluster=NAME of a"
            " registered cluster, or clustersql_config=FILE"
        )
    return cluster


def _hosts(url: Any) -> list[tuple[str, int | None]]:
    """Return the hosts of a URL: of its authority, and each ``host=`` of its query, which may hold several joined by
    commas.
    """
    given = url.query.get("host", ())
    texts = [part for one in ([given] if isinstance(given, str) else given) for part in one.split(",")]
    found = [(url.host, url.port)] if url.host else []
    if texts and found:
        raise ConfigError("the URL names a host before its path, and others by host= behind it: name all by host=")
    if "port" in url.query:
        raise ConfigError("the URL: port= stands alone; write each host's with it, host=db1:5432")
    for text in texts:
        if (server := server_of(text)) is None:
            raise ConfigError("the URL: each host= is NAME or NAME:PORT, or several joined by commas")
        found.append(server)
    return found
