"""Zones: where a node is, whether the own zone can carry the load, and what follows from it under each policy."""

from __future__ import annotations

import json
from collections import Counter
from copy import copy
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from clustersql.core.booking.book import EVICT_EVERY, Book
from clustersql.core.booking.shelf import Session
from clustersql.core.policies.choice import candidates, sentence
from clustersql.core.policies.load import TAU, Load
from clustersql.core.policies.named import NAMED, policy
from clustersql.core.policies.plan import plan
from clustersql.core.policies.zoned import FEW, PREFERENCE, TRIED, UNASKED, Zoned, can_carry
from clustersql.core.view.endpoint import endpoint
from clustersql.core.view.node import Node, Reach, Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want
from clustersql.core.view.zone import zone_of

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "zones"
READ = Want(Service.READ, read_only=True)
NOW = 1000.0


def cases(name: str) -> list[Any]:
    return [pytest.param(c, id=c["what"]) for c in json.loads((SCENARIOS / f"{name}.json").read_text("utf-8"))["cases"]]


@pytest.mark.parametrize("case", cases("where"))
def test_where_a_node_is(case: dict[str, Any]) -> None:
    at = endpoint(case["at"]) if "at" in case else None
    node = Node("n", 0, zone=case.get("configured", ""), server=case.get("server", ""), endpoint=at)
    assert zone_of(node, case.get("map", {})) == case["zone"]


def load_of(text: str) -> Load:
    numbers, *flags = text.split(":")
    milliseconds, samples, *since = map(float, numbers.split("/"))
    load = Load("n")
    load.ewma = load.usual = milliseconds / 1000
    load.samples, load.sampled_at = int(samples), NOW - (since[0] if since else 0.0)
    load.failed = "failed" in flags
    for flag in flags:
        if flag.startswith("owes="):
            load.owing = SimpleNamespace(started=NOW - float(flag.removeprefix("owes=")), ended=0.0)
    return load


@pytest.mark.parametrize("case", cases("carry"))
def test_whether_the_own_zone_can_carry_the_load(case: dict[str, Any]) -> None:
    own, elsewhere = (list(map(load_of, case[name])) for name in ("own", "elsewhere"))
    assert can_carry(own, elsewhere, NOW, case.get("preference", PREFERENCE)) is case["can"]


def loads(**zones: float) -> tuple[Load, ...]:
    """A load per node, whose name begins with its zone; each has often taken so many seconds."""
    made = tuple(Load(name, i) for i, name in enumerate(zones))
    for load, seconds in zip(made, zones.values(), strict=True):
        load.zone = load.name[0]
        for _ in range(FEW):
            load.sample(seconds, NOW)
    return made


def served(rule: Zoned, nodes: tuple[Load, ...], times: int = 2000) -> dict[str, int]:
    chance = Random(7).random
    return Counter(rule.pick(nodes, NOW, chance).name for _ in range(times))


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_own_zone_serves_under_every_policy(name: str) -> None:
    nodes = loads(a1=0.004, a2=0.004, b1=0.003, b2=0.003)
    assert set(served(Zoned(policy(name), "a"), nodes)) <= {"a1", "a2"}
    ranked = Zoned(policy(name), "a").rank(nodes, NOW, Random(1).random)
    assert ([load.zone for load in ranked], len(set(ranked))) == (["a", "a", "b", "b"], 4)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_work_spills_over_under_every_policy(name: str) -> None:
    nodes = loads(a1=0.050, a2=0.040, b1=0.003, b2=0.003)
    assert set(served(Zoned(policy(name), "a"), nodes)) <= {"b1", "b2"}
    assert [load.zone for load in Zoned(policy(name), "a").rank(nodes, NOW, Random(1).random)] == ["b", "b", "a", "a"]


def test_a_function_of_the_user_s_is_heeded_in_what_it_leaves_out() -> None:
    rule = Zoned(policy(lambda loads, now, random: [load for load in loads if load.name != "a1"]), "a")
    assert set(served(rule, loads(a1=0.004, a2=0.004, b1=0.004))) == {"a2"}
    assert set(served(rule, loads(a1=0.004, b1=0.004))) == {"b1"}


def test_a_zone_in_which_nobody_is() -> None:
    assert len(served(Zoned(policy("round-robin"), "c"), loads(a1=0.004, b1=0.004))) == 2


def test_what_is_configured_to_be_the_last_stays_the_last() -> None:
    nodes = loads(a1=0.004, b1=0.004)
    nodes[0].priority = 2
    assert [load.name for load in Zoned(policy("priority"), "a").first(nodes)] == ["b1"]


def test_few_statements_leave_to_learn_what_answers_take_elsewhere() -> None:
    """Of a node that nobody has asked, or not for long."""
    rule, nodes = Zoned(policy("least-latency"), "a"), (*loads(a1=0.004), Load("b1"), Load("b2"))
    for load in nodes[1:]:
        load.zone = "b"
    for share in (UNASKED, TRIED):
        seen = served(rule, nodes, 20_000)
        assert 0.5 * share < (seen["b1"] + seen["b2"]) / 20_000 < 1.5 * share
        assert min(seen["b1"], seen["b2"]) > 0
        for load in nodes[1:]:
            load.sample(0.004, NOW)
    known = loads(a1=0.004, b1=0.004)
    assert set(served(rule, known)) == {"a1"}
    known[1].sampled_at = NOW - TAU - 1
    assert set(served(rule, known)) == {"a1", "b1"}


