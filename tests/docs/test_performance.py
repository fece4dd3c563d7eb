"""The page on performance says what the kept results say, and nothing else."""

from __future__ import annotations

import pytest

from bench.report import PAGE, PLOTS, RESULTS, rewritten

KEPT = sorted({file.stem for file in RESULTS.glob("*.json")} - {"faults"})  # which has a page of its own


def test_the_tables_are_those_of_the_kept_results() -> None:
    text = PAGE.read_text("utf-8")
    assert rewritten(text) == text, "write it anew: python -m bench report"


@pytest.mark.parametrize("name", KEPT)
def test_each_kept_result_is_on_the_page_with_its_plot(name: str) -> None:
    assert f"<!-- bench: {name} -->" in PAGE.read_text("utf-8")
    assert (PLOTS / f"{name}.svg").exists()
