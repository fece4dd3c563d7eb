"""Virtual time, and threads that run one at a time: the real `clustersql.sync` runs in here unchanged.

While a loop is `installed`, whatever `clustersql` knows as ``time``, ``threading`` and ``random`` is the loop's: a
thread is a greenlet, a wait is a switch back to the loop, the clock jumps to the next event, and chance is the seed's.
So a run is a function of its seed.

A thread is switched only where it waits, and a lock that is taken while another thread holds it is an error: nothing
may wait under a lock.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from ..places import installed

START = 1000.0
"""Seconds on the clock when a run begins; not 0.0, which means "never" in many places."""
LAG = 0.0005
"""Seconds, at most, from the event that wakes a thread to its next step: the order of threads is chance."""
TICK = 1e-7
"""Seconds between two looks at the clock."""
MOST_EVENTS = 200_000
"""A run with more events than this does not end, as far as we care."""

TIMED_OUT: Any = object()


class Stuck(Exception):
    """The run cannot go on: nobody will ever wake those who wait, or it never ends."""


class Loop:
    """The clock, the queue of events, and the threads of one run."""

    def __init__(self, chance: random.Random) -> None:
        self.now = START
        self.chance = chance
        self.events = 0
        self.busy = 0  # how many things must end before `run` does
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._serial = count()
        self._threads: list[greenlet] = []
        self.hub = getcurrent()

    def at(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call ``action(*arguments)`` in so many seconds; it must not wait."""
        heappush(self._due, (self.now + seconds, next(self._order), action, arguments))

    def read(self) -> float:
        """Return the time.  It goes on by itself a little, or who rounds its waits down to 0.0 would ask for ever."""
        self.now += TICK
        return self.now

    def spawn(self, function: Callable[[], object]) -> greenlet:
        """Begin a thread; it may wait."""
        thread = greenlet(function, self.hub)
        self._threads.append(thread)
        self.at(self.chance.random() * LAG, thread.switch)
        return thread

    def sleep(self, seconds: float) -> None:
        """Let the thread that calls this wait."""
        Ticket(self).wait(seconds)

    def run(self, until: float) -> None:
        """Let things happen until nobody is `busy` any more, or it is ``until`` o'clock.  Raises `Stuck`."""
        due = self._due
        while self.busy:
            if not due or due[0][0] > until:
                self.now = max(self.now, until)
                return
            when, _, action, arguments = heappop(due)
            if when > self.now:
                self.now = when
            self.events += 1
            if self.events > MOST_EVENTS:
                raise Stuck(f"no end after {MOST_EVENTS} events")
            action(*arguments)

    def rest(self, seconds: float) -> None:
        """Let happen what happens within so many seconds."""
        self.busy += 1
        self.run(self.now + seconds)
        self.busy -= 1

    def end(self) -> None:
        """End the threads that still wait."""
        for thread in self._threads:
            if not thread.dead and thread:
                thread.throw(GreenletExit)

    def serial(self, thing: Any) -> int:
        """Number things in the order in which they are asked for: a hash that is the same in every process."""
        number: int = thing.__dict__.setdefault("_serial", next(self._serial))
        return number

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within the block `clustersql` lives in this loop's time."""
        with installed(_fakes(self)), _own_monitor(), _ordered(self):
            yield


class Ticket:
    """One wait of one thread."""

    __slots__ = ("_fired", "_loop", "_thread", "_value")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._thread: greenlet | None = None
        self._fired = False
        self._value: Any = None

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until `fire`, and return its value; `TIMED_OUT` after ``timeout`` seconds."""
        if not self._fired:
            self._thread = getcurrent()
            if timeout is not None:
                self._loop.at(timeout, self._expire)
            self._loop.hub.switch()
        return self._value

    def fire(self, value: Any = None) -> None:
        """Wake the one who waits; the second time does nothing."""
        if not self._fired:
            self._fired, self._value = True, value
            if self._thread is not None:
                self._loop.at(self._loop.chance.random() * LAG, self._thread.switch)

    def _expire(self) -> None:
        if not self._fired:
            assert self._thread is not None
            self._fired, self._value = True, TIMED_OUT
            self._thread.switch()


class Event:
    """`threading.Event`."""

    __slots__ = ("_loop", "_set", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._set = False
        self._waiting: list[Ticket] = []

    def set(self) -> None:
        """Wake all."""
        self._set = True
        waiting, self._waiting = self._waiting, []
        for ticket in waiting:
            ticket.fire()

    def clear(self) -> None:
        """Let those who come wait."""
        self._set = False

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most ``timeout`` seconds."""
        if self._set:
            return True
        ticket = Ticket(self._loop)
        self._waiting.append(ticket)
        return ticket.wait(timeout) is not TIMED_OUT


