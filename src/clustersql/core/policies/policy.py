"""What a policy is, and the default one.

A policy is a function ``(loads, now, random) -> loads in order of preference``; ``random`` returns a number in [0, 1).
It gets at least one load and must return at least one of them; what it leaves out is not tried.  The built-in ones also
have a `pick`, which finds the first without ranking the rest: that is what a checkout asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import TypeAlias, TypeVar

from .load import TAU, Load

L = TypeVar("L", bound=Load)
Random: TypeAlias = Callable[[], float]
Ranking: TypeAlias = Callable[[Sequence[Load], float, Random], Sequence[Load]]

SCAN = 16
"""Up to this many candidates all are looked at, beyond it `SAMPLE` random ones: equally good at 100 nodes, and
cheaper."""
SAMPLE = 8

EVICT = 2.0
"""At the limit an idle connection on another node is used, unless its answers take more than this many times as long as
those of the best one."""


class Policy:
    """A ranking with a name.  ``stagger`` 0 means: dial every candidate at once."""

    name = "custom"
    at_once = False

    def __init__(self, ranking: Ranking | None = None) -> None:
        self._ranking = ranking

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads``, best first."""
        assert self._ranking is not None
        known = {id(load): load for load in loads}
        return [known[id(load)] for load in self._ranking(loads, now, random) if id(load) in known] or list(loads)

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the best of ``loads``."""
        return self.rank(loads, now, random)[0]

    def first(self, loads: Sequence[L]) -> Sequence[L]:
        """Return those of ``loads`` that come into question; the others do only when none of these is there."""
        return loads

    def turn(self) -> Policy:
        """Return the policy that ranks for one caller, who may look several times until it has a connection."""
        return self

    def is_worth_a_dial(self, best: Load, other: Load, now: float) -> bool:
        """Tell whether, at the limit of the pool, a connection to ``best`` is opened in place of an idle one to
        ``other``.
        """
        return False

    @property
    def words(self) -> str:
        """What is said of it in a sentence."""
        return f"the policy {self.name}"

    def behind(self, load: Load, taken: Load, now: float) -> str:
        """Return why ``load`` was put behind ``taken``, in words."""
        return f"{self.words} put it behind {taken.name}"

    def __repr__(self) -> str:
        return f"<policy {self.name}>"


class LeastLatency(Policy):
    """The smallest expected latency times (in flight + 1); ties at random."""

    name = "least-latency"

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` by score."""
        return [load for _, _, load in sorted(((n.score(now), random(), n) for n in loads), key=lambda row: row[:2])]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the load of the smallest score; written out, because every checkout comes here."""
        if len(loads) > SCAN:
            loads = sampled(loads, random)
        best = loads[0]
        least = float("inf")
        ties = 1
        for load in loads:
            value = load.ewma * exp((load.sampled_at - now) / TAU)
            owing = load.owing
            if owing is not None and owing.started > owing.ended:
                value = max(value, (now - owing.started) / 2)
            value *= load.in_flight + 1
            if value < least:
                least, best, ties = value, load, 1
            elif value == least:
                ties += 1
                if random() * ties < 1.0:  # each of n equals is left with probability 1/n
                    best = load
        return best

    def is_worth_a_dial(self, best: Load, other: Load, now: float) -> bool:
        """By the nodes' speed alone: a queue is no reason to close a connection that can serve now."""
        return other.expected(now) > EVICT * best.expected(now)


class Race(LeastLatency):
    """Dial every candidate at once, the first to answer wins: the ancestor's way, at N times the connections."""

    name = "race"
    at_once = True


def sampled(loads: Sequence[L], random: Random) -> list[L]:
    """Return `SAMPLE` different loads."""
    start, size = int(random() * len(loads)), len(loads)
    step = 1 + int(random() * (size // SAMPLE - 1)) if size >= 2 * SAMPLE else 1
    return [loads[(start + i * step) % size] for i in range(SAMPLE)]
