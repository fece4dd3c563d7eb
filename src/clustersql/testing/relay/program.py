"""The selector loop that owns every socket, and the channel on which orders come.

An order is a line of JSON, ``[proxy, verb, arguments]``, and is answered by ``[value, error]`` when it was carried out,
so that its effect is complete when the caller goes on.  The end of the channel, or of the parent, is the end of this
process.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from .listener import Listener

_LOOK = 0.5
"""Seconds between two looks whether the parent lives: a child that it forked has the channel too, and would keep it
open."""


class Program:
    """A loop over all proxies of the program ``parent``."""

    def __init__(self, channel: socket.socket, parent: int) -> None:
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._channel, self._parent = channel, parent
        self._unread = b""
        self._running = True
        self._listeners: defaultdict[int, Listener] = defaultdict(lambda: Listener(self))
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self.selector.register(channel, selectors.EVENT_READ, self._ordered)

    def later(self, at: float, function: Callable[[], None]) -> None:
        """Call ``function`` when the monotonic clock says ``at``."""
        heapq.heappush(self._timers, (at, next(self._serial), function))

    def run(self) -> None:
        """Work until the parent is gone."""
        while self._running and os.getppid() == self._parent:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else _LOOK
            for key, events in self.selector.select(min(wait, _LOOK)):
                key.data(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _ordered(self, events: int) -> None:
        try:
            data = self._channel.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._running = False
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._channel.sendall(json.dumps(self._obeyed(*json.loads(line))).encode() + b"\n")

    def _obeyed(self, proxy: int, verb: str, arguments: list[Any]) -> tuple[Any, tuple[int, str] | None]:
        try:
            return getattr(self._listeners[proxy], verb)(*arguments), None
        except OSError as error:
            return None, (error.errno or 0, error.strerror or str(error))


def main(parent: int) -> None:
    """Serve the channel on standard input."""
    with socket.socket(fileno=0) as channel:
        Program(channel, parent).run()
