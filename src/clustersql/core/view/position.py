"""Where a server is in the stream of transactions: a number, or a set of them (MySQL's GTIDs)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

Interval = tuple[int, int]
"""The first number and the last one."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """A set of transactions, by who has made them.

    A set and no count: a replica that has transactions of its own has as many as its source, and lacks some.
    """

    made: tuple[tuple[str, tuple[Interval, ...]], ...] = ()
    """For each maker the intervals of its numbers, in ascending order, with a gap between any two."""

    def __len__(self) -> int:
        return sum(last - first + 1 for _, intervals in self.made for first, last in intervals)

    def __str__(self) -> str:
        return f"{len(self)} transactions"

    def lacking(self, wanted: Transactions) -> int:
        """Return how many of ``wanted`` are not in this set."""
        there = dict(self.made)
        return sum(
            last - first + 1 - _covered(there.get(maker, ()), first, last)
            for maker, intervals in wanted.made
            for first, last in intervals
        )


def _covered(intervals: tuple[Interval, ...], first: int, last: int) -> int:
    """Return how many of the numbers ``first`` to ``last`` are in ``intervals``."""
    return sum(max(0, min(last, b) - max(first, a) + 1) for a, b in _near(intervals, first, last))


def _near(intervals: tuple[Interval, ...], first: int, last: int) -> Iterator[Interval]:
    at = max(0, bisect_right(intervals, (first,)) - 1)
    while at < len(intervals) and intervals[at][0] <= last:
        yield intervals[at]
        at += 1


Position = int | Transactions
"""What a server has applied or, as a primary, written."""


def holds(position: Position, wanted: Position) -> bool:
    """Tell whether whoever is at ``position`` has all that was there at ``wanted``; never, where one is a number and
    the other a set.
    """
    return ahead(wanted, position) == 0 if type(position) is type(wanted) else False


def ahead(position: Position, other: Position) -> int | None:
    """Return by how much ``position`` is ahead of ``other``, 0 when it is not; None: they cannot be compared."""
    if isinstance(position, Transactions) and isinstance(other, Transactions):
        return 0 if position is other else other.lacking(position)
    if isinstance(position, int) and isinstance(other, int):
        return max(0, position - other)
    return None
