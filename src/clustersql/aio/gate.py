"""What a task that waits for a connection waits on."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

SHORT = 64
"""So many entries are kept without a look at who of them waits still."""


class Gate:
    """A future that may be set twice."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        """Let the one who waits go on."""
        if not self.future.done():
            self.future.set_result(None)


class Deadlines:
    """One timer for all who wait, in place of one for each: they come in the order of their deadlines, as nearly all
    have the same timeout.
    """

    __slots__ = ("_line", "_loop", "_timer", "_trim_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: deque[tuple[float, Gate]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._trim_at = SHORT

    def add(self, gate: Gate, deadline: float) -> None:
        """Set ``gate`` at ``deadline``, in monotonic seconds, if nobody has until then."""
        line = self._line
        while line and line[0][1].future.done():
            line.popleft()
        if line and line[-1][0] > deadline:
            self._loop.call_later(max(0.0, deadline - monotonic()), gate.set)
            return
        line.append((deadline, gate))
        if len(line) >= self._trim_at:  # one who waits for long stands before them all
            self._line = line = deque(entry for entry in line if not entry[1].future.done())
            self._trim_at = max(SHORT, 2 * len(line))
        if self._timer is None:
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._timer = self._loop.call_later(max(0.001, deadline - monotonic()), self._pass)

    def _pass(self) -> None:
        line, now = self._line, monotonic()
        self._timer = None
        while line:
            deadline, gate = line[0]
            if deadline > now and not gate.future.done():
                self._arm(deadline)
                return
            gate.set()
            line.popleft()
