"""Which of the candidates first: the policies by name, or a function of the user's.

A policy is a function ``(loads, now, random) -> loads in order of preference``; ``random`` returns a number in [0, 1).  It gets at least
one load and must return at least one of them; what it leaves out is not tried.  The built-in ones also have a `pick`, which finds the
first without ranking the rest: that is what a checkout asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import TypeAlias, TypeVar

from .latency import TAU, Load

L = TypeVar("L", bound=Load)
Random: TypeAlias = Callable[[], float]
Ranking: TypeAlias = Callable[[Sequence[Load], float, Random], Sequence[Load]]

SCAN = 16
"""Up to this many candidates all are looked at, beyond it `SAMPLE` random ones: equally good at 100 nodes, and cheaper."""
SAMPLE = 8


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


class Race(LeastLatency):
    """Dial every candidate at once, the first to answer wins: the ancestor's way, at N times the connections."""

    name = "race"
    at_once = True


class LeastConnections(Policy):
    """The fewest of this client's connections in flight; ties at random."""

    name = "least-connections"

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads``, the idlest first."""
        return [load for _, _, load in sorted(((n.in_flight, random(), n) for n in loads), key=lambda row: row[:2])]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return one of the idlest; written out, because every checkout comes here."""
        if len(loads) > SCAN:
            loads = sampled(loads, random)
        least = min([load.in_flight for load in loads])
        idlest = [load for load in loads if load.in_flight == least]
        return idlest[int(random() * len(idlest))]


class RoundRobin(Policy):
    """Each candidate in its turn, whatever its speed."""

    name = "round-robin"

    def __init__(self) -> None:
        super().__init__()
        self._turn = -1
        self._picked = False

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` starting with the next in turn, or with the one just picked: a checkout that finds nothing idle dials it.

        Two threads may get the same turn; nobody counts on more.
        """
        if not self._picked:
            self._turn += 1
        self._picked = False
        start = self._turn % len(loads)
        return [*loads[start:], *loads[:start]]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the next in turn."""
        self._turn += 1
        self._picked = True
        return loads[self._turn % len(loads)]


class Random_(Policy):  # noqa: N801 - the name Random is the type of the argument
    """Any candidate with the same probability."""

    name = "random"

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` in random order."""
        return [load for _, load in sorted(((random(), n) for n in loads), key=lambda row: row[0])]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return any of ``loads``."""
        return loads[int(random() * len(loads))]


def sampled(loads: Sequence[L], random: Random) -> list[L]:
    """Return `SAMPLE` different loads."""
    start, size = int(random() * len(loads)), len(loads)
    step = 1 + int(random() * (size // SAMPLE - 1)) if size >= 2 * SAMPLE else 1
    return [loads[(start + i * step) % size] for i in range(SAMPLE)]


NAMED: dict[str, type[Policy]] = {p.name: p for p in (LeastLatency, Race, LeastConnections, RoundRobin, Random_)}


def policy(choice: str | Ranking) -> Policy:
    """Return a new policy by its name, or one that ranks by the caller's function.  Raises KeyError for an unknown name."""
    return NAMED[choice]() if isinstance(choice, str) else Policy(choice)


def admitted(loads: Sequence[L], now: float, random: Random, slow_start: float) -> list[L]:
    """Return ``loads`` without those that are in their slow start and lost the draw; all of them when all lost.

    A node that was down is admitted with probability ``max(5 %, seconds since its return / slow_start)``.
    """
    kept = [n for n in loads if n.slow_since is None or random() < max(0.05, (now - n.slow_since) / slow_start)]
    return kept or list(loads)
