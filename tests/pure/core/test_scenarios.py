"""The scenario files under tests/pure/scenarios: what was seen and when, and what must follow.  One loader per kind."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clustersql.core.booking.book import Book
from clustersql.core.booking.owing import outstayed
from clustersql.core.booking.shelf import Actions, Session, Waiter
from clustersql.core.faults import Facts, Fault
from clustersql.core.policies.load import Load
from clustersql.core.policies.named import policy
from clustersql.core.policies.plan import plan
from clustersql.core.recovery.aftermath import TIMED_OUT, aftermath
from clustersql.core.recovery.recover import Lost
from clustersql.core.recovery.transaction import NOTHING_OPEN
from clustersql.core.recovery.verdict import Phase, Situation, Standing, Verdict, rerunnable, verdict
from clustersql.core.statements.traits import traits
from clustersql.core.steps import Served
from clustersql.core.view.cadence import Breaker, probe_due
from clustersql.core.view.discovery import complaints, reported
from clustersql.core.view.endpoint import endpoint
from clustersql.core.view.freshness import KEEP, Track, max_lag
from clustersql.core.view.members import Discovery, Member, Members
from clustersql.core.view.node import Epoch, Node, Reach, Readiness, Report, Role
from clustersql.core.view.observations import (
    Added,
    Answered,
    Draining,
    Missed,
    Observation,
    Refused,
    Removed,
    Resolved,
    SessionLost,
    Silent,
    Unreachable,
)
from clustersql.core.view.observe import observe
from clustersql.core.view.obstacles import behind, obstacles
from clustersql.core.view.patroni import cluster_of
from clustersql.core.view.position import Position
from clustersql.core.view.view import SLOW_START, Service, View, Want
from clustersql.dialects import by_name
from clustersql.dialects.mysql.gtids import gtid_set

FOLDER = Path(__file__).parents[1] / "scenarios"


def cases(kind: str, file: str = "*") -> list[Any]:
    found = []
    for path in sorted((FOLDER / kind).glob(f"{file}.json")):
        told = json.loads(path.read_text("utf-8"))
        for i, case in enumerate(told.get("cases", [told])):
            what = case.get("what", i) if isinstance(case, dict) else i
            found.append(pytest.param(case, id=f"{path.stem}-{what}"))
    assert found
    return found


def position(told: int | str | None) -> Position | None:
    """A number, or MySQL's set of transactions."""
    return gtid_set(told) if isinstance(told, str) else told


def observation(kind: str, node: str, *more: Any) -> Observation:
    match kind:
        case "answered":
            role, readiness, why, flags = (*more, *("ready", "", {})[len(more) - 1 :])
            dialled, complete = flags.get("dialled", True), flags.get("complete", True)
            epoch = Epoch(*flags["epoch"]) if "epoch" in flags else None
            told = {
                "complete": complete,
                "position": position(flags.get("position")),
                "epoch": epoch,
                "asked": flags.get("asked"),
                "timeline": flags.get("timeline", 0),
                "following": flags.get("following", 0),
                "forked_at": flags.get("forked_at"),
                "server": flags.get("server", ""),
            }
            report = Report(Role(role), Readiness(readiness), why, identity=flags.get("identity", ""), **told)
            return Answered(node, report, dialled, flags.get("peer", ""))
        case "unreachable":
            return Unreachable(node, Fault(more[0]), *more[1:])
        case "missed":
            return Missed(node)
        case "silent":
            return Silent(node, *more)
        case "session_lost":
            return SessionLost(node, *more)
        case "refused":
            return Refused(node, more[0], Fault(more[1]), *more[2:])
        case "draining":
            return Draining(node, *more)
        case "members":
            return Members(node, tuple(Member(*member) for member in more[0]), **dict(*more[1:]))
        case "patroni":
            return cluster_of({"members": more[0], **more[1]}) if more[0] else Members(node, outside=True, **more[1])
        case "resolved":
            return Resolved(node, frozenset(more))
        case "added":
            return Added(node, *map(endpoint, more))
    return {"removed": Removed}[kind](node)


