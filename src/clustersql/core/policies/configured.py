"""The policies that go by something that was configured: `Nearest` by a threshold, `Weighted` and `Priority` by what
stands at the nodes.

Rules
-----
1. *nearest* knows two classes: near, within the threshold of the smallest expected latency, and far.  Among the near
   ones the queue decides.  Source: MongoDB's server selection; but the estimate is that of the statements, which sees a
   slow disk too, not that of a ping, and of the near ones all are looked at, not two (0007: p50 / p99 with a node that
   stalls 4.3 / 31 ms instead of 6.4 / 47 ms).
2. *weighted* draws by the weights, and once more when the node drawn is behind with its work, which shows in what is in
   flight there.  A weight of 0 is for when there is nothing else.
3. *priority* uses a group only when the ones with smaller numbers have no candidate at all; within it the latency
   decides.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from math import exp

from .load import TAU, Load
from .policy import SCAN, L, LeastLatency, Policy, Random, sampled

THRESHOLD = 0.015
"""Seconds: MongoDB's default.  Below it are the zones of a region (0.5 to 2 ms), above it other regions."""
FRESH = 0.001
"""Seconds for which it is remembered who is near: finding out takes 2 us for 9 candidates and 15 us for 100.  Sampling,
as `LeastLatency` does, would not do: of 100 nodes 3 may be near."""


BEHIND = 2.0
"""A draw is passed on when the other node, even with one statement more, has so many times less in flight per weight.

With 1 a node of little weight gets up to 7 % of all work too much while little is in flight; without any limit none is
ever passed on, and a slow node holds everybody up (p99 with a node ten times slower: 0.96 s with 1, 1.13 s with 2, 1.50
s never)."""


class Nearest(Policy):
    """Of those within ``threshold`` seconds of the nearest the one with the fewest in flight; ties at random."""

    name = "nearest"

    def __init__(self, threshold: float = THRESHOLD) -> None:
        super().__init__()
        self._threshold = threshold
        self._of: Sequence[Load] = ()
        self._near: Sequence[Load] = ()
        self._until = 0.0

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return the near ones, the idlest first, then the far ones, the nearest first."""
        near = self._within(loads, now)
        far = [load for load in loads if load not in near]
        near.sort(key=lambda load: (load.in_flight, random()))
        return near + sorted(far, key=lambda load: load.expected(now))

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return one of the near ones; of very many near ones, the idlest of some."""
        if self._of is not loads or now >= self._until:
            self._near, self._of, self._until = self._within(loads, now), loads, now + FRESH
        near: Sequence[L] = self._near  # type: ignore[assignment]  # of these very loads
        if len(near) > SCAN:
            near = sampled(near, random)
        least = min([load.in_flight for load in near])
        idlest = [load for load in near if load.in_flight == least]
        return idlest[int(random() * len(idlest))]

    def _within(self, loads: Sequence[L], now: float) -> list[L]:
        """Return the near ones of ``loads``; `Load.expected`, written out."""
        waits = []
        for load in loads:
            value = load.ewma * exp((load.sampled_at - now) / TAU)
            owing = load.owing
            if owing is not None and owing.started > owing.ended:
                value = max(value, (now - owing.started) / 2)
            waits.append(value)
        bound = min(waits) + self._threshold
        return [load for load, value in zip(loads, waits, strict=True) if value <= bound]


class Weighted(Policy):
    """Work in proportion to the weights of the nodes."""

    name = "weighted"

    def __init__(self) -> None:
        super().__init__()
        self._of: Sequence[Load] = ()
        self._sums: list[float] = []

    def first(self, loads: Sequence[L]) -> Sequence[L]:
        """Return those with a weight; only when there is none, the others."""
        return [load for load in loads if load.weight > 0.0] or loads

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` as they would be drawn one after the other."""
        left, drawn = list(loads), []
        while left:
            drawn.append(self.pick(left, now, random))
            left.remove(drawn[-1])
        return drawn

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the first of two drawn, or the second when the first is behind with its work."""
        sums = self._sums if self._of is loads else self._summed(loads)
        total = sums[-1]
        first = loads[bisect(sums, random() * total)]
        second = loads[bisect(sums, random() * total)]
        return second if BEHIND * (second.in_flight + 1) * first.weight <= first.in_flight * second.weight else first

    def _summed(self, loads: Sequence[L]) -> list[float]:
        """Return the running sums of the weights: each candidate owns the stretch up to its own."""
        sums = list(accumulate(load.weight for load in loads))
        if sums[-1] <= 0.0:
            return list(accumulate(1.0 for _ in loads))
        if isinstance(loads, tuple):  # a list may be changed by whoever made it
            self._of, self._sums = loads, sums
        return sums


class Priority(LeastLatency):
    """The least latency within the first group that has a candidate; groups by the nodes' ``priority``, the smallest
    number first.
    """

    name = "priority"

    def first(self, loads: Sequence[L]) -> Sequence[L]:
        """Return those of the first group."""
        least = min((load.priority for load in loads), default=0)
        return [load for load in loads if load.priority == least]
