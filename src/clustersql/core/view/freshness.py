"""How far a replica is behind, measured by our own clock against what the primary itself said.

Rules
-----
1. A replica that has applied position P holds everything that was committed before the primary passed P.  So its lag is
   the time since the primary was last seen at P or before: no server's clock, no privilege, and no belief in a
   replica's own idea of being up to date.  (Received minus replayed is 0 when the link is dead; ``now() -
   pg_last_xact_replay_timestamp()`` grows on an idle primary.)  A position is a number, or the set of the transactions
   (MySQL): then one has applied P that has them all.
2. That is an upper bound: between two probes of the primary the lag seems to grow; and an answer counts from when it
   was asked for, since the primary may have gone on while the answer was on its way.
3. While the primary does not answer, nobody knows how far it has gone: the lag grows, and in bytes it is not known.
4. What is not known is not zero.
5. Answers overtake each other: a dial's and a probe's come by different connections.  So a position below the latest
   one is old news, unless it was asked for after that had been told: then the primary's log is another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .position import Position, ahead, holds

Sample = tuple[float, Position]

KEEP = 128
"""Samples per track: two minutes at one probe a second, and half as dense beyond, which only makes the lag look
larger."""
POSITION_AGE = 5.0
"""Seconds after which the primary's latest position says nothing any more of a replica's lag in bytes."""


@dataclass(frozen=True, slots=True)
class Track:
    """Where the log of the primary was, and when."""

    node: str = ""
    """The name of the primary."""
    samples: tuple[Sample, ...] = ()
    """When (monotonic seconds) and where, the oldest first."""
    told: float = 0.0
    """When the latest of them was told (monotonic seconds)."""

    def seen(self, node: str, position: Position, asked: float, now: float) -> Track:
        """Return the track after ``node``, the primary, said ``now`` that it is at ``position``, for which it was
        ``asked`` then (monotonic seconds).

        Another primary begins another track.
        """
        samples = self.samples
        went_on = bool(samples) and holds(position, samples[-1][1])
        if node != self.node or not samples or (not went_on and asked >= self.told):
            return Track(node, ((asked, position),), now)
        if not went_on or asked < samples[-1][0]:
            return self  # overtaken
        if samples[-1][1] == position:
            samples = samples[:-1]  # still there
        if len(samples) >= KEEP:
            samples = (*samples[:-2:2], *samples[-2:])
        return Track(node, (*samples, (asked, position)), now)

    def reached(self, position: Position) -> float | None:
        """Return when the primary was last seen at ``position`` or before; None: never, as far as is remembered."""
        return next((at for at, there in reversed(self.samples) if holds(position, there)), None)

    def ahead(self, position: Position, now: float) -> int | None:
        """Return by how much (`core.view.node.Report.position`) the primary is ahead of ``position``; None: its own
        position is not known well enough.
        """
        if not self.samples or now - self.samples[-1][0] > POSITION_AGE:
            return None
        return ahead(self.samples[-1][1], position)


@dataclass(frozen=True, slots=True)
class MaxLag:
    """How far behind a replica may be: in ``seconds``, or else in ``size`` bytes."""

    seconds: float | None = None
    size: int | None = None

    def allows(self, track: Track, position: Position | None, now: float) -> bool:
        """Tell whether a replica at ``position`` is fresh enough.  An unknown lag is not."""
        if position is None:
            return False
        if self.seconds is not None:
            reached = track.reached(position)
            return reached is not None and now - reached <= self.seconds
        ahead = track.ahead(position, now)
        return ahead is not None and ahead <= (self.size or 0)

    def __str__(self) -> str:
        return f"{self.seconds:g} s" if self.seconds is not None else f"{self.size} bytes"


_SIZE = re.compile(r"\s*(\d+)\s*([kMGT]?)B\s*")
_UNITS = {"": 0, "k": 10, "M": 20, "G": 30, "T": 40}
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def max_lag(value: float | str) -> MaxLag:
    """Return what ``value`` means: a number is seconds, a text is a time, or a size in units of 1024, both with units
    as PostgreSQL has them.

    Raises ValueError.

    >>> max_lag(5), max_lag("2s"), max_lag("16MB")
    (MaxLag(seconds=5.0, size=None), MaxLag(seconds=2.0, size=None), MaxLag(seconds=None, size=16777216))
    """
    if not isinstance(value, str):
        return MaxLag(seconds=float(value))
    if (time := _TIME.fullmatch(value)) is not None:
        return MaxLag(seconds=float(time[1]) * _SECONDS[time[2]])
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return MaxLag(size=int(match[1]) << _UNITS[match[2]])