@pytest.mark.parametrize("case", cases("observe"))
def test_reducer(case: dict[str, Any]) -> None:
    view = View()
    for phase in case["phases"]:
        before, expect = view, dict(phase["expect"])
        for _ in range(phase.get("repeat", 1)):
            view = observe(view, observation(*phase["see"]), phase["at"])
        assert (view is before) is expect.pop("unchanged", False), phase
        assert view.version >= before.version
        node = view.by_name.get("a")
        if expect.pop("gone", False):
            assert node is None, phase
            continue
        expect.pop("hopeless", None)
        told = [[o.axis, o.value, o.since, o.why] for o in obstacles(view, node, None, phase["at"])] if node else []
        assert told == expect.pop("kept_out", told), phase
        assert node is not None
        if "hopeless" in phase["expect"]:
            assert view.hopeless(Want()) is phase["expect"]["hopeless"]
        seen = {key: getattr(getattr(node, key), "value", getattr(node, key)) for key in expect}
        assert seen == expect, phase


@pytest.mark.parametrize("case", cases("breaker", "delays"))
def test_breaker_delay(case: list[float]) -> None:
    failures, jitter, seconds = case
    assert Breaker().delay(int(failures), jitter) == pytest.approx(seconds)


@pytest.mark.parametrize("case", cases("breaker", "probe_due"))
def test_probe_due(case: dict[str, Any]) -> None:
    readiness = Readiness(case.get("readiness", "ready"))
    node = Node("a", 0, Reach(case["reach"]), readiness=readiness, retry_at=case.get("retry_at", 0.0))
    if "epoch" in case:
        node = replace(node, outdated=True, since=case["outdated_since"], epoch=Epoch(*case["epoch"]))
    due = probe_due(node, case["now"], case["last"], 1.0, case.get("waited"), 0.1)
    assert due == pytest.approx(case["due"])


@pytest.mark.parametrize("case", cases("freshness"))
def test_freshness(case: dict[str, Any]) -> None:
    view = View()
    for phase in case["phases"]:
        before, expect = view, dict(phase.get("expect", {}))
        for seen in phase.get("see", []):
            view = observe(view, observation(*seen), phase["at"])
        now = phase["at"]
        assert (view.version != before.version) is expect.get("news", view.version != before.version), phase
        for bound, names in expect.get("serving", {}).items():
            want = Want(Service.READ, max_lag=max_lag(bound if bound.endswith("B") else float(bound)))
            assert list(view.serving(want, now)) == names, (phase, bound)
        for name, lag in expect.get("lag", {}).items():
            found = view.lag(view.by_name[name], now)
            assert found == (None if lag is None else pytest.approx(lag)), (phase, name)
        for name, words in expect.get("behind", {}).items():
            assert behind(view, view.by_name[name], max_lag(expect["bound"]), now) == words, phase


@pytest.mark.parametrize("case", cases("epoch"))
def test_epoch(case: dict[str, Any]) -> None:
    view = View(writer="any")
    for phase in case["phases"]:
        for seen in phase["see"]:
            view = observe(view, observation(*seen), phase["at"])
        told = {
            "write": list(view.eligible(Want())),
            "read": list(view.eligible(Want(Service.READ))),
            "dialable": list(view.dialable(Want(Service.READ))),
            "outdated": {n.name: o.why for n in view for o in obstacles(view, n, None, 0.0) if o.axis == "epoch"},
            "generations": [n.generation for n in view],
        }
        expect = phase["expect"]
        assert {key: told[key] for key in expect} == expect, phase


@pytest.mark.parametrize("case", cases("servers"))
def test_servers_behind_an_address(case: dict[str, Any]) -> None:
    view = View(writer=case.get("writer", "any"))
    for phase in case["phases"]:
        for seen in phase["see"]:
            view = observe(view, observation(*seen), phase["at"])
        told = {
            "servers": {node.name: node.server for node in view},
            "write": list(view.serving(Want())),
            "read": list(view.serving(Want(Service.READ))),
            "node_rw": list(view.serving(Want(Service.READ, node="rw"))),
            "fresh": list(view.serving(Want(Service.READ, max_lag=max_lag(0.5)), phase["at"])),
            "reach": {node.name: node.reach.value for node in view},
            "outdated": [node.name for node in view if node.outdated],
            "generations": [node.generation for node in view],
        }
        assert {key: told[key] for key in phase["expect"]} == phase["expect"], phase


