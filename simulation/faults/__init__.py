"""The fault simulation: the real library over simulated replicated servers, a run per seed, and a check of what it
reported.

``python -m simulation.faults --seeds 1000``; docs/design/0008-fault-simulation.md says what is simulated and what is
not.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
