"""How a session is found that has seen a bookmark, and how a position is taken: the generators, driven by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clustersql.core.causal.after import Causal, Served
from clustersql.core.causal.bookmark import Bookmark, Kind
from clustersql.core.causal.reading import Behind, Found, Search, reading
from clustersql.core.causal.route import Stay
from clustersql.core.causal.taking import taking
from clustersql.core.steps import Borrow, Consult, Return, See, Sleep, Tell
from clustersql.core.view.epoch import Switch
from clustersql.core.view.node import Epoch, Node, Reach, Role
from clustersql.core.view.view import Service, View, Want
from clustersql.dialects.postgresql.bookmarks import BOOKMARKS
from clustersql.errors import CausalityLost, NoNodeAvailable


@dataclass
class Session:
    """As much of a session as is asked for."""

    node: str
    opened: float = 0.0
    shared: bool = False


@dataclass
class World:
    """What the procedures ask of the outside, with a clock that only a wait moves."""

    nodes: tuple[Node, ...]
    places: dict[str, Callable[[float], int]]
    timeline: int = 1
    opened: float = 50.0
    shared: bool = False
    started: str = ""
    switches: tuple[Switch, ...] = ()
    refuses: str = ""
    now: float = 100.0

    def __post_init__(self) -> None:
        self.asked: list[str] = []
        self.borrowed: list[str] = []
        self.open: list[Session] = []
        self.told: list[Any] = []
        self.patience: list[float] = []

    @property
    def view(self) -> View:
        return View(self.nodes, epoch=Epoch("system identifier 1", self.timeline), switches=self.switches)

    def run(self, steps: Any) -> Any:
        """Drive to the end; each step of the outside takes no time, but for waiting."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self.perform(step)
                except NoNodeAvailable as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            return done.value

    def perform(self, step: Any) -> Any:
        match step:
            case See():
                return self.now, self.view
            case Borrow(want, seconds):
                self.patience.append(seconds)
                return self.borrow(want)
            case Consult(session, statements):
                return self.consult(session, statements)
            case Return(session):
                self.open.remove(session)
            case Sleep(seconds):
                self.now += seconds
            case Tell(seen):
                self.told.append(seen)
        return None

    def borrow(self, want: Want) -> Session:
        names = [name for name in self.view.serving(want) if name != self.refuses]
        if not names:
            raise NoNodeAvailable("none")
        self.borrowed.append(names[0])
        self.open.append(Session(names[0], self.opened, self.shared))
        return self.open[-1]

    def consult(self, session: Session, statements: tuple[str, ...]) -> Any:
        self.asked.append(session.node)
        if "pg_read_file" in statements[0]:
            self.open.remove(session)
            return PermissionError("permission denied for function pg_read_file")
        node = self.view.by_name[session.node]
        primary = node.role is Role.PRIMARY
        place = self.places[session.node](self.now)
        number = f"{self.timeline:08X}" if primary else None
        return [[(not primary, place, number, None if primary else self.timeline, "1", self.started or session.node)]]


def node(name: str, role: str, position: int, asked: float = 90.0) -> Node:
    epoch = Epoch("system identifier 1", 1 if role == "primary" else 0)
    return Node(
        name,
        0,
        Reach.UP,
        Role(role),
        position=position,
        asked=asked,
        epoch=epoch,
        identity=f"1 since {name}",
        timeline=1,
    )


NODES = (node("a", "primary", 100), node("b", "replica", 50))


def search(
    mark: int | None = 100, service: Service = Service.READ, stay: Stay | None = None, timeline: int = 1
) -> Search:
    bookmark = None if mark is None else Bookmark(Kind.LOG, "1", timeline, mark)
    return Search(Want(service, True, causal=Causal(bookmark)), bookmark, BOOKMARKS, 0.02, 101.0, stay)


def test_a_replica_that_is_known_is_not_asked() -> None:
    world = World((NODES[0], node("b", "replica", 100)), {})
    found = world.run(reading(search()))
    assert isinstance(found, Found)
    assert (found.how, found.session.node, found.identity, world.asked) == ("known", "b", "1 since b", [])


def test_a_session_that_is_newer_than_what_is_known_is_asked() -> None:
    """Its server may have been started anew since, and have gone back."""
    world = World((NODES[0], node("b", "replica", 100)), {"b": lambda now: 40, "a": lambda now: 100}, opened=95.0)
    found = world.run(reading(search()))
    assert (found.how, found.session.node) == ("primary", "a")
    assert world.asked[0] == "b"


def test_a_replica_that_is_there_soon_is_waited_for_and_the_view_is_told() -> None:
    world = World(NODES, {"b": lambda now: 100 if now > 100.002 else 60})
    found = world.run(reading(search()))
    assert (found.how, found.session.node, world.asked) == ("waited", "b", ["b"] * 3)
    assert [(seen.node, seen.position, seen.asked) for seen in world.told][-1] == ("b", 100, pytest.approx(100.003))


