"""What the page plots: the last 15 minutes of each cluster, a moment every second, kept by a thread of the server's."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..cluster import Cluster
from ..errors import ClusterError, ConfigError
from ..reports.live import Line, State, Summary, lines, state, summary

log = logging.getLogger("clustersql")

EVERY = 1.0
"""Seconds between two moments."""
KEPT = 900
"""Moments that are kept: 15 minutes."""
OVER = 5
"""Moments over which a rate is told: a single second of a quiet service says nothing."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is plotted of one cluster at one moment."""

    lines: tuple[Line, ...]
    """Its nodes."""
    summary: Summary
    """The cluster."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of one cluster now."""

    state: State
    """What it tells (`reports.live.state`)."""
    moments: tuple[Moment, ...]
    """The moments that are kept, the latest last; at least one."""


class History:
    """The moments of every cluster that is shown."""

    def __init__(self, clusters: Callable[[], Mapping[str, Cluster]], every: float = EVERY) -> None:
        self._clusters = clusters
        self._every = every
        self._kept: dict[str, tuple[Any, deque[Moment]]] = {}
        self._before: dict[str, deque[State]] = {}
        self._shown: dict[str, Shown] = {}
        # A look that begins while one is under way would count the same moment twice.
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.news = threading.Condition()
        """Told whenever there is a new moment."""
        self._thread = threading.Thread(target=self._run, name="clustersql-history", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the thread, and wake whoever waits for news."""
        self._closed.set()
        with self.news:
            self.news.notify_all()
        self._thread.join()

    def shown(self) -> dict[str, Shown]:
        """Return what is shown now, by the clusters' names; the first time it is looked at here."""
        if not self._shown:
            self.look()
        return self._shown

    def look(self) -> None:
        """Take a moment of each cluster."""
        with self._lock:
            clusters = dict(self._clusters())
            for gone in self._kept.keys() - clusters.keys():
                del self._kept[gone], self._before[gone]
            self._shown = {name: self._moment(name, each) for name, each in sorted(clusters.items())}

    def _moment(self, name: str, cluster: Cluster) -> Shown:
        known = self._kept.get(name)
        if known is None or known[0] is not cluster:  # another one may have taken its name
            known = self._kept[name] = (cluster, deque(maxlen=KEPT))
            self._before[name] = deque(maxlen=OVER)
        if not (told := cluster.snapshot()).pools:
            _watch(cluster)  # so that its nodes are probed from now on
        now = state(told, cluster.metrics(), cluster.events())
        before = self._before[name][0] if self._before[name] else None
        known[1].append(Moment(tuple(lines(now, before)), summary(now, before)))
        self._before[name].append(now)
        return Shown(now, tuple(known[1]))

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            try:
                self.look()
            except Exception:  # one cluster that is just being taken apart must not end the history of all
                log.exception("the page's history: a moment is left out")
            with self.news:
                self.news.notify_all()


def _watch(cluster: Cluster) -> None:
    """Have a cluster's nodes probed that nobody has used yet; for one without a driver for threads, or without nodes,
    that begins with its first use.
    """
    with suppress(ConfigError, ClusterError):
        cluster.open()
