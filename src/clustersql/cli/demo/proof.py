"""What the program was told, against what is in the database.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

__all__ = ["Proof", "prove"]


@dataclass(frozen=True, slots=True)
class Proof:
    """The comparison of every write.  All sets hold the numbers of writes."""

    acknowledged: int
    missing: Set[int]
    """Acknowledged, and not there."""
    twice: Set[int]
    """There more than once."""
    not_undone: Set[int]
    """Reported failed, and there."""
    strangers: Set[int]
    """There, and nobody wrote it."""
    wrong_counters: Mapping[int, tuple[int, int]]
    """By worker: what its counter says, and how many of its writes are there."""
    unknown_there: Set[int]
    """OutcomeUnknown, and it had happened."""
    unknown_absent: Set[int]
    """OutcomeUnknown, and it had not happened."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or invented."""
        return not (self.missing or self.twice or self.not_undone or self.strangers or self.wrong_counters)

    def lines(self) -> Iterator[str]:
        """Yield the verdict and what speaks against it, in words."""
        if self.holds:
            yield f"PROVED: each of the {self.acknowledged} acknowledged writes is in the database exactly once"
            yield "        and no write is there that was reported failed."
        else:
            yield f"NOT PROVED, of {self.acknowledged} acknowledged writes:"
        faults = {
            "acknowledged but missing": self.missing,
            "there more than once": self.twice,
            "reported failed but there": self.not_undone,
            "there but never written": self.strangers,
        }
        yield from (f"  {len(found)} {what}: {_some(found)}" for what, found in faults.items() if found)
        for worker, (counter, rows) in sorted(self.wrong_counters.items()):
            yield f"  worker {worker}: its counter says {counter}, its writes are {rows}"
        if count := len(self.unknown_there) + len(self.unknown_absent):
            yield f"  OutcomeUnknown: {count}; looked up now: {len(self.unknown_there)} had happened,"
            yield f"  {len(self.unknown_absent)} had not. Both are fine: the program was told that nobody could know."


def prove(
    acknowledged: Set[int],
    failed: Set[int],
    unknown: Set[int],
    rows: Mapping[int, tuple[int, int]],
    counters: Mapping[int, int],
) -> Proof:
    """Compare what the program was told with what is there.

    ``rows``: per number of a write how often it is there, and its worker.  ``counters``: per worker what its counter
    says, which each write raised by one in the same transaction.
    """
    there = rows.keys()
    written: dict[int, int] = dict.fromkeys(counters, 0)
    for count, worker in rows.values():
        written[worker] = written.get(worker, 0) + count
    return Proof(
        acknowledged=len(acknowledged),
        missing=acknowledged - there,
        twice={number for number, (count, _) in rows.items() if count > 1},
        not_undone=failed & there,
        strangers=there - acknowledged - failed - unknown,
        wrong_counters={
            worker: (counters.get(worker, 0), count)
            for worker, count in written.items()
            if counters.get(worker, 0) != count
        },
        unknown_there=unknown & there,
        unknown_absent=unknown - there,
    )


def _some(numbers: Set[int]) -> str:
    first = ", ".join(map(str, sorted(numbers)[:5]))
    return first + (", ..." if len(numbers) > 5 else "")
