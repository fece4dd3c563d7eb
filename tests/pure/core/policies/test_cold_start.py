"""Where nothing is known yet: work that is spread begins anywhere, that of the single writer in the
configured order.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from clustersql.core.policies.load import Load
from clustersql.core.policies.named import NAMED, policy
from clustersql.core.policies.plan import plan
from clustersql.core.view.node import Node
from clustersql.core.view.view import Service, View, Want

NAMES = ("a", "b", "c")


def first(want: Want, name: str, writer: str = "single", weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Counter[str]:
    """How often each node is dialled first by 300 processes."""
    counted: Counter[str] = Counter()
    view = View(tuple(Node(node, order) for order, node in enumerate(NAMES)), writer=writer)
    for seed in range(300):
        chance = random.Random(seed)
        loads = {node: Load(node, order) for order, node in enumerate(NAMES)}
        for load, weight in zip(loads.values(), weights, strict=True):
            load.weight = weight
        chosen = policy(name, start=chance.randrange(1 << 16)).turn()
        names = plan(view, want, loads, chosen, 100.0, chance.random)
        assert sorted(names) == list(NAMES), "each is tried, once"
        counted[names[0]] += 1
    return counted


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("service", [Service.READ, Service.REPLICA])
def test_reads_begin_anywhere(name: str, service: Service) -> None:
    assert min(first(Want(service), name)[node] for node in NAMES) > 60


@pytest.mark.parametrize("name", NAMED)
def test_writes_begin_where_all_clients_agree(name: str) -> None:
    assert first(Want(), name) == Counter({"a": 300})
    assert min(first(Want(), name, writer="any")[node] for node in NAMES) > 60


def test_by_the_weights() -> None:
    """A weight of 0 comes last here too."""
    counted = first(Want(Service.READ), "weighted", weights=(0.0, 1.0, 3.0))
    assert counted["a"] == 0
    assert counted["c"] > 1.5 * counted["b"]


def test_the_users_own_function_is_asked() -> None:
    """What it leaves out comes last: it may be the only one that can serve."""
    view = View(tuple(Node(node, order) for order, node in enumerate(NAMES)))
    loads = {node: Load(node, order) for order, node in enumerate(NAMES)}
    only_b = policy(lambda loads, now, random: [load for load in loads if load.name == "b"])
    assert plan(view, Want(Service.READ), loads, only_b, 100.0, random.random) == ("b", "a", "c")
