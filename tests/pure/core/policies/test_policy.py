"""The policies, with a seeded chance: who is chosen how often."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest

from clustersql.core.policies.load import Load
from clustersql.core.policies.named import NAMED, admitted, policy, sampled


def loads(n: int, ewma: float = 0.004) -> list[Load]:
    made = [Load(f"n{i}", i) for i in range(n)]
    for load in made:
        load.sample(ewma, 1.0)
    return made


def picks(name: str, nodes: list[Load], times: int = 9000) -> Counter[str]:
    chance, chosen = Random(7).random, policy(name)
    return Counter(chosen.pick(nodes, 1.0, chance).name for _ in range(times))


@pytest.mark.parametrize("n", [3, 9, 100])
@pytest.mark.parametrize("name", sorted(NAMED))
def test_equal_nodes_share_evenly(name: str, n: int) -> None:
    seen = picks(name, loads(n), 300 * n)
    assert len(seen) == n
    assert max(seen.values()) < 300 * 1.35
    assert min(seen.values()) > 300 * 0.65


@pytest.mark.parametrize("n", [3, 9, 100])
def test_a_slow_node_gets_less_than_one_percent_by_latency(n: int) -> None:
    nodes = loads(n)
    nodes[0].ewma = 0.04
    assert picks("least-latency", nodes)["n0"] < 90


def test_least_latency_weighs_the_queue() -> None:
    nodes = loads(2)
    nodes[0].in_flight, nodes[1].ewma = 3, 0.012
    assert picks("least-latency", nodes)["n1"] == 9000
    assert [n.name for n in policy("least-latency").rank(nodes, 1.0, Random(1).random)] == ["n1", "n0"]


def test_a_silent_node_looks_slow_until_its_answer_has_come() -> None:
    nodes = loads(2)
    nodes[0].owing = owing = SimpleNamespace(started=0.5, ended=0.0)
    assert picks("least-latency", nodes)["n1"] == 9000
    assert nodes[0].oldest == 0.5
    owing.ended = 0.9
    assert picks("least-latency", nodes)["n0"] > 4000
    assert nodes[0].oldest == 0.0


def test_least_connections_takes_the_idlest() -> None:
    nodes = loads(3)
    nodes[0].in_flight = nodes[1].in_flight = 1
    assert picks("least-connections", nodes) == {"n2": 9000}


def test_round_robin_goes_in_order() -> None:
    nodes, chosen = loads(3), policy("round-robin")
    assert [chosen.rank(nodes, 1.0, Random(1).random)[0].name for _ in range(4)] == ["n0", "n1", "n2", "n0"]


def test_a_caller_keeps_its_turn_however_often_it_looks() -> None:
    """Found as a flake: who waited for a slow dial looked again, took the next one's turn, and a node was
    passed over.
    """
    nodes, chosen = loads(3), policy("round-robin")
    first, second = chosen.turn(), chosen.turn()
    looks = [first.rank(nodes, 1.0, Random(1).random)[0].name for _ in range(3)]
    assert looks == ["n0", "n0", "n0"]
    assert second.rank(nodes, 1.0, Random(1).random)[0].name == "n1"
    assert chosen.pick(nodes, 1.0, Random(1).random).name == "n2"
    assert chosen.turn().rank(nodes, 1.0, Random(1).random)[0].name == "n2", "the dial of what was picked"


def test_only_race_dials_all_at_once() -> None:
    assert [name for name in NAMED if policy(name).at_once] == ["race"]


def test_a_users_function_may_leave_nodes_out_and_return_strangers() -> None:
    nodes = loads(3)
    subset = policy(lambda loads, now, random: [loads[2], Load("stranger")])
    assert subset.rank(nodes, 1.0, Random(1).random) == [nodes[2]]
    garbage = policy(lambda loads, now, random: ["n0", None])  # type: ignore[list-item]
    assert garbage.rank(nodes, 1.0, Random(1).random) == nodes
    assert garbage.pick(nodes, 1.0, Random(1).random) is nodes[0]


def test_a_sample_has_no_node_twice() -> None:
    chance = Random(3).random
    for n in range(17, 130):
        nodes = loads(n)
        assert len({load.name for load in sampled(nodes, chance)}) == 8


def test_slow_start_admits_in_proportion_and_never_nobody() -> None:
    nodes = loads(2)
    nodes[0].slow_since = 0.0
    for now, share in ((0.0, 0.05), (5.0, 0.5), (10.0, 1.0)):
        chance = Random(5).random
        kept = sum(nodes[0] in admitted(nodes, now, chance, 10.0) for _ in range(4000)) / 4000
        assert kept == pytest.approx(share, abs=0.03)
    assert admitted(nodes[:1], 0.0, lambda: 0.99, 10.0) == nodes[:1]
