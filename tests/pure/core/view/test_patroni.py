"""What Patroni's answers say, whom they have asked at once, and who serves no reads; the other rules are scenarios."""

from __future__ import annotations

from typing import Any

import pytest
from support.patroni import member

from clustersql.core.steps import Fetch
from clustersql.core.view.endpoint import endpoint
from clustersql.core.view.hints import shunned, worth_asking
from clustersql.core.view.members import Discovery, Member, Members
from clustersql.core.view.node import Epoch, Readiness, Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.patroni import MOST, ask, cluster_of
from clustersql.core.view.view import Service, View, Want

ADDRESSES = {"p1": "10.0.0.1", "p2": "10.0.0.2"}


def told(leader: str = "p1", **tags: Any) -> Members:
    ones = [
        member(name, host, 5432, "leader" if name == leader else "replica", tags=tags if name == "p2" else {})
        for name, host in ADDRESSES.items()
    ]
    return cluster_of({"members": ones})


def report(role: Role) -> Report:
    return Report(role, epoch=Epoch("system identifier 7", 1))


@pytest.fixture
def view() -> View:
    """p1 is the primary and p2 its standby, by their own word; both are configured."""
    view = View(discovery=Discovery(port=5432))
    for name, host in ADDRESSES.items():
        role = Role.PRIMARY if name == "p1" else Role.REPLICA
        view = observe(view, Added(name, endpoint(f"{host}:5432")), 0.0)
        view = observe(view, Answered(name, report(role)), 0.0)
    return view


def hinted(view: View, before: Members | None, now: Members) -> list[str]:
    return list(worth_asking(observe(view, now, 1.0), before))


def test_an_answer_is_read() -> None:
    # A member that is being created has no address yet: it comes with the next answers.
    answer = {
        "members": [
            member("p2", "10.0.0.2", 5433, tags={"noloadbalance": True, "nofailover": True}),
            member("p1", "10.0.0.1", 5432, "leader", timeline=3),
            {"name": "p3", "role": "replica", "state": "creating replica", "api_url": "http://10.0.0.3:8008/patroni"},
        ],
        "pause": True,
        "scope": "shop",
    }
    assert cluster_of(answer) == Members(
        "Patroni",
        (
            Member("10.0.0.1", 5432, "p1", leads=True, state="leader, running, timeline 3"),
            Member("10.0.0.2", 5433, "p2", unread=True, state="replica, streaming, timeline 1"),
        ),
        outside=True,
        paused=True,
    )


def test_what_changes_with_every_commit_is_no_news() -> None:
    one, other = (cluster_of({"members": [member("p1", "db1", 5432, lag=lag, lsn=f"0/{lag}")]}) for lag in (1, 2))
    assert one == other


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "leader",
        {},
        {"members": {}},
        {"members": ["p1"]},
        {"members": [{"name": "p1"}]},
        {"members": [{"name": 1, "role": "leader"}]},
        {"members": [member("p1", "db1", 0)]},
        {"members": [member("p1", "db1", 65536)]},
        {"members": [member("p1", "db1", True)]},
        {"members": [member("p1", "db1", "5432")]},
        {"members": [member("p1", "db1,db2", 5432)]},
        {"members": [member("p1", "db1:1", 5432)]},
        {"members": [member("p1", "", 5432)]},
        {"members": [member("p1", 7, 5432)]},
        {"members": [member(f"p{i}", "db1", 5432) for i in range(MOST + 1)]},
    ],
    ids=lambda answer: str(answer)[:40],
)
def test_what_is_not_patroni_s_answer_is_told(answer: object) -> None:
    steps = ask(["http://db1:8008"])
    assert next(steps) == Fetch("http://db1:8008")
    with pytest.raises(StopIteration) as ended:
        steps.send(answer)
    place, members = ended.value.value
    assert place is None
    assert members.outside
    assert members.why.startswith("http://db1:8008: its answer is not Patroni's: ")


def test_the_next_place_is_asked_when_one_does_not_answer() -> None:
    steps = ask(["a", "b", "c"])
    assert next(steps) == Fetch("a")
    assert steps.throw(TimeoutError("timed out")) == Fetch("b")
    assert steps.send({"members": "lies"}) == Fetch("c")
    with pytest.raises(StopIteration) as ended:
        steps.send({"members": [member("p1", "db1", 5432, "leader")]})
    place, members = ended.value.value
    assert (place, [one.name for one in members.members]) == ("c", ["p1"])


def test_with_no_answer_it_is_told_why_of_each() -> None:
    steps = ask(["a", "b"])
    next(steps)
    steps.throw(ConnectionRefusedError(111, "Connection refused"))
    with pytest.raises(StopIteration) as ended:
        steps.throw(TimeoutError("timed out"))
    assert ended.value.value[1].why == "a: [Errno 111] Connection refused; b: timed out"


def test_a_role_change_that_it_has_seen_has_both_asked(view: View) -> None:
    assert hinted(view, told(), told("p2")) == ["p1", "p2"]
    assert hinted(view, told(), told()) == []
    assert hinted(view, told("p2"), told("p2")) == [], "once: what it goes on to say, nobody has to be asked again for"


def test_the_first_answer_has_those_asked_of_whom_it_says_otherwise(view: View) -> None:
    assert hinted(view, None, told()) == []
    assert hinted(view, None, told("p2")) == ["p1", "p2"]


def test_a_tag_has_its_node_asked(view: View) -> None:
    assert hinted(view, told(), told(noloadbalance=True)) == ["p2"]


def test_a_standby_that_shall_serve_no_reads_serves_none(view: View) -> None:
    view = observe(view, told(noloadbalance=True), 1.0)
    assert shunned(view, "p1", report(Role.PRIMARY)).readiness is Readiness.READY
    kept = shunned(view, "p2", report(Role.REPLICA))
    assert (kept.readiness, kept.role) == (Readiness.MAINTENANCE, Role.REPLICA)
    assert "noloadbalance" in kept.why
    # A primary serves whatever its tags are, and a standby that is not ready stays what it is.
    assert shunned(view, "p2", report(Role.PRIMARY)) == report(Role.PRIMARY)
    view = observe(view, Answered("p2", kept), 2.0)
    assert view.serving(Want(Service.READ)) == ("p1",)
    view = observe(view, told(), 3.0)
    assert shunned(view, "p2", report(Role.REPLICA)) == report(Role.REPLICA)
