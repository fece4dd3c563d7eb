"""How many retries a cluster may afford, so that an outage is never amplified."""

from __future__ import annotations

from math import exp

WINDOW = 10.0
"""Seconds for which what operations have earned is saved up."""


class Budget:
    """A token bucket: each operation earns ``ratio`` of a retry; saved up are at most ``reserve`` and the earnings of
    the last 10 s.

    Source: Finagle's RetryBudget (20 % of the traffic of the last 10 s, and 10 in reserve).  With the reserve alone the
    loss of one node would be too much for it: as many statements are under way there as the pool has connections, and
    each is to be run elsewhere.  Two threads may read the same count; a retry more or less does no harm, so there is no
    lock.
    """

    __slots__ = ("_earned", "_seen", "_tokens", "ratio", "refused", "reserve", "spent")

    def __init__(self, ratio: float = 0.2, reserve: float = 10.0) -> None:
        self.ratio = ratio
        self.reserve = reserve
        self.spent = 0
        self.refused = 0
        self._tokens = float(reserve)
        self._earned = 0.0  # in the last seconds, the older the less
        self._seen = 0.0

    def earn(self, operations: int, now: float) -> None:
        """Count ``operations`` that were begun.  ``now`` is monotonic, in seconds."""
        self._earned *= exp((self._seen - now) / WINDOW)
        self._earned += self.ratio * operations
        self._seen = now
        self._tokens = min(self.reserve + self._earned, self._tokens + self.ratio * operations)

    def spend(self) -> bool:
        """Take one retry; False: there is none left."""
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        self.spent += 1
        return True

    def resize(self, ratio: float, reserve: float) -> None:
        """Work with other bounds from now on; a larger reserve is earned, a smaller one holds at once."""
        self.ratio, self.reserve = ratio, reserve
        self._tokens = min(self._tokens, reserve + self._earned)

    @property
    def left(self) -> float:
        """How many retries may be spent now."""
        return self._tokens

    def __repr__(self) -> str:
        return f"<Budget {self._tokens:.1f} of {self.reserve:g} spent={self.spent} refused={self.refused}>"