@pytest.mark.parametrize("case", cases("discovery"))
def test_discovery(case: dict[str, Any]) -> None:
    address_map = {key: endpoint(to) for key, to in case.get("address_map", {}).items()}
    view = View(discovery=Discovery(address_map, case.get("forget_after", 60.0), 5432))
    for phase in case["phases"]:
        before = view
        for seen in phase.get("see", []):
            view = observe(view, observation(*seen), phase["at"])
        told = {
            "nodes": {node.name: node.origin.value for node in view},
            "write": list(view.serving(Want())),
            "read": list(view.serving(Want(Service.READ))),
            "dialable": list(view.dialable(Want(Service.READ))),
            "complaints": list(complaints(view)),
            "at": sorted(str(one.at) for one in reported(view)),
            "unchanged": view is before,
            "news": view.version != before.version,
        }
        expect = phase.get("expect", {})
        assert {key: told[key] for key in expect} == expect, phase
        assert [node.order for node in view] == sorted(node.order for node in view)


def test_a_long_track_is_thinned_and_never_flatters() -> None:
    track = Track()
    for second in range(1000):
        track = track.seen("a", second * 10, float(second), float(second))
        assert len(track.samples) <= KEEP
    for position in (0, 5, 3333, 9000, 9990, 12000):
        reached = track.reached(position)
        assert reached is not None
        assert reached <= min(position / 10, 999.0)
    assert track.reached(9990) == 999.0


def node_of(order: int, text: str) -> Node:
    name, reach, role, readiness, *flags = text.split(":")
    numbers = {key: float(number) for key, _, number in (flag.partition("=") for flag in flags) if number}
    slow = numbers.get("slow", 99.0 if "slow" in flags else None)
    return Node(
        name,
        order,
        Reach(reach),
        Role(role),
        Readiness(readiness),
        retry_at=numbers.get("retry_at", 0.0),
        slow_since=slow,
        draining="draining" in flags,
        weight=numbers.get("weight", 1.0),
        priority=int(numbers.get("priority", 1)),
    )


@pytest.mark.parametrize("case", cases("plan"))
def test_plan(case: dict[str, Any]) -> None:
    view = View(tuple(node_of(i, text) for i, text in enumerate(case["nodes"])), case.get("writer", "single"))
    asked = case.get("want", {})
    want = Want(Service(asked.get("service", "primary")), node=asked.get("node"))
    loads = {node.name: Load(node.name, node.order) for node in view}
    for node in view:
        loads[node.name].slow_since = node.slow_since  # as the pool's shelves do
        loads[node.name].weight, loads[node.name].priority = node.weight, node.priority
    chosen = policy(case.get("policy", lambda loads, now, random: loads))
    assert list(view.serving(want)) == case["serving"]
    slow_start = case.get("slow_start", SLOW_START)
    names = plan(view, want, loads, chosen, 100.0, lambda: 0.999, slow_start, case.get("avoid"))
    assert list(names) == case["plan"]


def facts_of(told: dict[str, Any]) -> Facts:
    return Facts(**{**told, "fault": Fault(told["fault"])})


COLUMNS = {
    "read": {"proven": True},
    "write": {},
    "first": {"transaction": Standing.FIRST},
    "later": {"transaction": Standing.LATER},
    "commit": {"transaction": Standing.LATER, "phase": Phase.COMMIT},
}


@pytest.mark.parametrize("case", cases("verdict", "table"))
def test_verdict(case: dict[str, Any]) -> None:
    told = {k: Phase(v) if k == "phase" else v for k, v in case["situation"].items()}
    expect = {column: name for column, name in case["expect"].items() if name is not None}
    seen = {c: verdict(Situation(facts_of(case["facts"]), **{**told, **COLUMNS[c]})).name for c in expect}  # type: ignore[arg-type]
    assert seen == expect


@pytest.mark.parametrize("case", cases("verdict", "rerunnable"))
def test_rerunnable(case: dict[str, Any]) -> None:
    assert rerunnable(facts_of(case["facts"]), case["at_commit"], case["may_commit"]) is case["rerun"]


@pytest.mark.parametrize("case", cases("aftermath"))
def test_aftermath(case: dict[str, Any]) -> None:
    """``left``: the fields that say yes; all others say no."""
    kinds: dict[str, Any] = {"transaction": lambda name: Standing[name], "phase": Phase}
    told = {key: kinds.get(key, bool)(value) for key, value in case["situation"].items()}
    lost = Lost(
        Verdict[case["verdict"]],
        RuntimeError("boom"),
        Situation(facts_of(case["facts"]), **told),
        "b",
        case.get("note", ""),
    )
    known = [
        case.get(name, default)
        for name, default in (("held", True), ("refused", False), ("in_run", False), ("open", False))
    ]
    after = aftermath(lost, *known)
    flags = {one.name for one in fields(after)} - {"verdict", "words", "notes"}
    assert sorted(name for name in flags if getattr(after, name)) == sorted(case["left"])
    assert (after.verdict, after.words) == (lost.verdict, case.get("says", ""))
    assert after.notes == tuple(
        note for note in (case.get("note"), TIMED_OUT if told.get("timed_out") else None) if note
    )