def test_a_replica_that_is_late_is_left_for_the_primary() -> None:
    world = World(NODES, {"b": lambda now: 60})
    found = world.run(reading(search()))
    assert (found.how, found.primary, found.session.node) == ("primary", True, "a")
    assert world.now == pytest.approx(100.02)
    assert len(world.asked) <= 8
    assert world.open == [found.session]


def test_who_wants_a_replica_waits_until_the_deadline_and_no_longer() -> None:
    world = World(NODES, {"b": lambda now: 60})
    found = world.run(reading(search(service=Service.REPLICA)))
    assert found == Behind({"b": "behind the bookmark (behind)"})
    assert 101.0 <= world.now < 101.05
    assert world.open == []


def test_without_a_primary_the_replicas_are_waited_for() -> None:
    world = World((NODES[1],), {"b": lambda now: 100 if now > 100.5 else 60})
    assert world.run(reading(search())).session.node == "b"


def test_a_position_beyond_the_primary_s_is_lost_by_its_own_fresh_answer() -> None:
    """What the last probe told of it is old: the primary has gone on since."""
    world = World(NODES[:1], {"a": lambda now: 300})
    assert world.run(reading(search(200))).session.node == "a"
    world = World(NODES[:1], {"a": lambda now: 199})
    with pytest.raises(CausalityLost, match="beyond the primary's"):
        world.run(reading(search(200)))
    assert world.open == []


@pytest.mark.parametrize("position", [100, 50], ids=["known", "to be asked"])
def test_a_replica_that_goes_in_this_moment_is_left_at_once(position: int) -> None:
    """Its session is waited for no longer than another node takes, and not until the deadline."""
    world = World((NODES[0], node("b", "replica", position)), {"a": lambda now: 100}, refuses="b")
    assert world.run(reading(search())).session.node == "a"
    assert world.patience == [0.25, 1.0]
    world = World((NODES[0], node("b", "replica", position)), {}, refuses="b")
    assert isinstance(world.run(reading(search(service=Service.REPLICA))), Behind)


def test_a_replica_behind_a_pooler_does_not_count() -> None:
    world = World((NODES[0], node("b", "replica", 100)), {"b": lambda now: 100, "a": lambda now: 100}, shared=True)
    assert world.run(reading(search())).session.node == "a"
    assert "b" not in world.asked


def test_a_replica_that_was_started_anew_since_the_last_read_is_left() -> None:
    world = World(NODES, {"b": lambda now: 100, "a": lambda now: 100}, started="anew")
    assert world.run(reading(search(stay=Stay("b", "1 since b")))).session.node == "a"


def test_an_unknown_switch_is_asked_of_the_primary_and_lost_where_that_is_refused() -> None:
    world = World(NODES[:1], {"a": lambda now: 300}, timeline=2)
    with pytest.raises(CausalityLost, match="cannot be shown to have survived"):
        world.run(reading(search()))
    assert world.asked == ["a", "a"]
    assert world.open == []


def test_nothing_written_asks_nobody() -> None:
    world = World(NODES, {})
    assert world.run(reading(search(None))).how == "known"
    assert world.asked == []


# -- taking ------------------------------------------------------------------------------------------------------------


def test_a_position_is_taken_of_the_server_that_has_served() -> None:
    world = World(NODES, {"a": lambda now: 120})
    mark = world.run(taking([Served("a", "1 since a")], None, BOOKMARKS, 101.0))
    assert mark == Bookmark(Kind.LOG, "1", 1, 120)
    assert world.open == []


@pytest.mark.parametrize(
    ("served", "world"),
    [
        (Served("a", "1 since before"), World(NODES, {"a": lambda now: 120})),
        (Served("a", "1 since a"), World(NODES, {"a": lambda now: 120}, started="anew")),
        (Served("z"), World(NODES, {})),
        (Served("a", "1 since a"), World(NODES, {}, refuses="a")),
    ],
    ids=["known to be another incarnation", "found to be another", "removed", "cannot be had"],
)
def test_whoever_cannot_be_asked_has_taken_the_proof_along(served: Served, world: World) -> None:
    with pytest.raises(CausalityLost, match=f"node '{served.node}'"):
        world.run(taking([served], None, BOOKMARKS, 101.0))


def test_what_was_written_before_a_failover_must_have_survived_it() -> None:
    mark = Bookmark(Kind.LOG, "1", 1, 90)
    for began, survived in ((90, True), (89, False), (None, False)):
        world = World(NODES, {"a": lambda now: 500}, timeline=2, switches=(Switch(2, began),))
        steps = taking([Served("a")], mark, BOOKMARKS, 101.0)
        if survived:
            assert world.run(steps) == Bookmark(Kind.LOG, "1", 2, 500)
        else:
            with pytest.raises(CausalityLost):
                world.run(steps)
