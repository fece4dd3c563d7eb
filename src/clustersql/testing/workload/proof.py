"""What the program was told, against what is in the database.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
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
    wrong_latest: Mapping[int, tuple[int, int]]
    """By worker: the write that its register says was the latest, and the latest that is there: an older one came
    late."""
    unknown_there: Set[int]
    """OutcomeUnknown, and it had happened."""
    unknown_absent: Set[int]
    """OutcomeUnknown, and it had not happened."""
    torn: Sequence[str] = ()
    """The reads that saw a half of a write, in words."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled, invented, half done or out of order."""
        wrong = self.missing or self.twice or self.not_undone or self.strangers
        return not (wrong or self.wrong_counters or self.wrong_latest or self.torn)

    def __str__(self) -> str:
        return "\n".join(self.lines())

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
        for worker, (told, latest) in sorted(self.wrong_latest.items()):
            yield f"  worker {worker}: its register says that {told} was its latest write, which is {latest}"
        if self.torn:
            yield f"  {len(self.torn)} reads saw half a write: {self.torn[0]}"
        if count := len(self.unknown_there) + len(self.unknown_absent):
            yield f"  OutcomeUnknown: {count}; looked up now: {len(self.unknown_there)} had happened,"
            yield f"  {len(self.unknown_absent)} had not. Both are fine: the program was told that nobody could know."


def prove(
    acknowledged: Set[int],
    failed: Set[int],
    unknown: Set[int],
    rows: Mapping[int, tuple[int, int]],
    counters: Mapping[int, int],
    latest: Mapping[int, int] | None = None,
    torn: Sequence[str] = (),
) -> Proof:
    """Compare what a program was told of its writes with what is there.  Raises nothing: `Proof.holds` is the verdict.

    ``acknowledged``, ``failed``, ``unknown``: the numbers of the writes that ended well, that raised an error which
    says that they did not happen, and that raised `OutcomeUnknown`.  ``rows``: per number of a write how often it is
    there, and its worker.  ``counters``: per worker what its counter says, which each write raised by one in the same
    transaction.  ``latest``: per worker the number that the same transaction wrote over the former one; None: it wrote
    none.  ``torn``: reads that saw half a write, in words.
    """
    there = rows.keys()
    written: dict[int, int] = dict.fromkeys(counters, 0)
    last: dict[int, int] = dict.fromkeys(counters, 0)
    for number, (count, worker) in rows.items():
        written[worker] = written.get(worker, 0) + count
        last[worker] = max(last.get(worker, 0), number)
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
        wrong_latest={
            worker: (latest.get(worker, 0), number)
            for worker, number in last.items()
            if latest.get(worker, 0) != number
        }
        if latest is not None
        else {},
        unknown_there=unknown & there,
        unknown_absent=unknown - there,
        torn=torn,
    )


def _some(numbers: Set[int]) -> str:
    first = ", ".join(map(str, sorted(numbers)[:5]))
    return first + (", ..." if len(numbers) > 5 else "")