@pytest.mark.parametrize("case", cases("transaction"))
def test_transaction(case: dict[str, Any]) -> None:
    """``open``: the fields that say yes; all others say no."""
    rules, now = by_name("mysql").rules, NOTHING_OPEN
    for text, standing in case["done"]:
        now = now.noted(traits(text, rules), Standing[standing])
        if not case.get("sent"):
            inside = Standing.LATER if now.explicit else Standing[standing]
            now = now.happened(traits(text, rules), inside)
    match case.get("error"):
        case "unmanaged":
            now = now.unmanaged()
        case str(how):
            now = now.ended_by(RuntimeError("boom"), how == "undone")
    for text, standing in case.get("then", []):
        now = now.noted(traits(text, rules), Standing[standing])
    assert sorted(one.name for one in fields(now) if getattr(now, one.name)) == sorted(case["open"])


@pytest.mark.parametrize("case", cases("latency"))
def test_latency(case: dict[str, Any]) -> None:
    load = Load("a")
    for kind, *numbers in case["steps"]:
        {"sample": load.sample, "penalty": load.penalize, "guess": load.guess, "touch": load.touch}[kind](*numbers)
    load.owing = SimpleNamespace(started=case.get("oldest", 0.0), ended=case.get("ended", 0.0))
    load.in_flight = case.get("in_flight", 0)
    if "ewma" in case:
        assert load.ewma == pytest.approx(case["ewma"])
    if "score" in case:
        assert load.score(case["now"]) == pytest.approx(case["score"])


@pytest.mark.parametrize("case", cases("pool"))
def test_pool(case: dict[str, Any]) -> None:
    view = observe(observe(View(), Added("a"), 0.0), Answered("a", Report(Role.PRIMARY)), 0.0)
    book = Book(2, 1, policy("random"), lambda: 0.5)
    book.adopt(view)
    waiters: dict[str | None, Waiter | None] = {None: None}
    sessions: dict[str, Session] = {}
    for step in case["steps"]:
        act, *names = step["do"]
        actions, begun, given = Actions(), None, None
        match act:
            case "enqueue":
                book.enqueue(waiters.setdefault(names[0], Waiter(Want(), *names[1:])))  # type: ignore[arg-type]
            case "dial":
                begun, actions = book.begin_dial("a", waiters[names[0]])
            case "dialled":
                shelf = book.shelves["a"]
                session = sessions[names[1]] = Session(names[1], shelf, shelf.generation)
                actions = book.dialled(session, 0.01, 1.0, waiters[names[0]])
            case "dial_failed":
                actions = book.dial_failed(book.shelves["a"], OSError(), 1.0, waiters[names[0]])
            case "give_back":
                actions = book.give_back(sessions[names[0]], 2.0) or Actions()
            case "withdraw":
                given, actions = book.withdraw(waiters[names[0]])  # type: ignore[arg-type]
            case "session_lost":
                view = observe(view, SessionLost("a", view.by_name["a"].generation), 3.0)
                actions = book.adopt(view)
            case "answered":
                view = observe(view, Answered("a", Report(Role(names[0]))), 4.0)
                actions = book.adopt(view)
            case "draining":
                view = observe(view, Draining("a", True, names[0]), 3.0)
                actions = book.adopt(view)
            case "outstayed":
                late, due = outstayed(book.shelves.values(), names[0])
                seen_late = {"ended": [s.raw for s in late], "due": due if due < float("inf") else None}
                assert {key: seen_late[key] for key in step if key != "do"} == {
                    k: v for k, v in step.items() if k != "do"
                }
                continue
            case "reap":
                actions = book.reap(700.0, names[0])
            case "close":
                actions = book.close()
        name_of = {waiter: name for name, waiter in waiters.items()}
        served = {name_of[w]: e.session.raw for w in actions.wake for e in w.events if isinstance(e, Served)}
        seen = {
            "begun": begun,
            "spare": actions.spare,
            "woken": [name_of[w] for w in dict.fromkeys(actions.wake)],
            "closed": [s.raw for s in actions.close],
            "served": served,
            "given": given.raw if given else None,
            "total": book.total,
            "idle": book.idle,
        }
        expect = {key: value for key, value in step.items() if key != "do"}
        assert {key: seen[key] for key in expect} == expect, step
