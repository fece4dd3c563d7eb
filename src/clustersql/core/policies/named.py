"""Which of the candidates first: the policies by name, or a function of the user's.

What a policy is stands in `core.policies.policy`, beside the default one; those that go by what was configured are in
`core.policies.configured`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .configured import THRESHOLD, Nearest, Priority, Weighted
from .policy import SCAN, L, LeastLatency, Policy, Race, Random, Ranking, sampled

__all__ = ["NAMED", "L", "LeastLatency", "Policy", "Random", "Ranking", "admitted", "policy"]


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


class Turn(Policy):
    """One caller's turn of `RoundRobin`: it begins with the same candidate however often the caller looks."""

    name = "round-robin"

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` starting with the one whose turn it is."""
        start = self._number % len(loads)
        return [*loads[start:], *loads[:start]]


class RoundRobin(Policy):
    """Each candidate in its turn, whatever its speed."""

    name = "round-robin"

    def __init__(self, start: int = 0) -> None:
        """``start``: whose turn is first.  Many processes that all begin with the same node would load that one
        alone.
        """
        super().__init__()
        self._turn = start - 1
        self._picked = False

    def turn(self) -> Policy:
        """Return the next turn, or that of the pick just made: a checkout that finds nothing idle dials what it picked.

        Two threads may get the same turn; nobody counts on more.  A turn per look would be wrong: who waits for a slow
        dial looks again, and the next caller would be sent past a node (it was: three connections went to two of three
        nodes).
        """
        if not self._picked:
            self._turn += 1
        self._picked = False
        return Turn(self._turn)

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return ``loads`` starting with the next in turn."""
        return self.turn().rank(loads, now, random)

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


NAMED: dict[str, type[Policy]] = {
    p.name: p for p in (LeastLatency, Race, LeastConnections, RoundRobin, Random_, Nearest, Weighted, Priority)
}


def policy(choice: str | Ranking, threshold: float = THRESHOLD, start: int = 0) -> Policy:
    """Return a new policy by its name, or one that ranks by the caller's function.  Raises KeyError for an unknown
    name.

    ``threshold``: seconds, for `Nearest`; ``start``: for `RoundRobin`.
    """
    if not isinstance(choice, str):
        return Policy(choice)
    if choice == RoundRobin.name:
        return RoundRobin(start)
    return Nearest(threshold) if choice == Nearest.name else NAMED[choice]()


def admitted(loads: Sequence[L], now: float, random: Random, slow_start: float) -> list[L]:
    """Return ``loads`` without those that are in their slow start and lost the draw; all of them when all lost.

    A node that was down is admitted with probability ``max(5 %, seconds since its return / slow_start)``.
    """
    kept = [n for n in loads if n.slow_since is None or random() < max(0.05, (now - n.slow_since) / slow_start)]
    return kept or list(loads)
