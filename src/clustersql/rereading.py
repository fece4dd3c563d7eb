"""The files that clusters were loaded from are read again.

1. All files are read and all changes checked before the first is made: with one mistake nothing is changed.
2. What has changed in the file since it was read last is changed in the cluster, and nothing else: what the program
   itself has added, removed or reconfigured stays.
3. A cluster that vanished from its file goes on as it was; one that is new in it is not opened.  The answer and the log
   name both.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import fork
from .cluster import reading_of, reread, was_read
from .config.checks import report
from .config.file import ClusterConfig, read_all
from .config.reread import Changes, Reading, Reloaded, changes
from .errors import ConfigError

if TYPE_CHECKING:
    from .cluster import Cluster

log = logging.getLogger("clustersql")


class _OneAtATime:
    """The lock of `reload_all`, which a forked child makes anew."""

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


def reload_all(clusters: Mapping[str, Cluster], file: str | None) -> tuple[Reloaded, ...]:
    """Read ``file`` again, or every one that these ``clusters`` were loaded from; see `clustersql.reload`."""
    with _reloading.lock:
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
