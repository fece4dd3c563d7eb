"""A virtual clock with its queue of events: what happens next happens at once, and the time jumps there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from types import SimpleNamespace
from typing import Any

from clustersql.core.booking.shelf import Session

from ..places import installed

START = 1000.0
"""Seconds.  Not 0: the core's times of 0.0 mean never."""


class Clock:
    """``now`` is in seconds.  Events of the same moment happen in the order in which they were asked for, so a run is a
    function of its seed.
    """

    __slots__ = ("_count", "_events", "now")

    def __init__(self) -> None:
        self.now = START
        self._count = 0
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def at(self, moment: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call ``action(*arguments)`` at ``moment``, or now if that has passed."""
        self._count += 1
        heappush(self._events, (moment if moment > self.now else self.now, self._count, action, arguments))

    def serial(self) -> int:
        """Return a number that nothing else of this run has."""
        self._count += 1
        return self._count

    def run(self, until: float) -> int:
        """Let everything happen up to ``until``.  Returns how many events that were."""
        events, count = self._events, 0
        while events and events[0][0] <= until:
            self.now, _, action, arguments = heappop(events)
            action(*arguments)
            count += 1
        self.now = until
        return count

    @contextmanager
    def installed(self, chance: random.Random) -> Iterator[None]:
        """Within the block `clustersql` lives in this time, and ``chance`` is its chance."""
        read = self._read
        fakes = {
            time: SimpleNamespace(monotonic=read, time=read),
            time.monotonic: read,
            random: chance,
            random.random: chance.random,
        }
        # A set of sessions is gone through in the order of their hashes, which are addresses otherwise.
        Session.__hash__ = lambda session: session.raw.serial  # type: ignore[method-assign]
        try:
            with installed(fakes):
                yield
        finally:
            del Session.__hash__

    def _read(self) -> float:
        return self.now
