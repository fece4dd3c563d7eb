"""The demo's run over time, and its picture."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from clustersql.cli.demo.drawing import svg
from clustersql.cli.demo.tally import Tally
from clustersql.cli.demo.timeline import ERROR, Recorder, Span, Timeline, became

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ({"State": "up", "Role": "primary"}, "primary"),
        ({"State": "up"}, "unknown"),
        ({"State": "down", "Role": "primary"}, "down"),
        ({"State": "suspect", "Role": "replica"}, "suspect"),
        ({}, "unknown"),
    ],
)
def test_what_a_node_is_in_a_word(figures: dict[str, str], word: str) -> None:
    assert became(figures) == word


def test_a_node_that_stays_as_it_is_takes_one_span() -> None:
    state = {"State": "up", "Role": "primary"}
    recorder = Recorder(lambda: {"Nodes": {"a": state}}, began=100.0)
    for now in (0.0, 1.0):
        recorder.look(now)
    state["State"] = "down"
    for now in (2.0, 3.0):
        recorder.look(now)
    run = recorder.timeline(Counter({(0, "a", "read"): 4}), [(101.5, "a killed")])
    assert run.spans == (Span("a", "primary", 0.0, 2.0), Span("a", "down", 2.0, 3.0))
    assert run.marks == ((1.5, "a killed"),)
    assert run.nodes == ("a",)


def test_it_looks_by_itself_and_ends() -> None:
    asked = threading.Event()

    def figures() -> dict[str, Any]:
        asked.set()
        return {"Nodes": {}}

    with Recorder(figures, began=0.0) as recorder:
        assert asked.wait(60)
    assert recorder.seconds > 0


def run(**fields: Any) -> Timeline:
    spans = (Span("a", "primary", 0.0, 3.5), Span("<b>", "replica", 0.0, 1.0), Span("<b>", "down", 1.0, 3.5))
    counts = {(0, "a", "read"): 3, (0, "<b>", "read"): 1, (1, "a", "write"): 2, (1, "", ERROR): 2, (3, "a", "read"): 9}
    return Timeline(**{"seconds": 3.5, "spans": spans, "counts": counts, "marks": ((1.0, "<b> killed"),), **fields})


def drawn(picture: str, kind: str) -> list[Any]:
    return [each for each in ElementTree.fromstring(picture).iter(f"{SVG}rect") if each.get("class") == kind]


def test_the_picture_shows_lanes_shares_and_outcomes() -> None:
    picture = svg(run(), "a <title>", "words")
    assert float(drawn(picture, "primary")[0].get("width")) == pytest.approx(920, abs=0.1)
    assert len(drawn(picture, "down")) == 2, "the span, and the legend"
    # Of the shares of the first second: three quarters and a quarter; the second that is not whole is left out.
    assert [float(each.get("height")) for each in drawn(picture, "s0")] == [10.0, 72.0, 96.0]
    assert [float(each.get("height")) for each in drawn(picture, "s1")] == [10.0, 24.0]
    assert [float(each.get("height")) for each in drawn(picture, "read")] == [10.0, 96.0]
    assert [float(each.get("height")) for each in drawn(picture, "error")] == [10.0, 48.0]
    texts = [each.text for each in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    assert {"a <title>", "words", "<b>", "<b> killed", "0 s", "3 s"} <= set(texts)
    assert "<script" not in picture


def test_a_run_without_anything_is_drawn_too() -> None:
    ElementTree.fromstring(svg(run(spans=(), counts={}, marks=()), "t", "w"))


def test_operations_are_counted_by_second_node_and_outcome() -> None:
    tally = Tally(workers=1)
    tally.good(0, "read", "n1", tally.started)
    tally.bad(ValueError("x"), "write", 1)
    tally.fault("n1 killed")
    tally.mark("n2 promoted")
    by_kind = Counter({(node, kind): n for (_, node, kind), n in tally.counts.items()})
    assert by_kind == {("n1", "read"): 1, ("", ERROR): 1}
    assert [text for _, text in tally.marks] == ["n1 killed", "n2 promoted"]


def test_a_file_that_cannot_be_written_is_told_before_anything_is_started(tmp_path: Path, cli: Callable) -> None:
    for file in (tmp_path / "no" / "run.svg", tmp_path):
        ran = cli("demo", "--svg", file)
        assert (ran.status, ran.out) == (2, "")
        assert "cannot be written" in " ".join(ran.err.split())
