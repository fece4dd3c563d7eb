"""What is kept of the runs: ``bench/results/faults.json``, and the tables of ``docs/faults.md`` that are written from
it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..report import RESULTS, about
from .play import NEVER, Seen

FILE = RESULTS / "faults.json"
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = (
    "fault", "knobs", "API", "taken out", "next read", "next write", "the cluster itself", "errors seen", "lost or doubled",
    "slow statement", "command",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One kind of program under one fault; lists have an entry per run, times are in seconds, null in the file is
    *never*.
    """

    engine: str
    fault: str
    title: str
    knobs: str
    api: str
    taken_out: Sequence[float | None]
    reads: Sequence[float]
    writes: Sequence[float]
    bare: Sequence[float]
    errors: Sequence[dict[str, int]]
    acknowledged: int
    wrong: int
    slow: Sequence[str]

    @property
    def command(self) -> str:
        """What reproduces it."""
        return f'make faults ARGS="{self.engine} {self.fault}"'


def rows(engine: str, fault: str, title: str, runs: Sequence[Sequence[Seen]]) -> Iterator[Row]:
    """Yield a row per program: ``runs`` has what each program saw, run by run."""
    for seen in zip(*runs, strict=True):
        yield Row(
            engine=engine,
            fault=fault,
            title=title,
            knobs=seen[0].knobs,
            api=seen[0].api,
            taken_out=[each.taken_out for each in seen],
            reads=[each.reads for each in seen],
            writes=[each.writes for each in seen],
            bare=[each.bare for each in seen],
            errors=[dict(each.errors) for each in seen],
            acknowledged=sum(each.acknowledged for each in seen),
            wrong=sum(each.wrong for each in seen),
            slow=[each.slow for each in seen],
        )


# -- the file ----------------------------------------------------------------------------------------------------------

_TIMES = ("reads", "writes", "bare")


def keep(found: Sequence[Row], whole: bool) -> None:
    """Write the rows, in place of all that were kept or, unless it is the ``whole``, of those of the same faults; and
    the page.
    """
    measured = {(row.engine, row.fault) for row in found}
    old = [] if whole or not FILE.exists() else [row for row in kept() if (row.engine, row.fault) not in measured]
    plain = [_plain(row) for row in (*old, *found)]
    FILE.write_text(json.dumps({"about": about(), "command": "make faults", "rows": plain}, indent=1) + "\n")
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")


def kept() -> list[Row]:
    """Return the rows of the file."""
    return [_row(each) for each in json.loads(FILE.read_text())["rows"]]


def _plain(row: Row) -> dict[str, Any]:
    times = {name: [None if at == NEVER else round(at, 4) for at in getattr(row, name)] for name in _TIMES}
    taken = [None if at is None else round(at, 4) for at in row.taken_out]
    return asdict(row) | times | {"taken_out": taken}


def _row(plain: dict[str, Any]) -> Row:
    times = {name: [NEVER if at is None else at for at in plain[name]] for name in _TIMES}
    return replace(Row(**plain), **times)


# -- the page ----------------------------------------------------------------------------------------------------------


def rewritten(page: str) -> str:
    """Return the page with its tables as the kept rows are now."""
    found = kept()
    for engine in {row.engine: None for row in found}:
        begin, end = f"<!-- faults: {engine} -->", f"<!-- end of faults: {engine} -->"
        before, _, rest = page.partition(begin)
        table = "\n".join(markdown(row for row in found if row.engine == engine))
        page = f"{before}{begin}\n\n{_head()}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
    return page


def _head() -> str:
    where = json.loads(FILE.read_text())["about"]
    names = ("psycopg", "PyMySQL", "aiomysql")
    versions = ", ".join(f"{name} {where['versions'][name]}" for name in names)
    return f"`make faults`, {where['date']}, Python {where['python']}, {where['machine']}, load {where['load']}; {versions}."


def markdown(found: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table."""
    for cells in (HEAD, ("---",) * len(HEAD), *map(_cells, found)):
        yield f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"{row.fault}: {row.title}", row.knobs, row.api, noticed(row.taken_out), times(row.reads), times(row.writes),
        times(row.bare), errors(row.errors), f"{row.wrong} of {row.acknowledged}", ", ".join(sorted(set(row.slow))), f"`{row.command}`",
    )  # fmt: skip


def times(seconds: Sequence[float]) -> str:
    """Return the median, the least and the most: ``0.52 s (0.48 to 0.61)``."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    told = "never" if middle == NEVER else f"{middle:.2f} s"
    return (
        told
        if f"{low:.2f}" == f"{high:.2f}"
        else f"{told} ({low:.2f} to {'never' if high == NEVER else f'{high:.2f}'})"
    )


def noticed(seconds: Sequence[float | None]) -> str:
    """Return when a node was taken out; "no" where none had to be."""
    told = [at for at in seconds if at is not None]
    return times(told) if told else "no"


def errors(runs: Sequence[dict[str, int]]) -> str:
    """Return how many errors of each kind a run showed: ``write: OutcomeUnknown 0 to 1``."""
    kinds = sorted({kind for each in runs for kind in each})
    counts = {kind: sorted(each.get(kind, 0) for each in runs) for kind in kinds}
    return (
        ", ".join(
            f"{kind} {few}" if few == many else f"{kind} {few} to {many}"
            for kind, (few, many) in ((kind, (found[0], found[-1])) for kind, found in counts.items())
        )
        or "none"
    )
