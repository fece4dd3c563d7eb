"""One thread per process that keeps the pools' knowledge fresh: probes, breakers, lifetimes, late dials.

* It starts with the first pool, never at import, and ends with the last one.
* It never blocks on a server: what may block runs in short-lived threads (`dial.Attempt`).
* It restarts if it dies: whoever wakes it starts it anew.  ``last_ran`` shows when it last went round.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Sequence

from .. import fork
from ..pool.rounds import IDLE, LEAST, STALLED, Watched
from .threads import start

log = logging.getLogger("clustersql")


class Monitor:
    """The thread.  ``watch`` starts it; what it goes round is held weakly, so that a forgotten cluster does not live
    for ever.
    """

    def __init__(self) -> None:
        self.last_ran = 0.0
        self.due = 0.0
        self._stopped = False
        self._watched: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._lock = threading.Lock()

    def watch(self, upkeep: Watched) -> None:
        """Go round this pool's upkeep from now on."""
        with self._lock:
            self._watched.add(upkeep)
        self.wake()

    def forget(self, upkeep: Watched) -> None:
        """Go round this pool's upkeep no more."""
        with self._lock:
            self._watched.discard(upkeep)
        self._woken.set()

    def wake(self) -> None:
        """Go round now; start the thread when there is none, or when it died."""
        self._woken.set()
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._stopped or not self._watched or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="clustersql-monitor", daemon=True)
            try:
                start(self._thread)
            except RuntimeError:  # at interpreter shutdown no thread can be started any more; what is left needs none
                self._thread = None

    def stop(self) -> None:
        """End the thread, and start none any more."""
        self._stopped = True
        self._woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def after_fork(self) -> Sequence[object]:
        """In a forked child: its parent's thread does not exist here; the next one who wakes it starts one."""
        self._thread = None
        self._woken = threading.Event()
        self._lock = threading.Lock()
        return ()

    def _run(self) -> None:
        self.due = 0.0  # while there was no pool to go round, nothing was late
        while True:
            self._woken.clear()
            with fork.calls:  # a round closes connections
                due = self._round()
                with self._lock:
                    if self._stopped or not self._watched:
                        # under the lock: `watch` adds before it looks for the thread, so one of the two sees the other
                        self._thread = None
                        fork.calls.ends()
                        return
            self.due = due
            self._woken.wait(max(LEAST, due - time.monotonic()))

    def _round(self) -> float:
        now = self.last_ran = time.monotonic()
        late = now - self.due if self.due else 0.0
        stalled = late if late > STALLED else 0.0
        due = now + IDLE
        with self._lock:
            watched = list(self._watched)
        for upkeep in watched:
            try:
                due = min(due, upkeep.tick(now, stalled))
            except Exception:
                log.exception("clustersql: the monitor failed in %r and goes on", upkeep)
        return due


_monitor = Monitor()
fork.track(_monitor)


def monitor() -> Monitor:
    """Return the process's monitor."""
    return _monitor


def watch(upkeep: Watched) -> None:
    """Go round ``upkeep`` from now on."""
    _monitor.watch(upkeep)


def forget(upkeep: Watched) -> None:
    """Go round ``upkeep`` no more."""
    _monitor.forget(upkeep)


def ensure() -> None:
    """Start the thread when there is none."""
    if not _monitor.alive:
        _monitor.wake()


def stop() -> None:
    """Go round no more: the process ends."""
    _monitor.stop()


def wake_by(moment: float) -> None:
    """Go round at ``moment`` (monotonic seconds) at the latest.  Costs nothing when it does anyway, as with any timeout
    of a second or more.
    """
    if moment < _monitor.due:
        _monitor.wake()


def wake() -> None:
    """Go round at once."""
    _monitor.wake()
