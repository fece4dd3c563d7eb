"""The page on performance says what the kept results say, and nothing else."""

from __future__ import annotations

import pytest

from bench import plot
from bench.report import PAGE, PLOTS, RESULTS, named, rewritten, told

KEPT = sorted({file.stem for file in RESULTS.glob("*.json")} - {"faults"})  # which has a page of its own


def test_the_tables_are_those_of_the_kept_results() -> None:
    text = PAGE.read_text("utf-8")
    assert rewritten(text) == text, "write it anew: python -m bench report"


@pytest.mark.parametrize("name", KEPT)
def test_each_kept_result_is_on_the_page_with_its_plot(name: str) -> None:
    assert name in named(PAGE.read_text("utf-8"))
    assert (PLOTS / f"{name}.svg").read_text() == plot.bars(told(name)), "write it anew: python -m bench report"


def test_results_of_other_pages_are_left_to_them() -> None:
    """Each run writes all of this page anew; those on faults have another form."""
    assert named(PAGE.read_text("utf-8")) == KEPT
