"""One task per event loop that keeps its pools' knowledge fresh: probes, breakers, lifetimes, late dials.

* It starts with the first pool that is used in the loop, never at import, and ends with the last one.
* It never waits for a server: what may wait runs in tasks of its own (`dial.Attempt`).
* It restarts if it dies, also when somebody cancels every task of the loop.  ``last_ran`` shows when it last went
  round.
* While a loop runs, it holds the monitor's task, that the monitor, and that the pools; nothing else here does, so that
  a loop which was closed without a word takes them along to the garbage collector, where `Pool.__del__` warns.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable

from ..pool.rounds import IDLE, LEAST, STALLED, Watched

log = logging.getLogger("clustersql")


class Monitor:
    """The task of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.last_ran = 0.0
        self.due = 0.0
        self.loop = loop
        self._watched: dict[Watched, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._end: AsyncGenerator[None, None] | None = None
        self._woken = asyncio.Event()

    def watch(self, upkeep: Watched, forsaken: Callable[[], None]) -> None:
        """Go round this pool's upkeep from now on.  ``forsaken`` is called when the event loop ends meanwhile."""
        self._watched[upkeep] = forsaken
        self.wake()

    def forget(self, upkeep: Watched) -> None:
        """Go round this pool's upkeep no more."""
        self._watched.pop(upkeep, None)
        if not self.loop.is_closed():  # else the task waits for ever, and to wake it would raise
            self._woken.set()

    def wake(self) -> None:
        """Go round now; start the task when there is none, or when it died.  In the loop's own thread."""
        if not self.loop.is_closed():
            self._woken.set()
            self.ensure()

    def wake_by(self, moment: float) -> None:
        """Go round at ``moment`` (monotonic seconds) at the latest.  Costs nothing when it does anyway."""
        if moment < self.due:
            self.wake()

    def ensure(self) -> None:
        """Start the task when there is none."""
        if self.alive or not self._watched or self.loop.is_closed():
            return
        self._task = task = self.loop.create_task(self._run(), name="clustersql-monitor")
        task.add_done_callback(self._died)
        # A loop that is closed without cancelling its tasks destroys this one while it waits; `Pool.__del__` tells of
        # that better.
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    @property
    def alive(self) -> bool:
        """Whether the task runs."""
        return self._task is not None and not self._task.done()

    def _died(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("clustersql: the monitor died and is started anew", exc_info=error)
        self.ensure()

    async def _run(self) -> None:
        self.due = 0.0  # while there was no pool to go round, nothing was late
        if self._end is None:
            self._end = self._until_the_end()
            await anext(self._end)
        while self._watched:
            self._woken.clear()
            due = self.due = self._round()
            try:
                async with asyncio.timeout(max(LEAST, due - time.monotonic())):
                    await self._woken.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(LEAST)

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        """Hear of the end of the loop: `asyncio.run` closes the asynchronous generators last, after all tasks were
        cancelled.
        """
        try:
            yield
        finally:
            for forsaken in list(self._watched.values()):
                forsaken()

    def _round(self) -> float:
        now = self.last_ran = time.monotonic()
        late = now - self.due if self.due else 0.0
        stalled = late if late > STALLED else 0.0
        due = now + IDLE
        for upkeep in list(self._watched):
            try:
                due = min(due, upkeep.tick(now, stalled))
            except Exception:  # one pool's mistake must not leave the others without a monitor
                log.exception("clustersql: the monitor failed in %r and goes on", upkeep)
        return due


_monitors: weakref.WeakValueDictionary[int, Monitor] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def monitor() -> Monitor:
    """Return the monitor of the running event loop."""
    loop = asyncio.get_running_loop()
    with _lock:  # loops of several threads
        found = _monitors.get(id(loop))
        if found is None or found.loop is not loop:
            found = _monitors[id(loop)] = Monitor(loop)
    return found
