"""How things are measured: interleaved rounds, medians with quartiles, differences within a round."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Call = Callable[[], object]
Timer = Callable[[int], float]
"""Runs the thing so many times and returns the seconds that it took."""


TRIES = 8


@dataclass
class Row:
    """One line of a table."""

    name: str
    """What was measured."""
    median: float
    """Of the rounds."""
    low: float
    """The lower quartile of the rounds."""
    high: float
    """The upper one."""
    added: float | None = None
    """What it takes more than the row it is compared with: the median of the rounds' differences; None: with none."""
    note: str = ""
    """What else there is to say."""


@dataclass
class Group:
    """One table: its rows share a unit and were measured in the same rounds."""

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)


def pin() -> None:
    """Keep this process, and the servers that it starts from now on, on one CPU: client and server then cost what they
    cost, without the wake-ups between CPUs.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Cpu:
    """A clock of the CPU time that this process has used, and with ``server``, its process id, that server and its
    children too.

    On a machine that others use as well it says what a thing costs; on one pinned CPU without others it is what a clock
    on the wall says.
    """

    def __init__(self, server: int | None = None) -> None:
        self._server = server
        self._pids: list[int] = []

    def look(self) -> None:
        """Find the server's processes as they are now."""
        if self._server is not None:
            children = Path(f"/proc/{self._server}/task/{self._server}/children").read_text()
            self._pids = [self._server, *map(int, children.split())]

    def __call__(self) -> float:
        return time.process_time() + sum(map(_used, self._pids))


def _used(pid: int) -> float:
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python has for threads only
    except OSError:  # it has ended
        return 0.0


def undisturbed(measure: Callable[[], tuple[float, float]]) -> float:
    """Return the CPU seconds of ``measure``, which returns those and the wall's; done again while somebody else had
    this CPU meanwhile.

    Who was interrupted finds the CPU's caches cold.  After `TRIES` the least disturbed counts.
    """
    best = (float("inf"), 0.0)
    for _ in range(TRIES):
        used, elapsed = measure()
        best = min(best, (elapsed / max(used, 1e-9), used))
        if best[0] < 1.05:
            break
    return best[1]


def timer(call: Call, clock: Cpu | None = None) -> Timer:
    """Return the timer of a plain function: by the wall, or by ``clock``."""

    def by_wall(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            call()
        return time.perf_counter() - began

    def by_cpu(times: int) -> float:
        assert clock is not None
        clock.look()
        return undisturbed(lambda: _both(clock, by_wall, times))

    return by_wall if clock is None else by_cpu


def _both(clock: Cpu, run: Timer, times: int) -> tuple[float, float]:
    began = clock()
    elapsed = run(times)
    return clock() - began, elapsed


def rounds(timers: Mapping[str, Timer], count: int, seconds: float) -> dict[str, list[float]]:
    """Return, per timer, the microseconds per call of each round; each gets about ``seconds`` per round, in an order
    that is shuffled.
    """
    times: dict[str, list[float]] = {name: [] for name in timers}
    calls = {name: _calls(each, seconds) for name, each in timers.items()}
    names = list(timers)
    for _ in range(count):
        random.shuffle(names)
        for name in names:
            times[name].append(timers[name](calls[name]) / calls[name] * 1e6)
    return times


def _calls(each: Timer, seconds: float) -> int:
    each(20)  # what is prepared once, cached, or specialized by the interpreter
    return max(5, int(seconds / (each(20) / 20)))


def row(name: str, values: list[float], base: list[float] | None = None) -> Row:
    """Return the line of these values; ``base``: of the row that it is compared with, round by round."""
    low, middle, high = quartiles(values)
    added = None if base is None else statistics.median(a - b for a, b in zip(values, base, strict=True))
    return Row(name, middle, low, high, added)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4)
    return low, statistics.median(values), high


def table(title: str, timers: Mapping[str, Timer], base: Mapping[str, str], quick: bool) -> Group:
    """Measure ``timers`` against each other; ``base`` names the row that each is compared with."""
    times = rounds(timers, 7 if quick else 41, 0.004)
    return Group(
        title, "us of CPU", [row(name, values, times.get(base.get(name, ""))) for name, values in times.items()]
    )
