"""How many retries a cluster may afford, so that an outage is never amplified."""

from __future__ import annotations


class Budget:
    """A token bucket: each operation earns ``ratio`` of a retry, at most ``reserve`` are saved up.

    Source: Finagle's RetryBudget (20 % of the traffic and 10 in reserve).  Two threads may read the same count; a retry more or less
    does no harm, so there is no lock.
    """

    __slots__ = ("_tokens", "ratio", "refused", "reserve", "spent")

    def __init__(self, ratio: float = 0.2, reserve: float = 10.0) -> None:
        self.ratio = ratio
        self.reserve = reserve
        self.spent = 0
        self.refused = 0
        self._tokens = float(reserve)

    def earn(self, operations: int = 1) -> None:
        """Count ``operations`` that were begun."""
        self._tokens = min(self.reserve, self._tokens + self.ratio * operations)

    def spend(self) -> bool:
        """Take one retry; False: there is none left."""
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        self.spent += 1
        return True

    def __repr__(self) -> str:
        return f"<Budget {self._tokens:.1f} of {self.reserve:g} spent={self.spent} refused={self.refused}>"
