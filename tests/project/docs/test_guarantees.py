"""The README's guarantee table says what `core.recovery.verdict` decides, cell by cell."""

from __future__ import annotations

import itertools

import pytest
from project.docs.pages import pages, table

from clustersql.core.faults import Facts, Fault
from clustersql.core.recovery.verdict import Phase, Situation, Standing, Verdict, verdict

COLUMNS = (
    "autocommit, proven read",
    "autocommit, write",
    "first statement of a transaction",
    "later in a transaction, before COMMIT",
    "at COMMIT",
)
GUARDED = "at COMMIT, with the [commit guard](docs/guard.md)"
ROWS = {
    "before anything was sent": Facts(Fault.LOST, lost=True, not_sent=True),
    "sent, no answer": Facts(Fault.LOST, lost=True),
    "the server says that it rolled back": Facts(Fault.ROLLED_BACK),
    "refused: read-only or not ready": Facts(Fault.READ_ONLY),
    "while rows are fetched": Facts(Fault.LOST, lost=True),
}
WORDS = {
    Verdict.ELSEWHERE: "run again elsewhere",
    Verdict.AGAIN: "run again",
    Verdict.PASS: "the driver's error",
    Verdict.LOST: "`TransactionLost`",
    Verdict.UNKNOWN: "`OutcomeUnknown`",
    Verdict.DONE: "success",
}
"""How the cell begins."""
CELLS = [pair for pair in itertools.product(ROWS, COLUMNS) if pair != ("while rows are fetched", "at COMMIT")]


def situation(row: str, column: str, **more: bool) -> Situation:
    phase = Phase.FETCH if row.startswith("while rows") else Phase.COMMIT if column == "at COMMIT" else Phase.EXECUTE
    stands = dict(zip(COLUMNS, (Standing.NONE,) * 2 + (Standing.FIRST,) + (Standing.LATER,) * 2, strict=True))
    given = {"proven": column == COLUMNS[0]} | more
    return Situation(ROWS[row], phase, stands[column], **given)


def shown() -> list[list[str]]:
    return table(pages()["README.md"], "## What is guaranteed")


def cell(row: str, column: str) -> str:
    head, *body = shown()
    return next(line for line in body if line[0] == row)[head.index(column)]


def test_the_table_has_these_rows_and_columns() -> None:
    head, *body = shown()
    assert head == ["the node fails ...", *COLUMNS, GUARDED]
    assert [line[0] for line in body] == list(ROWS)


@pytest.mark.parametrize(("row", "column"), CELLS)
def test_each_cell_begins_with_the_verdict(row: str, column: str) -> None:
    decided = verdict(situation(row, column))
    longest = max((words for words in WORDS.values() if cell(row, column).startswith(words)), key=len, default=None)
    assert longest == WORDS[decided], f"{row} / {column}: the code says {decided}"


@pytest.mark.parametrize("row", [row for row, column in CELLS if column == "at COMMIT"])
def test_the_guard_settles_what_is_unknown_and_leaves_the_rest(row: str) -> None:
    decided = verdict(situation(row, "at COMMIT"))
    settled = "success, or `TransactionLost`" if decided is Verdict.UNKNOWN else WORDS[decided]
    assert cell(row, GUARDED).startswith(settled)


def test_the_exceptions_in_the_cells() -> None:
    sent, refused = "sent, no answer", "refused: read-only or not ready"
    assert verdict(situation(sent, "autocommit, write", proven=True)) is Verdict.ELSEWHERE
    assert "run again elsewhere if declared idempotent" in cell(sent, "autocommit, write")
    assert verdict(situation(sent, "at COMMIT", proven=True)) is Verdict.DONE
    assert "success if all of it were proven reads" in cell(sent, "at COMMIT")
    told = Situation(Facts(Fault.NOT_READY, undone_at_commit=True), Phase.COMMIT, Standing.LATER)
    assert verdict(told) is Verdict.PASS
    assert "the driver's error for 1290 and 1047" in cell(refused, "at COMMIT")
