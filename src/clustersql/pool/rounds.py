"""How often the monitor of either API goes round, and what it goes round."""

from __future__ import annotations

from typing import Protocol

IDLE = 1.0
"""Seconds between two rounds when no pool says otherwise."""
LEAST = 0.005
"""Seconds between two rounds at least: whatever wakes it, it must not spin."""

STALLED = 0.5
"""Seconds by which a round may come late before it was us who stood still: a suspended process, a blocked event loop,
no CPU.  Nodes are not judged by what they did not answer meanwhile (a pause of the client's own has caused false
failovers in every driver that watches)."""


class Watched(Protocol):
    """What the monitor needs: the upkeep of a pool."""

    def tick(self, now: float, stalled: float) -> float:
        """Do what is due; return when to come again.  ``stalled``: seconds for which this process did not run."""
