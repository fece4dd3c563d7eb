"""When a node is asked again, and when one that failed is dialled again."""

from __future__ import annotations

from dataclasses import dataclass

from .node import Node, Reach, Readiness


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a node that failed is dialled again: ``base`` seconds, doubled per failure up to ``cap``, +-20 %
    (`jitter`).
    """

    base: float = 1.0
    cap: float = 30.0

    def delay(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait after the ``failures``-th failure in a row.

        >>> [round(Breaker().delay(n, 0.5), 1) for n in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 30.0]
        """
        doubled = self.base * 2.0 ** min(failures - 1, 30)
        return float(min(doubled, self.cap) * (0.8 + 0.4 * jitter))


BREAKER = Breaker()
"""That of a cluster which sets none."""
SOONEST = 0.025
"""Seconds between two questions to a node while a wanted role has no node at all, at least."""
SHARE = 5.0
"""One part in so many of an outage may be added to it by asking seldom.  A promotion takes PostgreSQL 0.1 to 0.5 s:
then asking each 0.1 s would add up to half of it again; this asks 8 times more in the first second, and no more often
after it."""
CALM = 5.0
"""Seconds of an outage after which every node is asked less often: most failovers are over by then, and hundreds of
processes must not storm a primary that starts."""


def hurried(waited: float, hurry: float, interval: float) -> float:
    """Return the seconds between two questions to a node when a wanted role has had none for ``waited`` seconds:
    ``hurry`` at first, growing with the outage to ``interval``.

    >>> [round(hurried(waited, 0.1, 1.0), 2) for waited in (1.0, 5.0, 10.0, 300.0)]
    [0.1, 0.1, 0.2, 1.0]
    """
    return max(hurry, min(interval, hurry * waited / CALM)) if waited > CALM else hurry


def probe_due(node: Node, now: float, last: float, interval: float, waited: float | None, hurry: float) -> float:
    """Return when ``node`` is to be asked again, on the clock of ``now``.

    ``last`` is when the latest question was put, ``interval`` the seconds between questions to a node that is up.
    ``waited``: for how many seconds a wanted role has had no node at all; None: each has one.  Then the breaker does
    not count, one prober asks for all waiters, and ``hurry`` are the seconds between questions at most: a node that
    answers is asked again after a fifth of the time that was waited so far, for its new role shortens the wait, and a
    question costs little there; one that must be dialled is not.  A member that has only just been found behind the
    others' common number is asked again after ``hurry``: mostly it comes to it some milliseconds after them.
    """
    if waited is not None:
        return last + (min(hurry, max(SOONEST, waited / SHARE)) if node.reach is Reach.UP else hurry)
    if node.reach is Reach.UP and node.outdated and node.epoch and node.epoch.shared and now - node.since < CALM:
        return last + hurry
    if node.reach is Reach.UP and node.readiness is not Readiness.MISCONFIGURED:
        return node.retry_at if 0.0 < node.retry_at <= now and last < node.retry_at else last + interval
    if node.reach is Reach.UNKNOWN:
        return last + interval
    return max(node.retry_at, last + hurry)
