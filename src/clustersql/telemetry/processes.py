"""The figures of several processes together, as under gunicorn or Celery: each publishes its own in a folder, and
whoever is asked reads them all.

Rules
-----
1. prometheus_client's own files of several processes hold what was counted by its objects, and no collector; so these
   are files of ours, and may lie in the same folder.
2. A process holds a lock for as long as it lives, which its end releases whatever ended it: no file of one that is dead
   is ever added, and its number may be somebody else's by then.
3. A file is replaced as a whole, so a reader finds no half of one.
4. Counts, and what adds up, are added; of what each process believes of the same thing, the worst is told
   (`Family.together`).
"""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ..cluster import Cluster
from ..config.checks import is_number
from ..errors import ConfigError
from ..registry import registered
from .families import FAMILIES, Labels, Watching
from .histograms import HISTOGRAMS, Distribution
from .prometheus import TYPE, distribution, exposition, metric, nothing

__all__ = ["TYPE", "ProcessesCollector", "Publisher", "publish", "together"]

log = logging.getLogger("clustersql")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""What names the folder where the program does not: prometheus_client's own variable."""
EVERY = 5.0
"""Seconds between two files of one process."""
PREFIX = "clustersql-"

_own: dict[str, int] = {}
"""The names of the files that a process writes, with its number.  Its own lock is not tried: to close what that takes
would release it."""


def publish(
    folder: str | Path | None = None, clusters: Iterable[Cluster] | None = None, every: float = EVERY
) -> Publisher:
    """Publish the figures of this process in ``folder`` from now on, from a thread of its own.

    Call it in each worker, after the fork (gunicorn's ``post_fork``, Celery's ``worker_process_init``).  ``folder``:
    one that all of them share; None: what ``PROMETHEUS_MULTIPROC_DIR`` names.  ``clusters``: which to show; None: all
    that are registered at the time.  ``every``: seconds between two files.  Raises `ConfigError` for a folder that is
    none, or cannot be written.
    """
    if not is_number(every) or every <= 0:
        raise ConfigError(f"publish(): every must be a number of seconds above 0, not {every!r}")
    return Publisher(shared(folder), clusters, every)


def shared(folder: str | Path | None) -> Path:
    """Return the folder.  Raises `ConfigError` where there is none."""
    given = folder if folder is not None else os.environ.get(VARIABLE)
    if not given:
        raise ConfigError(f"no folder that the processes share: give one, or set {VARIABLE}")
    if not (path := Path(given)).is_dir():
        raise ConfigError(f"{path} is no folder: make it before the processes begin")
    return path


class Publisher:
    """Publishes the figures of one process; made by `publish`.  ``with`` closes it."""

    def __init__(self, folder: Path, clusters: Iterable[Cluster] | None, every: float) -> None:
        self._chosen = None if clusters is None else {each.name: each for each in clusters}
        self._watching = Watching()
        self._every = every
        self._pid = os.getpid()
        self._closed = threading.Event()
        self._blamed = False
        name = f"{PREFIX}{self._pid}-{secrets.token_hex(4)}"
        self._file, self._lock = folder / f"{name}.json", folder / f"{name}.lock"
        _own[self._file.name] = self._pid
        try:
            # It stays open: the lock is held until it is closed, or this process ends.
            self._held = self._lock.open("w")
            fcntl.lockf(self._held, fcntl.LOCK_EX)
            self.write()
        except OSError as exc:
            raise ConfigError(f"the figures cannot be published in {folder}: {exc}") from exc
        self._thread = threading.Thread(target=self._run, name="clustersql-publish", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # else the last files of a program would lie there until somebody reads

    def write(self) -> None:
        """Publish what the figures are now."""
        told = self._watching.told(registered() if self._chosen is None else self._chosen)
        content = {
            "samples": {each.name: [sample for one in told for sample in each.samples(one)] for each in FAMILIES},
            "histograms": {
                each.name: [
                    (labels, list(found.bounds), list(found.counts), found.total)
                    for one in told
                    for labels, found in each.samples(one)
                ]
                for each in HISTOGRAMS
            },
        }
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.replace(self._file)

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            try:
                self.write()
            except Exception:  # a full disk, or a cluster that is just taken apart: the next file may succeed
                if not self._blamed:
                    self._blamed = True
                    log.exception("the figures of this process could not be published; it is logged once")

    def close(self) -> None:
        """Publish no more, and take the file away; nothing in a forked child, whose it is not.  Twice does no harm."""
        if self._closed.is_set() or os.getpid() != self._pid:
            return
        self._closed.set()
        atexit.unregister(self.close)
        self._thread.join()
        self._watching.told({})
        for path in (self._file, self._lock):
            path.unlink(missing_ok=True)
        self._held.close()
        _own.pop(self._file.name, None)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def together(folder: str | Path | None = None) -> bytes:
    """Return the figures of all processes that publish in ``folder``, in Prometheus' text format, of media type `TYPE`.

    Any process may answer with it, one of them or another.  ``folder``: as for `publish`.  Raises `ConfigError`.
    """
    return exposition(ProcessesCollector(folder))


class ProcessesCollector(Collector):
    """Yields every family of the reference for all processes that publish in a folder, as they were at their last
    file.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """``folder``: as for `publish`.  Raises `ConfigError`."""
        self._folder = shared(folder)

    def collect(self) -> Iterator[Metric]:
        """Yield the families, those without a sample too."""
        told = list(_read(self._folder))
        for family in FAMILIES:
            values: dict[Key, list[float]] = defaultdict(list)
            for each in told:
                for labels, value in each["samples"].get(family.name, ()):
                    values[_key(labels)].append(value)
            yield metric(family, ((dict(key), family.together(all_)) for key, all_ in values.items()))
        for histogram in HISTOGRAMS:
            counts: dict[Key, Distribution] = {}
            for each in told:
                for labels, bounds, found, total in each["histograms"].get(histogram.name, ()):
                    key = _key(labels)
                    before = counts.get(key) or Distribution(bounds, [0] * len(found), 0.0)
                    added = [a + b for a, b in zip(before.counts, found, strict=True)]
                    counts[key] = Distribution(bounds, added, before.total + total)
            yield distribution(histogram, ((dict(key), each) for key, each in counts.items()))

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples."""
        yield from nothing()


Key = tuple[tuple[str, str], ...]


def _key(labels: Labels) -> Key:
    return tuple(sorted(labels.items()))


def _read(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what each process that lives has published; the files of the others are taken away."""
    for path in sorted(folder.glob(f"{PREFIX}*.json")):
        if not _lives(path):
            for gone in (path, path.with_suffix(".lock"), path.with_suffix(".new")):
                with suppress(OSError):
                    gone.unlink(missing_ok=True)
            continue
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:  # it has just ended
            continue
        except (OSError, ValueError) as exc:
            log.warning("%s: the figures of a process cannot be read: %s", path, exc)
            continue
        if isinstance(content, Mapping) and {"samples", "histograms"} <= content.keys():
            yield content


def _lives(path: Path) -> bool:
    if _own.get(path.name) == os.getpid():
        return True
    try:
        with path.with_suffix(".lock").open("r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # somebody holds it; or another user's, who may be at work
        return True
    return False
