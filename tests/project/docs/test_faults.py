"""The page on faults says what the kept results say, each row can be reproduced, and what must hold of every
row holds.
"""

from __future__ import annotations

import re
import shlex

import pytest

from bench.faults.__main__ import ENGINES, parse
from bench.faults.page import HEAD, PAGE, Row, kept, rewritten

ROWS = kept()
CLEAN = {(engine.NAME, fault.name) for engine in ENGINES.values() for fault in engine.FAULTS if fault.clean}


def test_the_tables_are_those_of_the_kept_results() -> None:
    text = PAGE.read_text("utf-8")
    assert rewritten(text) == text, (
        'write it anew: python -c "from bench.faults import page; page.PAGE.write_text(page.rewritten(page.PAGE.read_text()))"'
    )


def test_every_fault_has_its_rows_with_both_apis_and_both_kinds_of_knobs() -> None:
    measured = {(row.engine, row.fault, row.api, row.knobs) for row in ROWS}
    wanted = {
        (engine.NAME, fault.name, api, knobs)
        for engine in ENGINES.values()
        for fault in engine.FAULTS
        for api in ("threads", "asyncio")
        for knobs in ("defaults", "tuned")
    }
    assert measured == wanted


def test_the_command_of_every_row_plays_that_fault() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if "`make faults ARGS=" in line]
    assert len(lines) == len(ROWS)
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(HEAD)
        [arguments] = re.findall(r'^`make faults ARGS="([^"]+)"`$', cells[-1])
        [(engine, faults)] = parse(shlex.split(arguments)).faults.items()
        assert [f"{fault.name}: {fault.title}" for fault in faults] == [cells[0]]
        assert engine.NAME in arguments


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.engine}-{row.fault}-{row.api}-{row.knobs}")
def test_nothing_is_lost_and_no_live_statement_is_ended(row: Row) -> None:
    """With tuned knobs half a second without a word condemns a node, which one short of CPU may need: the page tells if
    it did.
    """
    assert row.wrong == 0
    if row.knobs == "defaults":
        assert set(row.slow) == {"survived"}
    if (row.engine, row.fault) in CLEAN:
        assert not any(row.errors)


@pytest.mark.parametrize("arguments", [["oracle"], ["galera", "freeze-replica"], ["postgresql", "freeze"]])
def test_bad_input_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert "freeze" in capsys.readouterr().err or "oracle" in arguments
