"""One line per node, of two moments: rates, marks, and what is said of a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clustersql.reports.live import ILL, WARN, WELL, clock, holders, lines, loudness, place_of, summary


def node(name: str, **fields: Any) -> dict[str, Any]:
    axes = [{"axis": "reachability", "value": "up", "since": "2026-01-01T00:00:00+00:00", "why": ""}]
    known = {"name": name, "role": "replica", "state": "up", "readiness": "ready", "serves": ["any"], "axes": axes}
    return known | {"kept_out": [], "why": "", "lag": 0.0, "epoch": "", "last_error": ""} | fields


def state(*nodes: dict[str, Any], at: int = 0, counts: tuple[int, ...] = (), **fields: Any) -> dict[str, Any]:
    sizes = {"waiting": 0, "in_flight": 1, "size": 2, "max_size": 5} | fields.pop("sizes", {})
    pools = [{"sizes": sizes, "holders": fields.pop("holders", [])}]
    told = {"cluster": "shop", "at": f"2026-01-01T00:00:{at:02}+00:00", "wanted": "primary", "knobs": {"max_lag": None}}
    told |= {"nodes": list(nodes), "pools": pools, "budget": {"left": 10.0}} | fields
    figures = {each["name"]: {"Checkouts": count} for each, count in zip(nodes, counts, strict=False)}
    return {"snapshot": told, "figures": {"Nodes": figures}, "events": []}


PRIMARY = node("a", role="primary", serves=["primary", "any"])
OUT = [{"axis": "drain", "value": "draining", "since": "2026-01-01T00:00:09+00:00", "why": "by the operator"}]


def test_counts_become_rates_and_shares() -> None:
    before, now = state(PRIMARY, node("b"), counts=(10, 10)), state(PRIMARY, node("b"), at=10, counts=(40, 20))
    first, second = lines(now, before)
    assert ((first.rate, first.share), (second.rate, second.share)) == ((3.0, 0.75), (1.0, 0.25))
    assert summary(now, before).rate == 4.0
    assert [each.rate for each in lines(now)] == [0.0, 0.0]
    again = state(PRIMARY, node("b"), at=10, counts=(0, 5))  # the program was started anew
    assert [each.rate for each in lines(again, before)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("fields", "word", "level"),
    [
        ({}, "ready", WELL),
        ({"state": "down"}, "down", ILL),
        ({"state": "suspect"}, "suspect", WARN),
        ({"kept_out": OUT}, "draining", WARN),
        ({"lag": 60.0}, "ready", WARN),
    ],
)
def test_what_is_unwell_is_marked(fields: dict[str, Any], word: str, level: str) -> None:
    [line] = lines(state(node("b", **fields)))
    assert (line.state, line.level) == (word, level)


def test_the_cluster_s_own_bound_says_what_is_late() -> None:
    told = state(node("b", lag=60.0), knobs={"max_lag": "5min"})
    assert lines(told)[0].level == WELL


def test_an_estimate_of_a_node_that_is_out_is_the_penalty_of_its_failure() -> None:
    told = state(node("b", state="down"))
    told["figures"]["Nodes"]["b"] = {"Ewma": 0.25}
    assert lines(told)[0].response is None


@pytest.mark.parametrize(
    ("told", "level", "words"),
    [
        (state(PRIMARY, node("b")), WELL, "a can serve as primary; all nodes are well"),
        (state(PRIMARY, node("b", kept_out=OUT)), WARN, "a can serve as primary; kept out: b"),
        (state(PRIMARY, sizes={"waiting": 3}), WARN, "a can serve as primary; 3 waiting for a connection"),
        (state(node("b")), ILL, "no node can serve as a primary"),
        (state(PRIMARY, node("b"), wanted="any"), WELL, "2 nodes can serve; all nodes are well"),
    ],
)
def test_how_a_cluster_is(told: dict[str, Any], level: str, words: str) -> None:
    found = summary(told)
    assert (found.level, found.words) == (level, words)


def test_the_oldest_holder_comes_first() -> None:
    assert [each["seconds"] for each in holders(state(holders=[{"seconds": 1}, {"seconds": 9}]))] == [9, 1]


def test_a_place_is_told_by_its_end() -> None:
    assert place_of("/srv/shop/app/orders.py:88") == "app/orders.py:88"
    assert place_of("orders.py:88") == "orders.py:88"


def test_a_moment_of_another_day_is_told_with_its_day() -> None:
    now = datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
    assert clock("2026-03-02T00:04:59+00:00", now) == "00:04:59"
    assert clock("2026-03-01T23:59:59+00:00", now) == "01 Mar 23:59"
    assert clock("", now) == "-"


@pytest.mark.parametrize(
    ("kind", "text", "level"),
    [
        ("node", "was added", ""),
        ("node", "is up, replica, ready", WELL),
        ("node", "is up, primary, ready, outdated", WARN),
        ("node", "is up, replica, misconfigured: no right", WARN),
        ("node", "is suspect, replica, ready: closed", WARN),
        ("node", "is down, replica, ready: refused", ILL),
        ("outcome", "is up", ILL),
        ("wait", "14 checkouts waited", ""),
    ],
)
def test_an_event_is_marked_by_what_it_tells(kind: str, text: str, level: str) -> None:
    assert loudness(kind, text) == level
