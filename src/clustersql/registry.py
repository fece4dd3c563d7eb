"""Clusters by their names, one register per process; and the files that they were loaded from, read again.

Rules of `reload`
-----------------
1. All files are read and all changes checked before the first is made: with one mistake nothing is changed.
2. What has changed in the file since it was read last is changed in the cluster, and nothing else: what the program
   itself has added, removed or reconfigured stays.
3. A cluster that vanished from its file goes on as it was; one that is new in it is not opened.  The answer and the log
   name both.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from . import fork
from .cluster import Cluster, from_config, reading_of, reread, was_read
from .config.checks import nearest, report
from .config.file import ClusterConfig, default_path, read, read_all
from .config.reread import Changes, Reading, Reloaded, changes
from .errors import ConfigError

if TYPE_CHECKING:
    from .sync.connection import Connection
    from .sync.database import Database

log = logging.getLogger("clustersql")

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
    file = None if path is None else os.path.abspath(path)
    with _reloading.lock:
        clusters = registered()
        try:
            readings = _readings(clusters, file)
            configs = {key: read_all(key[0], name=key[1], driver=key[2]) for key in map(_key, readings.values())}
            plans = [_plan(clusters[name], reading, configs[_key(reading)]) for name, reading in readings.items()]
            _check(plans)
        except ConfigError as exc:
            log.error("reload: nothing is changed: %s", exc)
            raise
        done = [_done(plan) for plan in plans]
        return (*done, *_new(readings, configs))


def metrics() -> dict[str, Any]:
    """Return the figures of every registered cluster, by name, ready for JSON."""
    return {name: cluster.metrics() for name, cluster in sorted(_clusters.items())}


# -- files that are read again -----------------------------------------------------------------------------------------


class _OneAtATime:
    """The lock of `reload`, which a forked child makes anew."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> tuple[()]:
        self.lock = threading.Lock()
        return ()


_reloading = _OneAtATime()
fork.track(_reloading)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done with one cluster."""

    cluster: Cluster
    reading: Reading
    found: Changes | None
    """None: the file has none of that name any more."""


_Key = tuple[str, str | None, str | None]


def _key(reading: Reading) -> _Key:
    return reading.file, reading.name, reading.driver


def _readings(clusters: Mapping[str, Cluster], file: str | None) -> dict[str, Reading]:
    """Return how the clusters were read that were loaded from ``file``, by their names.  Raises `ConfigError` where
    there is none.
    """
    read = {name: reading for name, cluster in clusters.items() if (reading := reading_of(cluster)) is not None}
    found = {name: reading for name, reading in read.items() if file in (None, reading.file)}
    if not found:
        whole = f"{file}: no registered cluster was loaded from it" if file else "no registered cluster has a file"
        files = ", ".join(sorted({reading.file for reading in read.values()}))
        raise ConfigError(f"{whole}; {f'loaded were {files}' if files else 'load() one first'}")
    return found


def _plan(cluster: Cluster, reading: Reading, configs: list[ClusterConfig]) -> _Plan:
    config = next((each for each in configs if each.name == cluster.name), None)
    return _Plan(cluster, reading, None if config is None else changes(reading.config, config))


def _check(plans: list[_Plan]) -> None:
    wrong = []
    for plan in plans:
        try:
            if plan.found is not None:
                reread(plan.cluster, plan.found, publish=False)
        except ConfigError as exc:
            wrong.append(f"{plan.reading.file}: cluster {plan.cluster.name!r}: {exc}")
    if wrong:
        raise report("what was read again", wrong)


def _done(plan: _Plan) -> Reloaded:
    name, file, found = plan.cluster.name, plan.reading.file, plan.found
    if found is None:
        log.warning("cluster %s: it is in %s no more, and goes on as it was: unregister() closes it", name, file)
        return Reloaded(name, vanished=True)
    reread(plan.cluster, found, publish=True)
    was_read(plan.cluster, replace(plan.reading, config=found.kept))
    if found.fixed:
        log.warning("cluster %s: only a new process can take from %s: %s", name, file, ", ".join(found.fixed))
    return found.told(name)


def _new(readings: Mapping[str, Reading], configs: Mapping[_Key, list[ClusterConfig]]) -> Iterator[Reloaded]:
    """Yield the clusters that are new in a file which was loaded whole."""
    for (file, name, _), found in configs.items():
        for config in found if name is None else ():
            if config.name not in readings:
                log.warning("cluster %s: it is new in %s, and was not opened: load() it by its name", config.name, file)
                yield Reloaded(config.name, new=True)
