"""The policies that go by what was configured: who is near, how work follows the weights, and which group
comes first.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustersql.core.booking.book import Book, Session, Waiter, dial_plan
from clustersql.core.faults import Fault
from clustersql.core.policies.configured import FRESH, Nearest
from clustersql.core.policies.load import Load
from clustersql.core.policies.named import policy
from clustersql.core.steps import Served
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Refused, Unreachable
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)
WEIGHTS = st.lists(st.integers(0, 9), min_size=2, max_size=9).filter(any)


def loads(*ewmas: float, weights: tuple[float, ...] = ()) -> tuple[Load, ...]:
    made = tuple(Load(f"n{i}", i) for i in range(len(ewmas or weights)))
    for load, ewma in zip(made, ewmas or (0.004,) * len(weights), strict=True):
        load.sample(ewma, 1.0)
    for load, weight in zip(made, weights, strict=False):
        load.weight = weight
    return made


def shares(name: str, nodes: tuple[Load, ...], times: int = 9000) -> dict[str, float]:
    chance, chosen = Random(7).random, policy(name)
    seen = Counter(chosen.pick(nodes, 1.0, chance).name for _ in range(times))
    return {load.name: seen[load.name] / times for load in nodes}


def book(name: str, *nodes: tuple[str, float, int], size: int = 10, role: Role = Role.REPLICA) -> Book:
    view = View(writer="any")
    for node, weight, priority in nodes:
        view = observe(observe(view, Added(node, None, weight, priority), 0.0), Answered(node, Report(role)), 0.0)
    made = Book(size, 2, policy(name), Random(3).random)
    made.adopt(view)
    return made


def opened(made: Book, name: str, count: int = 1) -> list[Session]:
    """Open idle connections to a node, as `fill` does."""
    sessions = []
    for _ in range(count):
        _, actions = made.begin_dial(name)
        assert actions.dial is not None
        sessions.append(Session(object(), actions.dial, actions.dial.generation))
        sessions[-1].autocommit, sessions[-1].read_only = False, True
        made.dialled(sessions[-1], 0.01, 1.0)
    return sessions


# -- nearest


def test_near_ones_share_and_a_far_one_gets_nothing() -> None:
    seen = shares("nearest", loads(0.001, 0.012, 0.020, 0.081))
    assert seen["n0"] == pytest.approx(0.5, abs=0.03)
    assert seen["n1"] == pytest.approx(0.5, abs=0.03)
    assert seen["n2"] == seen["n3"] == 0.0


def test_the_threshold_decides_who_is_near() -> None:
    nodes, chance = loads(0.001, 0.012, 0.020, 0.081), Random(7).random
    for threshold, names in ((0.001, {"n0"}), (0.02, {"n0", "n1", "n2"}), (1.0, {"n0", "n1", "n2", "n3"})):
        chosen = policy("nearest", threshold)
        assert {chosen.pick(nodes, 1.0, chance).name for _ in range(200)} == names


def test_the_idlest_of_the_near_ones_and_in_a_rank_the_far_ones_last() -> None:
    nodes = loads(0.001, 0.002, 0.003, 0.100, 0.080)
    nodes[0].in_flight, nodes[1].in_flight, nodes[2].in_flight = 2, 1, 3
    assert shares("nearest", nodes)["n1"] == 1.0
    assert [n.name for n in policy("nearest").rank(nodes, 1.0, Random(1).random)] == ["n1", "n0", "n2", "n4", "n3"]


def test_a_near_node_that_falls_silent_is_far_at_once() -> None:
    """At once: within the time for which it is remembered who is near."""
    nodes, chosen, chance = loads(0.001, 0.002), policy("nearest"), Random(7).random
    assert {chosen.pick(nodes, 1.0, chance).name for _ in range(99)} == {"n0", "n1"}
    nodes[0].owing = SimpleNamespace(started=0.9, ended=0.0)
    assert {chosen.pick(nodes, 1.0 + FRESH, chance).name for _ in range(99)} == {"n1"}


def test_three_near_nodes_among_a_hundred_are_found() -> None:
    """A sample would mostly hold none of them."""
    nodes = loads(*([0.08] * 97 + [0.001] * 3))
    assert {name for name, share in shares("nearest", nodes).items() if share} == {"n97", "n98", "n99"}


def test_a_far_node_is_tried_again_when_its_estimate_has_worn_off() -> None:
    """Else one bad second would be remembered for ever: nobody measures a node that gets no work."""
    nodes = loads(0.001, 0.250)
    nodes[0].sampled_at = 31.0
    assert Nearest()._within(nodes, 2.0) == [nodes[0]]
    assert Nearest()._within(nodes, 31.0) == list(nodes)


# -- weighted


@settings(max_examples=25, deadline=None)
@given(WEIGHTS)
def test_shares_are_the_weights_while_nothing_is_in_flight(weights: list[int]) -> None:
    nodes = loads(weights=tuple(weights))
    seen = shares("weighted", nodes, 6000)
    for load in nodes:
        assert seen[load.name] == pytest.approx(load.weight / sum(weights), abs=0.035)


@settings(max_examples=25, deadline=None)
@given(WEIGHTS, st.sampled_from([1, 3, 40]))
def test_shares_converge_to_the_weights_while_work_is_in_flight(weights: list[int], held: int) -> None:
    """Many callers, each of whom holds its connection for a while, on nodes that are equally fast."""
    nodes, chance, chosen = loads(weights=tuple(weights)), Random(7).random, policy("weighted")
    lent: list[Load] = []
    work: Counter[str] = Counter()
    for _ in range(6000):
        lent.append(chosen.pick(nodes, 1.0, chance))
        lent[-1].in_flight += 1
        work[lent[-1].name] += 1
        if len(lent) > held:
            lent.pop(int(chance() * len(lent))).in_flight -= 1
    for load in nodes:
        share = load.weight / sum(weights)
        assert work[load.name] / 6000 == pytest.approx(share, abs=0.03 if held > 9 else 0.1)


def test_who_is_behind_with_its_work_is_passed_over() -> None:
    nodes = loads(weights=(3.0, 1.0))
    nodes[0].in_flight = 6  # a draw of this one is passed on whenever the other was drawn with it
    assert shares("weighted", nodes)["n0"] == pytest.approx(0.75**2, abs=0.03)
    nodes[0].in_flight = 5
    assert shares("weighted", nodes)["n0"] == pytest.approx(0.75, abs=0.03)


def test_weight_0_is_for_when_there_is_nothing_else() -> None:
    made = book("weighted", ("a", 2.0, 1), ("b", 0.0, 1), ("c", 0.0, 1))
    opened(made, "b")
    assert made.take(READ, 1.0) is None, "not even an idle connection there"
    waiter = Waiter(READ)
    made.enqueue(waiter)
    assert waiter.names == ("a",)
    assert dial_plan(made, waiter, 1.0) == ("a",)
    made.adopt(observe(made.view, Unreachable("a"), 2.0))
    assert waiter.names == ("b", "c")
    assert set(dial_plan(made, waiter, 2.0)) == {"b", "c"}
    assert {load.name for load in (made.policy.pick(made.chosen(READ), 2.0, made.random) for _ in range(50))} == {
        "b",
        "c",
    }


def test_a_rank_by_weight_has_every_node_once_and_begins_by_the_weights() -> None:
    nodes, chance, chosen = loads(weights=(3.0, 1.0, 1.0)), Random(7).random, policy("weighted")
    ranks = [chosen.rank(nodes, 1.0, chance) for _ in range(3000)]
    assert all(sorted(load.name for load in rank) == ["n0", "n1", "n2"] for rank in ranks)
    assert sum(rank[0] is nodes[0] for rank in ranks) / 3000 == pytest.approx(0.6, abs=0.04)


# -- priority


def test_the_next_group_serves_only_when_the_one_before_has_nobody() -> None:
    made = book("priority", ("far", 1.0, 2), ("near1", 1.0, 1), ("near2", 1.0, 1), ("last", 1.0, 7), size=3)
    far = opened(made, "far")
    assert made.take(READ, 1.0) is None, "an idle connection to the second group is not taken"
    waiter = Waiter(READ)
    made.enqueue(waiter)
    assert set(dial_plan(made, waiter, 1.0)) == {"near1", "near2"}
    made.adopt(observe(made.view, Unreachable("near1"), 2.0))
    assert waiter.names == dial_plan(made, waiter, 2.0) == ("near2",)
    made.adopt(observe(made.view, Unreachable("near2"), 3.0))
    assert waiter.names == dial_plan(made, waiter, 3.0) == ("far",)
    assert made.take(READ, 3.0) is far[0]
    made.adopt(observe(made.view, Answered("near1", Report(Role.REPLICA)), 4.0))
    assert waiter.names == ("near1",), "the first group is back"


def test_within_a_group_the_latency_decides() -> None:
    nodes = loads(0.004, 0.040)
    assert shares("priority", nodes)["n0"] == 1.0


def test_a_retry_leaves_the_group_when_the_node_to_avoid_is_alone_in_it() -> None:
    made = book("priority", ("a", 1.0, 1), ("b", 1.0, 2))
    waiter = Waiter(READ, avoid="a")
    made.enqueue(waiter)
    assert (waiter.names, dial_plan(made, waiter, 1.0)) == (("b",), ("b", "a"))
    assert waiter.names == ("b",)
    made.withdraw(waiter)
    opened(made, "b")
    taken = made.take(READ, 1.0, avoid="a")
    assert taken is not None
    assert taken.node == "b"


def test_a_connection_to_the_next_group_is_given_to_who_dialled_it_while_the_first_refuses_new_ones() -> None:
    made = book("priority", ("a", 1.0, 1), ("b", 1.0, 2))
    made.adopt(observe(made.view, Refused("a", 0, Fault.OVERLOADED), 1.0))
    waiter = Waiter(READ)
    made.enqueue(waiter)
    assert waiter.names == ("a",)
    assert dial_plan(made, waiter, 1.0) == ("b",)
    _, actions = made.begin_dial("b", waiter)
    assert actions.dial is not None
    assert made.dialled(Session(object(), actions.dial, 0), 0.01, 1.0, waiter).wake == [waiter]
    assert isinstance(waiter.events[0], Served)


@pytest.mark.parametrize("name", ["priority", "weighted"])
def test_the_single_writer_is_the_first_in_order_whatever_its_weight_and_priority(name: str) -> None:
    view = View()
    for node, weight, priority in (("a", 0.0, 9), ("b", 5.0, 1)):
        view = observe(
            observe(view, Added(node, None, weight, priority), 0.0), Answered(node, Report(Role.PRIMARY)), 0.0
        )
    made = Book(10, 2, policy(name), Random(3).random)
    made.adopt(view)
    waiter = Waiter(Want())
    made.enqueue(waiter)
    assert waiter.names == dial_plan(made, waiter, 1.0) == ("a",)