def picked_elsewhere(rule: Zoned, nodes: tuple[Load, ...]) -> Load:
    chance = Random(3).random
    return next(load for load in iter(lambda: rule.pick(nodes, NOW, chance), None) if load.zone != "a")


def test_what_is_to_be_tried_is_dialled_by_the_one_who_found_no_connection() -> None:
    rule, nodes = Zoned(policy("round-robin"), "a"), (*loads(a1=0.004, a2=0.004), Load("b1"))
    tried = picked_elsewhere(rule, nodes)
    assert rule.turn().rank(nodes, NOW, Random(1).random)[0] is tried
    assert rule.turn().rank(nodes, NOW, Random(1).random)[0].zone == "a"  # the next caller


def test_a_question_changes_nobody_s_turn() -> None:
    rule, nodes = Zoned(policy("round-robin"), "a"), loads(a1=0.004, a2=0.004, b1=0.004)
    for expected in ("a1", "a2", "a1"):
        assert copy(rule).pick(nodes, NOW, Random(1).random).name == expected
        assert rule.pick(nodes, NOW, Random(1).random).name == expected


# -- with the pool and the plan


def view(**zones: str) -> View:
    made = View()
    for name, zone in zones.items():
        made = observe(observe(made, Added(name, zone=zone), 0.0), Answered(name, Report(Role.REPLICA)), 0.0)
    return made


def book(made: View, size: int, zone: str = "a") -> Book:
    found = Book(size, 2, Zoned(policy("least-latency"), zone), lambda: 0.5)
    found.adopt(made)
    return found


def fill(made: Book, name: str, count: int, seconds: float = 0.004) -> None:
    shelf = made.shelves[name]
    for _ in range(count):
        assert made.begin_dial(name)[1].dial is shelf
        made.dialled(Session(object(), shelf, shelf.generation), seconds, NOW)
    for _ in range(FEW):
        shelf.sample(seconds, NOW)


def test_the_own_zone_is_dialled_first_and_the_others_after_it() -> None:
    made = book(view(b1="b", a1="a", c1=""), 4)
    assert plan(made.view, READ, made.shelves, made.policy, NOW, lambda: 0.5)[0] == "a1"
    unknown = View(tuple(Node(name, i, zone=name[0]) for i, name in enumerate(("b1", "a1"))))
    made.adopt(unknown)
    assert plan(unknown, READ, made.shelves, made.policy, NOW, lambda: 0.5) == ("a1", "b1")


def test_at_the_limit_connections_come_back_to_the_own_zone_after_an_outage() -> None:
    """One a second, as for a node that is slower: all were opened elsewhere meanwhile, and are idle."""
    made = book(view(a1="a", b1="b"), 4)
    fill(made, "b1", 4)
    fill(made, "a1", 0)
    assert made.take(READ, NOW) is None
    taken = made.take(READ, NOW + EVICT_EVERY / 2)
    assert taken is not None
    assert taken.node == "b1"
    assert made.take(READ, NOW + EVICT_EVERY) is None


def test_no_connection_of_the_own_zone_is_closed_for_a_trial() -> None:
    rule = Zoned(policy("least-latency"), "a")
    quick, slow = loads(b1=0.001)[0], loads(a1=0.0019)[0]
    assert not rule.is_worth_a_dial(quick, slow, NOW)
    slow.sample(1.0, NOW)
    assert rule.is_worth_a_dial(quick, slow, NOW)
    assert not rule.is_worth_a_dial(slow, quick, NOW)


def test_a_server_behind_an_address_has_a_zone_of_its_own() -> None:
    made = observe(View(zones={"10.0.2.0/24": "b"}), Added("rw", zone="a"), 0.0)
    made = observe(made, Answered("rw", Report(Role.PRIMARY, server="10.0.1.1:5432"), False), 0.0)
    for server in ("10.0.2.1:5432", "10.0.3.1:5432"):
        made = observe(made, Answered("rw", Report(Role.REPLICA, server=server), True), 0.0)
    found = {node.name: made.zone(node) for node in made}
    assert found == {"rw": "a", "rw/10.0.2.1:5432": "b", "rw/10.0.3.1:5432": "a"}
    shelves = book(made, 2).shelves
    assert {name: shelf.zone for name, shelf in shelves.items()} == found


def test_why_a_node_of_another_zone_does_not_serve() -> None:
    nodes = loads(a1=0.004, b1=0.003)
    made = View(tuple(Node(n.name, n.order, Reach.UP, Role.REPLICA, zone=n.zone, why="") for n in nodes))
    known, rule = {load.name: load for load in nodes}, Zoned(policy("least-latency"), "a")
    found = candidates(made, READ, known, rule, NOW, "a1", NOW)
    assert [(each.zone, each.against) for each in found] == [("a", ()), ("b", ("zone: b, and a is preferred",))]
    said = "any node is asked for, and the policy least-latency, zone a first, put it before b1"
    assert sentence(made, READ, found, rule, NOW) == said
    nodes[0].sample(4.0, NOW)
    [away, _] = candidates(made, READ, known, rule, NOW, "b1", NOW)
    assert away.against[0].startswith("zone: a cannot carry the load")
