"""What proves that a server has seen a bookmark, and where a read goes: the scenario files, and what must hold for all
of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustersql.core.causal.bookmark import Bookmark, Gtids, Kind, parse
from clustersql.core.causal.judge import Answer, Verdict, judged, survives
from clustersql.core.causal.route import Stay, Way, route
from clustersql.core.view.epoch import Switch
from clustersql.core.view.node import Node, Reach, Role
from clustersql.core.view.position import Transactions
from clustersql.core.view.view import Service, View, Want

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "causal"


def cases(name: str) -> list[Any]:
    return [pytest.param(c, id=c["what"]) for c in json.loads((SCENARIOS / f"{name}.json").read_text("utf-8"))["cases"]]


def answer(told: dict[str, Any]) -> Answer:
    told = {"kind": "p", "primary": False, "lineage": "1" if told.get("kind", "p") == "p" else "", **told}
    kind, place = Kind(told.pop("kind")), told.pop("place", None)
    if kind is Kind.SET:
        place = Transactions(tuple((maker, tuple(map(tuple, spans))) for maker, spans in (place or {}).items()))
    elif kind is Kind.STREAM:
        place = Gtids(tuple(map(tuple, place or ())))
    told["written"] = Gtids(tuple(map(tuple, told.get("written", ()))))
    return Answer(kind=kind, place=place, **told)


@pytest.mark.parametrize("case", cases("history"))
def test_history(case: dict[str, Any]) -> None:
    switches = tuple(Switch(*one) for one in case.get("switches", ()))
    found = judged(parse(case["mark"]), answer(case["answer"]), switches, case.get("newest", 0))
    assert found.verdict.value == case["expect"], found
    assert case.get("why", "") in found.why
    assert found.unknown is case.get("unknown", False)
    assert bool(found.why) == (found.verdict is not Verdict.REACHED)


@pytest.mark.parametrize("case", cases("route"))
def test_route(case: dict[str, Any]) -> None:
    nodes = tuple(
        Node(
            name,
            order,
            Reach.UP,
            Role(role),
            position=position,
            identity="anew" if case.get("started") else case.get("identity", name),
        )
        for order, (name, (role, position)) in enumerate(case["nodes"].items())
    )
    mark = None if case["mark"] is None else Bookmark(Kind.LOG, "1", 1, case["mark"])
    want = Want(Service.REPLICA if case.get("role") == "replica" else Service.READ, read_only=True)
    stay = Stay(case["stay"], case["stay"]) if "stay" in case else None

    def known(node: Node) -> bool:
        return isinstance(node.position, int) and node.position >= case["mark"]

    found = route(View(nodes), want, mark, known, 0.0, stay, frozenset(case.get("left", ())))
    way, among = case["expect"]
    assert (found.way.value, found.want.among and sorted(found.want.among)) == (way, among)
    assert found.want.service is (Service.WRITE if found.way is Way.PRIMARY else want.service)
    assert found.want.causal is None


histories = st.lists(st.integers(1, 60), min_size=1, max_size=4).map(
    lambda steps: [sum(steps[: n + 1]) for n in range(len(steps))]
)


@given(histories, st.integers(1, 5), st.integers(0, 300), st.integers(0, 300), st.booleans(), st.data())
def test_a_bookmark_is_never_called_read_by_a_server_without_it(
    began: list[int], timeline: int, place: int, at: int, primary: bool, data: st.DataObject
) -> None:
    """The truth by a model: timeline N+1 began at ``began[N-1]`` of timeline N.  A server on a timeline has what lies
    below each switch before it.  The standby tells which it follows, or the process has heard of each switch since: it
    cannot hear of one from a standby that may not tell (docs/causal.md).
    """
    latest = len(began) + 1
    of = data.draw(st.integers(1, latest)) if not primary else latest
    proven = of if primary else data.draw(st.integers(0, of))
    known = {*data.draw(st.lists(st.sampled_from(range(2, latest + 1)), unique=True)), *range(proven + 1, of + 1)} - {1}
    switches = tuple(Switch(number, began[number - 2]) for number in sorted(known))
    timeline = min(timeline, latest)
    has = place <= at and timeline <= of and all(place <= began[n - 2] for n in range(timeline + 1, of + 1))
    survived = all(place <= began[n - 2] for n in range(timeline + 1, latest + 1))
    newest = latest if known and max(known) == latest else 0
    told = Answer(Kind.LOG, primary, lineage="1", timeline=proven, place=at)
    found = judged(Bookmark(Kind.LOG, "1", timeline, place), told, switches, newest)
    if found.verdict is Verdict.REACHED:
        assert has
    if found.verdict is Verdict.LOST and not found.unknown and not primary:
        assert not survived
    if found.verdict is Verdict.LOST and not found.unknown and primary:
        assert not (has and survived)


@given(histories, st.integers(0, 300))
def test_with_every_switch_known_it_is_always_told_whether_it_survived(began: list[int], place: int) -> None:
    switches = [Switch(number, at) for number, at in enumerate(began, 2)]
    assert survives(1, place, len(began) + 1, switches) is all(place <= at for at in began)
    assert survives(1, place, len(began) + 1, switches[:-1]) in (None, False)
