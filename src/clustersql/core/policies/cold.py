"""Nodes of which too little is known: they are tried, before their estimates have faded.

An estimate that no answer, or a few, have made says more of the moment than of the node: a connect takes ten times as
long as a statement, and the first statement of a session three times as long as the next.  Such a node would be left
alone until its estimate has faded by `load.TAU`: of three equal nodes, the third got nothing for 15 s.  So the estimate
fades at once, down to the best node's, which makes the node the next one to be asked, and its answer decides; unless it
is so much slower than the best node that chance does not explain it.
"""

from __future__ import annotations

from collections.abc import Collection

from .load import Load

ENOUGH = 20
"""Answers by which a node is known: from here on an answer weighs no more than `load.LEAST_WEIGHT`."""
UNLIKE = 4.0
"""Times the best node's estimate from which on even a few answers, or the connects, show that a node is slower."""
SLOWER = 2.0
"""The same for a node that is known.  Statements of one kind differ by more, but a mean of them seldom does."""
IDLE = 1.0
"""Seconds without an answer after which a node that has answered is tried again."""


def try_the_cold(loads: Collection[Load], now: float) -> None:
    """Let each node that may be as good as the best one, for all that is known of it, be the next one to be asked."""
    known = [load for load in loads if load.samples]
    if not known:
        return
    best = min(known, key=lambda load: load.expected(now))
    expected = best.expected(now)
    for load in loads:
        if load is not best and _may_be_as_good(load, best, expected, now):
            load.fade(expected, now)


def _may_be_as_good(load: Load, best: Load, expected: float, now: float) -> bool:
    if load.failed:
        return False
    if not load.samples:
        return 0.0 < load.connect <= UNLIKE * best.connect
    unlike = UNLIKE if load.samples < ENOUGH else SLOWER
    return load.ewma <= unlike * expected and now - load.sampled_at >= IDLE
