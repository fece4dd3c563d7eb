"""The rules that `core.policies.named` is compared with, as policies over the same pool, breaker and retries: only the
choice differs.

They read what each needs besides the loads from the simulation itself: the true network round trips, every sample, the
nodes' own queues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp

from clustersql.core.policies.named import NAMED, L, Policy, Random

from .server import MEAN, Mode, Server

Make = Callable[[Mapping[str, Server], Mapping[str, float]], Policy]
"""Makes a client's policy from the servers and that client's round trips to them."""


class Omniscient(Policy):
    """Knows each node's queue, speed and distance: the one where the answer is expected first.  No client can be
    better.
    """

    name = "omniscient"

    def __init__(self, servers: Mapping[str, Server], rtt: Mapping[str, float]) -> None:
        super().__init__()
        self._servers = servers
        self._rtt = rtt

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` by the true expected time to the answer; ties at random."""
        return sorted(loads, key=lambda load: (self._cost(load.name, now), random()))

    def _cost(self, name: str, now: float) -> float:
        server = self._servers[name]
        if server.mode is not Mode.SERVING:
            return float("inf")
        speed = server.factor * (1.0 + 9.0 * bool(server.cold))
        return self._rtt[name] + server.wait(now + self._rtt[name] / 2) + MEAN * speed


class Mongo(Policy):
    """MongoDB's drivers: within 15 ms of the nearest node's network round trip, two at random, of which the one with
    fewer in flight.
    """

    name = "mongo"
    WINDOW = 0.015

    def __init__(self, servers: Mapping[str, Server], rtt: Mapping[str, float]) -> None:
        super().__init__()
        self._rtt = rtt

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return the winner first, then the others in any order."""
        best = self.pick(loads, now, random)
        return [best, *(load for load in loads if load is not best)]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the winner."""
        least = min(self._rtt[load.name] for load in loads)
        first, second = two([load for load in loads if self._rtt[load.name] <= least + self.WINDOW], random)
        return second if second.in_flight < first.in_flight else first


class PeakEwma(Policy):
    """Finagle's and linkerd's: of two at random the smaller decaying peak of the latency, times (in flight + 1).

    Source: Finagle's PeakEwma; the estimate jumps to a higher sample, decays with tau 10 s, and reading it counts as a
    sample of 0.
    """

    name = "peak-ewma"
    TAU = 10.0
    UNKNOWN = 1.0

    def __init__(self, servers: Mapping[str, Server], rtt: Mapping[str, float]) -> None:
        super().__init__()
        self._cost: dict[str, float] = {}
        self._at: dict[str, float] = {}

    def saw(self, name: str, seconds: float, now: float) -> None:
        """Count one answer."""
        cost = self._cost.get(name, 0.0)
        keep = exp((self._at.get(name, now) - now) / self.TAU)
        self._cost[name] = seconds if seconds > cost else cost * keep + seconds * (1.0 - keep)
        self._at[name] = now

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return the winner first, then the others in any order."""
        best = self.pick(loads, now, random)
        return [best, *(load for load in loads if load is not best)]

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the winner."""
        first, second = two(loads, random)
        return second if self._score(second, now) < self._score(first, now) else first

    def _score(self, load: L, now: float) -> float:
        # `penalize` sets the core's own estimate: the penalty of a failure, of which Finagle knows nothing, holds here too
        self.saw(load.name, 0.0, now)
        cost = max(self._cost[load.name], load.ewma if load.ewma >= 0.25 else 0.0)
        if cost == 0.0 and load.in_flight:
            return self.UNKNOWN + load.in_flight
        return cost * (load.in_flight + 1)


def two(loads: Sequence[L], random: Random) -> tuple[L, L]:
    """Return two different loads, or the only one twice."""
    size = len(loads)
    first = int(random() * size)
    second = (first + 1 + int(random() * (size - 1))) % size if size > 1 else first
    return loads[first], loads[second]


def _named(name: str) -> Make:
    return lambda servers, rtt: NAMED[name]()


RULES: dict[str, Make] = {name: _named(name) for name in ("random", "round-robin", "least-connections")}
RULES |= {rule.name: rule for rule in (Mongo, PeakEwma, Omniscient)}
RULES |= {name: _named(name) for name in ("nearest", "weighted", "least-latency")}