class Lock:
    """`threading.Lock`.  Only one thread runs at a time, so finding it taken by ``with`` means that somebody waits
    while holding it.  `acquire` waits: a lock that one thread takes and another releases is a signal.
    """

    __slots__ = ("_held", "_loop", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = False
        self._waiting: list[Ticket] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, and wait for that at most ``timeout`` seconds."""
        if self._held and blocking:
            ticket = Ticket(self._loop)
            self._waiting.append(ticket)
            if ticket.wait(None if timeout < 0 else timeout) is not TIMED_OUT:
                return True  # it was handed over
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            return False
        taken = not self._held
        self._held = True
        return taken

    def release(self) -> None:
        """Hand it to the first one who waits, or let it be free."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        if self._waiting:
            self._waiting.pop(0).fire()
        else:
            self._held = False

    def __enter__(self) -> None:
        if self._held:
            raise Stuck("a lock is held by a thread that waits")
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class Thread:
    """`threading.Thread`."""

    def __init__(
        self, loop: Loop, target: Callable[..., object], args: tuple[Any, ...] = (), name: str = "", daemon: bool = True
    ) -> None:
        self._loop = loop
        self._target = partial(target, *args)
        self._greenlet: greenlet | None = None

    def start(self) -> None:
        """Begin."""
        self._greenlet = self._loop.spawn(self._target)

    def is_alive(self) -> bool:
        """Tell whether it has begun and not ended."""
        return self._greenlet is not None and not self._greenlet.dead

    def join(self, timeout: float | None = None) -> None:
        """Called by nobody but the real process's exit, when there is nothing left to wait for."""


def _fakes(loop: Loop) -> dict[Any, Any]:
    chance = loop.chance
    clock = SimpleNamespace(monotonic=loop.read, time=loop.read, sleep=loop.sleep)
    threads = SimpleNamespace(
        Event=lambda: Event(loop),
        Lock=lambda: Lock(loop),
        TIMEOUT_MAX=1e9,
        Thread=lambda **given: Thread(loop, **given),
        current_thread=getcurrent,
        get_native_id=threading.get_native_id,
        get_ident=lambda: id(getcurrent()),
    )
    return {
        time: clock,
        time.monotonic: clock.monotonic,
        threading: threads,
        random: chance,
        random.random: chance.random,
    }


@contextmanager
def _own_monitor() -> Iterator[None]:
    from clustersql.sync import monitor

    real, monitor._monitor = monitor._monitor, monitor.Monitor()
    try:
        yield
    finally:
        monitor._monitor = real


@contextmanager
def _ordered(loop: Loop) -> Iterator[None]:
    """Sets of sessions, dials and pools are gone through in the order of their hashes, which are addresses: make those
    the seed's too.
    """
    from clustersql.aio.dial import Attempt as Task
    from clustersql.core.booking.shelf import Session
    from clustersql.pool.upkeep import Upkeep
    from clustersql.sync.dial import Attempt

    Session.__hash__ = lambda session: session.raw.serial  # type: ignore[method-assign]
    numbered: tuple[Any, ...] = (Attempt, Task, Upkeep)
    for each in numbered:
        each.__hash__ = lambda one: loop.serial(one)
    try:
        yield
    finally:
        for each in (Session, *numbered):
            del each.__hash__
