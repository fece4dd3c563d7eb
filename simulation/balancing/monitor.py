"""The upkeep of one simulated client: what ``sync.monitor``, ``Pool.tick`` and ``Prober.tick`` do in a thread, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clustersql.core.booking.owing import note_oldest, silent
from clustersql.core.view.node import Reach
from clustersql.core.view.observe import Answered, Unreachable, probe_due

from .server import Link

if TYPE_CHECKING:
    from .client import Client

ROUND = 1.0
"""Seconds between two rounds when nothing else is due."""
LEAST = 0.005
"""Seconds between two rounds at least."""


class Monitor:
    """Probes each node when it is due, publishes the oldest answer awaited, ends what hangs, and earns the retry budget."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._due = float("inf")
        self._ran = 0.0
        self._last: dict[str, float] = {}
        self._starving_since: float | None = None
        self._asking: dict[str, _Probe] = {}
        self._kept: dict[str, Link] = {}

    def wake(self) -> None:
        """Go round as soon as possible."""
        self._come(max(self._client.clock.now, self._ran + LEAST))

    def _come(self, moment: float) -> None:
        if moment < self._due:
            self._due = moment
            self._client.clock.at(moment, self._round, moment)

    def _round(self, moment: float) -> None:
        if moment != self._due:
            return  # an earlier one has taken its place
        self._due, self._ran = float("inf"), moment
        self._come(max(moment + LEAST, min(moment + ROUND, self._tick(moment))))

    def _tick(self, now: float) -> float:
        client, book = self._client, self._client.book
        actions = book.reap(now, client.settings.max_idle_time)
        note_oldest(book.shelves.values())
        client.budget.earn(book.served, now)
        book.served = 0
        hung = silent(book.shelves.values(), now - client.settings.stall_after)
        for session in sorted(hung, key=lambda session: session.started):  # a set's order differs from run to run
            if client.view.by_name[session.node].reach is Reach.DOWN:
                session.tainted = True
                session.raw.broken()
        client.act(actions)
        return self._probe_all(now, book.starving, {session.node for session in hung})

    def _probe_all(self, now: float, starving: bool, silent: set[str]) -> float:
        settings = self._client.settings
        self._starving_since = (now if self._starving_since is None else self._starving_since) if starving else None
        waited = None if self._starving_since is None else now - self._starving_since
        due = now + settings.probe_interval
        for node in self._client.view:
            name = node.name
            if name in self._asking:
                continue
            last = self._last.get(name, float("-inf"))
            at = probe_due(node, now, last, settings.probe_interval, waited, settings.failover_probe)
            if name in silent and last < now - settings.stall_after:
                at = now
            if at <= now:
                self._last[name] = now
                self._asking[name] = _Probe(self, name, fresh=node.reach is not Reach.UP)
                at = now + settings.failover_probe
            due = min(due, at)
        return due

    def ended(self, name: str, link: Link | None) -> None:
        """A probe has its answer, or was given up."""
        del self._asking[name]
        if link is None:
            self._client.tell(Unreachable(name))
        else:
            self._kept[name] = link
            self._client.tell(Answered(name, link.server.report))
        self.wake()


class _Probe:
    """One question to one node, on the connection kept for it or on a new one."""

    __slots__ = ("_fresh", "_monitor", "_name", "_over")

    def __init__(self, monitor: Monitor, name: str, fresh: bool) -> None:
        self._monitor, self._name, self._fresh, self._over = monitor, name, fresh, False
        client, kept = monitor._client, monitor._kept.pop(name, None)
        patience = client.settings.connect_timeout
        if kept is not None and not fresh:
            patience = min(patience, client.settings.stall_after)
            kept.ask(lambda alive: self._end(kept) if alive else self._dial())
        else:
            if kept is not None:
                kept.close()
            self._dial()
        client.clock.at(client.clock.now + patience, self._end, None)

    def _dial(self) -> None:
        client = self._monitor._client
        client.servers[self._name].connect(client.rtt[self._name], self._end)

    def _end(self, link: Link | None) -> None:
        if self._over:
            return
        self._over = True
        self._monitor.ended(self._name, link)
