"""Why a node serves, in words: each thing that may speak against one, from the same values that the choice was made
of.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from clustersql.core.policies.choice import Candidate, candidates, sentence
from clustersql.core.policies.load import Load
from clustersql.core.policies.named import policy
from clustersql.core.policies.plan import chosen
from clustersql.core.view.freshness import Track, max_lag
from clustersql.core.view.node import Node, Origin, Reach, Readiness, Role
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)
PREFER = Want(Service.PREFER_REPLICA, read_only=True)
NOW = 100.0


def node(name: str, role: Role = Role.REPLICA, **fields: Any) -> Node:
    return Node(name, order=int(name[1:]), role=role, **({"reach": Reach.UP, "why": ""} | fields))


P1, R2, R3 = node("n1", Role.PRIMARY), node("n2"), node("n3")


def told(view: View, want: Want, taken: str, choice: str = "least-latency") -> dict[str, Candidate]:
    loads = {each.name: Load(each.name, each.order) for each in view}
    return {each.node: each for each in candidates(view, want, loads, policy(choice), NOW, taken, NOW)}


def why(view: View, want: Want, taken: str, choice: str = "least-latency") -> str:
    found = tuple(told(view, want, taken, choice).values())
    return sentence(view, want, found, policy(choice), NOW)


@pytest.mark.parametrize(
    ("other", "want", "against"),
    [
        (R2, Want(), "role: replica, and a primary is asked for"),
        (P1, Want(Service.REPLICA), "role: primary, and a replica is asked for"),
        (P1, PREFER, "role: primary, and a replica serves, which is preferred"),
        (replace(R2, reach=Reach.DOWN, why="refused"), READ, "reachability: down (refused)"),
        (replace(R2, role=Role.UNKNOWN), READ, "role: unknown"),
        (replace(R2, readiness=Readiness.JOINING), READ, "readiness: joining"),
        (replace(R2, outdated=True), READ, "epoch: outdated"),
        (replace(R2, draining=True), READ, "drain: draining"),
        (R2, replace(READ, max_lag=max_lag("2s")), "freshness: its lag is not known, and max_lag is 2 s"),
        (R2, replace(READ, node="n1"), "node='n1' was asked for"),
        (R2, replace(READ, among=frozenset({"n1"})), "causal: it was not seen to have what must have been seen"),
        (
            node("n2", Role.PRIMARY),
            Want(),
            "writer='single': n1 comes before it in the configured order",
        ),
    ],
)
def test_what_keeps_a_node_out_is_said(other: Node, want: Want, against: str) -> None:
    taken = "n1" if other is not P1 else "n3"
    found = told(View((P1, other) if other is not P1 else (P1, R3)), want, taken)
    assert found[other.name].against == (against,)
    assert (found[other.name].fits, found[taken].against) == (False, ())


def test_a_lag_is_told_in_seconds() -> None:
    track = Track("n1", ((80.0, 5), (99.0, 9)), 99.0)
    view = View((P1, replace(R2, position=5)), track=track)
    found = told(view, replace(READ, max_lag=max_lag(2)), "n1")
    assert found["n2"].against == ("freshness: up to 20.0 s behind, more than max_lag (2 s)",)


def test_a_node_that_refuses_connections_says_so_and_so_does_one_in_panic() -> None:
    tired = replace(P1, readiness=Readiness.MAINTENANCE, retry_at=NOW + 1)
    view = View((tired,))
    assert told(view, Want(), "n1")["n1"].against == ("readiness: maintenance",)
    assert "those that answer are tried" in why(view, Want(), "n1")
    assert told(View((replace(P1, retry_at=NOW + 1), R2)), Want(), "n1")["n1"].against == (
        "it refuses new connections until its next probe",
    )


def test_the_sentence() -> None:
    view = View((P1, R2, R3))
    assert why(view, Want(), "n1") == "a primary is asked for, and it is the only one that can serve"
    assert why(view, READ, "n2") == "any node is asked for, and the policy least-latency put it before n1, n3"
    assert why(view, replace(READ, node="n2"), "n2") == "it was asked for by its name"
    assert why(View((R2,)), Want(), "") == "a primary is asked for, and no node can serve now"
    assert why(View((P1,)), PREFER, "n1") == "preferably a replica is asked for, and it is the only one that can serve"
    assert told(view, READ, "n2")["n3"].against == ("the policy least-latency put it behind n2",)


def test_what_the_policy_leaves_out() -> None:
    view = View((replace(P1, priority=1), replace(R2, priority=2)))
    loads = {each.name: Load(each.name, each.order) for each in view}
    loads["n2"].priority = 2
    rule = policy("priority")
    first, second = candidates(view, READ, loads, rule, NOW, "n1", NOW)
    assert (first.fits, second.fits) == (True, False)
    assert second.against == ("the policy priority leaves it out while others can serve",)
    found = candidates(view, READ, loads, rule, NOW, "n2", NOW)
    assert sentence(view, READ, found, rule, NOW) == "it had a connection at hand, and n1 had none"


def test_a_reported_member_that_never_answered_is_no_candidate() -> None:
    assert set(told(View((P1, replace(R2, origin=Origin.REPORTED))), READ, "n1")) == {"n1"}


def test_who_fits_is_whom_the_choice_is_made_of() -> None:
    """Over random clusters the explanation and the choice agree on every node."""
    rng = random.Random(7)
    for _ in range(300):
        nodes = tuple(
            replace(
                node(f"n{i}", rng.choice(list(Role)), reach=rng.choice([Reach.UP, Reach.UP, Reach.DOWN])),
                readiness=rng.choice([Readiness.READY, Readiness.READY, Readiness.DONOR]),
                draining=rng.random() < 0.2,
                outdated=rng.random() < 0.1,
            )
            for i in range(1, 5)
        )
        view = View(nodes, writer=rng.choice(["single", "any"]))
        want = Want(rng.choice(list(Service)), node=rng.choice([None, None, "n2"]))
        loads = {each.name: Load(each.name, each.order) for each in view}
        rule = policy("least-latency")
        names = [load.name for load in chosen(view, want, loads, rule, NOW)]
        found = candidates(view, want, loads, rule, NOW, names[0] if names else "", NOW)
        assert [each.node for each in found if each.fits] == names
        assert all(each.against for each in found if not each.fits)
