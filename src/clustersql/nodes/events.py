"""What has happened to one cluster, latest last: the last 1,000 events, and whoever wants to be told at once.

Rules
-----
1. Slow paths only: a statement that goes well, and a checkout that need not wait, come by nowhere here.
2. No lock: an event may come from any thread, from a signal handler, or from the garbage collector.
3. A listener that raises harms nothing; its first error is logged, and it is told further events.
4. Under load every checkout waits a little.  So of those that waited for long, one event a second tells, and how many
   they were; else they would push everything else out of the ring.
5. No password and no value of a statement is in an event: of what the driver said of a statement, only the kind of its
   error.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("clustersql")

KEPT = 1000
"""Events that are kept."""
LONG = 0.1
"""Seconds: a checkout that waited for less is no event."""
EVERY = 1.0
"""Seconds between two events that tell of checkouts that waited."""

KINDS = (
    "node",
    "drain",
    "dial",
    "wait",
    "timeout",
    "recovery",
    "outcome",
    "held",
    "discovery",
    "database",
    "reconfigured",
    "commit guard",
)


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One thing that has happened."""

    at: float
    """Wall clock time, in seconds since 1970."""
    kind: str
    """One of `KINDS`."""
    node: str
    """The node that it is about; "": the cluster."""
    text: str
    """What happened, in words, on one line."""


Listener = Callable[[ClusterEvent], object]


class Events:
    """The events of one cluster."""

    def __init__(self, cluster: str, redacted: Callable[[str], str]) -> None:
        self._cluster = cluster
        self._redacted = redacted
        self._ring: deque[ClusterEvent] = deque(maxlen=KEPT)
        self._listeners: dict[object, Listener] | None = None
        self._blamed: set[object] = set()
        self._waits = 0
        self._longest = 0.0
        self._waited_at = float("-inf")

    def latest(self) -> tuple[ClusterEvent, ...]:
        """Return the events that are kept, the latest last."""
        return tuple(self._ring.copy())

    def on_event(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event from now on.  Returns the function that ends this; twice does no harm."""
        token = object()
        self._listeners = (self._listeners or {}) | {token: listener}

        def unsubscribe() -> None:
            left = {key: each for key, each in (self._listeners or {}).items() if key is not token}
            self._listeners = left or None
            self._blamed.discard(token)

        return unsubscribe

    def note(self, kind: str, node: str, text: str) -> None:
        """Keep an event, and tell it to whoever listens."""
        event = ClusterEvent(time.time(), kind, node, self._redacted(" ".join(text.split())))
        self._ring.append(event)
        if self._listeners is not None:
            self._tell(event)

    def _tell(self, event: ClusterEvent) -> None:
        for token, listener in (self._listeners or {}).items():
            try:
                listener(event)
            except Exception:
                if token not in self._blamed:
                    self._blamed.add(token)
                    log.exception("cluster %s: a listener of on_event raised; it is logged once", self._cluster)

    def waited(self, node: str, seconds: float, now: float) -> None:
        """A checkout has waited for ``seconds`` until it got a connection to ``node`` at ``now`` (monotonic
        seconds).
        """
        if seconds < LONG:
            return
        self._waits += 1
        self._longest = max(self._longest, seconds)
        if now - self._waited_at < EVERY:
            return
        self._waited_at = now
        count, longest, self._waits, self._longest = self._waits, self._longest, 0, 0.0
        text = (
            f"a checkout waited {seconds:.1f} s" if count == 1 else f"{count} checkouts waited, up to {longest:.1f} s"
        )
        self.note("wait", node if count == 1 else "", text)
