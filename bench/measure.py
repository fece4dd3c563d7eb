"""How things are measured: interleaved rounds, medians with quartiles, differences within a round."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Call = Callable[[], object]
Timer = Callable[[int], float]
"""Runs the thing so many times and returns the seconds that it took."""


@dataclass
class Row:
    """One line of a table.  ``added``: what it takes more than the row it is compared with, the median of the rounds' differences."""

    name: str
    median: float
    low: float
    high: float
    added: float | None = None
    note: str = ""


@dataclass
class Group:
    """One table: its rows share a unit and were measured in the same rounds."""

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)


def pin() -> None:
    """Keep this process, and the servers that it starts from now on, on one CPU: client and server then cost what they cost, without the wake-ups between CPUs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def timer(call: Call) -> Timer:
    """Return the timer of a plain function."""

    def seconds(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            call()
        return time.perf_counter() - began

    return seconds


def rounds(timers: Mapping[str, Timer], count: int, seconds: float) -> dict[str, list[float]]:
    """Return, per timer, the microseconds per call of each round; each gets about ``seconds`` per round, in an order that is shuffled."""
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
    times = rounds(timers, 7 if quick else 61, 0.004 if quick else 0.008)
    return Group(title, "us", [row(name, values, times.get(base.get(name, ""))) for name, values in times.items()])
