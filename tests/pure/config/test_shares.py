"""What stands at a node for one policy only: taken where it counts, refused where it would be ignored in silence."""

from __future__ import annotations

from typing import Any

import pytest

from clustersql import Cluster, ConfigError


def cluster(policy: Any) -> Cluster:
    return Cluster("shop", driver="sqlite3", policy=policy)


@pytest.mark.parametrize(
    ("policy", "fields", "says"),
    [
        ("least-latency", {"weight": 3}, 'node \'a\': weight: only policy "weighted" uses it, not "least-latency"'),
        ("priority", {"weight": 3}, 'node \'a\': weight: only policy "weighted" uses it, not "priority"'),
        ("weighted", {"priority": 1}, 'node \'a\': priority: only policy "priority" uses it, not "weighted"'),
        ("weighted", {"weight": -1}, "node 'a': weight: must be a number from 0 to 1000000, not -1"),
        ("weighted", {"weight": float("inf")}, "node 'a': weight: must be a number from 0 to 1000000, not inf"),
        ("weighted", {"weight": True}, "node 'a': weight: must be a number from 0 to 1000000, not True"),
        ("weighted", {"weight": "3"}, "node 'a': weight: must be a number from 0 to 1000000, not '3'"),
        ("priority", {"priority": -1}, "node 'a': priority: must be a whole number, at least 0, not -1"),
        ("priority", {"priority": 1.0}, "node 'a': priority: must be a whole number, at least 0, not 1.0"),
    ],
)
def test_wrong(policy: str, fields: dict[str, Any], says: str) -> None:
    shop = cluster(policy)
    with pytest.raises(ConfigError) as caught:
        shop.add_node("a", "sqlite:///:memory:", **fields)
    assert str(caught.value).startswith(says)
    assert shop.nodes == []


def test_both_at_once_are_told_together() -> None:
    with pytest.raises(ConfigError, match="2 mistakes in node 'a'"):
        cluster("random").add_node("a", "sqlite:///a.db", weight=1, priority=1)


def test_they_reach_the_policy_and_not_the_driver() -> None:
    shop = cluster("weighted")
    shop.add_node("a", "sqlite:///:memory:", weight=3)
    shop.add_node("b", "sqlite:///?weight=0")
    with shop.open() as db:
        assert {db.execute("SELECT 1").fetchone() for _ in range(20)} == {(1,)}
        assert db.stats()["nodes"]["b"]["checkouts"] == 0
    assert [(node.weight, node.priority) for node in shop.view] == [(3.0, 1), (0.0, 1)]
    assert "weight=3" in repr(shop._topology.addresses["a"])


def test_a_function_of_the_users_sees_them() -> None:
    def by_weight(loads: Any, now: float, random: Any) -> Any:
        return sorted(loads, key=lambda load: (load.priority, -load.weight))

    shop = Cluster("shop", driver="sqlite3", policy=by_weight, read_only=True)
    shop.add_node("a", "sqlite:///:memory:", weight=1, priority=2)
    shop.add_node("b", "sqlite:///:memory:", weight=2, priority=2)
    shop.add_node("c", "sqlite:///:memory:", weight=9, priority=3)
    with shop.open() as db:
        for node in shop.nodes:
            db.options(node=node).execute("SELECT 1")
        with db.connection() as conn:
            assert conn.node == "b"


@pytest.mark.parametrize(
    ("policy", "who"), [("round-robin", '"round-robin"'), (lambda loads, now, random: loads, "a function")]
)
def test_a_threshold_that_nobody_uses(policy: Any, who: str) -> None:
    with pytest.raises(ConfigError, match=f'^local_threshold: only policy "nearest" uses it, not {who}$'):
        Cluster("shop", driver="sqlite3", policy=policy, local_threshold=0.1)
    Cluster("shop", driver="sqlite3", policy=policy, local_threshold=0.015)
    Cluster("shop", driver="sqlite3", policy="nearest", local_threshold=0.1)
