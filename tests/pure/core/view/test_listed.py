"""The configuration is read again: what is believed of the nodes that came, went, moved, or stand elsewhere in it."""

from __future__ import annotations

from dataclasses import replace

from clustersql.core.view.endpoint import HostPort
from clustersql.core.view.node import Origin, Reach, Report, Role
from clustersql.core.view.observations import Added, Answered, Draining, Listed
from clustersql.core.view.observe import observe
from clustersql.core.view.view import View


def listed(*names: str) -> tuple[Added, ...]:
    return tuple(Added(name, HostPort(name, 5432)) for name in names)


def three() -> View:
    view = View()
    for name, role in (("a", Role.PRIMARY), ("b", Role.REPLICA), ("c", Role.REPLICA)):
        view = observe(view, Added(name, HostPort(name, 5432)), 1.0)
        view = observe(view, Answered(name, Report(role, server=f"server-{name}", asked=2.0), peer=f"{name}:5432"), 2.0)
    return view


def names(view: View) -> list[str]:
    assert [node.order for node in view] == list(range(len(view.nodes)))
    return [node.name for node in view]


def test_the_order_of_the_file_is_that_of_the_view() -> None:
    before = three()
    view = observe(before, Listed(listed("c", "a", "b")), 3.0)
    assert names(view) == ["c", "a", "b"]
    assert view.by_name["a"] == replace(before.by_name["a"], order=1), "nothing else of it is another"
    assert view.version > before.version


def test_what_the_file_does_not_name_follows_and_stays() -> None:
    view = observe(three(), Listed(listed("c", "d"), gone=frozenset({"a"})), 3.0)
    assert names(view) == ["c", "d", "b"]
    assert (view.by_name["d"].reach, view.by_name["b"].reach) == (Reach.UNKNOWN, Reach.UP)


def test_of_a_node_that_has_moved_nothing_is_known() -> None:
    before = observe(three(), Draining("b"), 2.5)
    view = observe(before, Listed((Added("a", HostPort("x", 1)), *listed("b", "c")), moved=frozenset({"a", "b"})), 3.0)
    old, new, drained = before.by_name["a"], view.by_name["a"], view.by_name["b"]
    assert (new.reach, new.role, new.server, new.endpoint) == (Reach.UNKNOWN, Role.UNKNOWN, "", HostPort("x", 1))
    assert new.generation > old.generation, "its connections lead to another place"
    assert drained.draining, "that was the operator's word, of whatever is there"


def test_an_answer_that_was_asked_for_before_it_moved_says_nothing_of_it() -> None:
    view = observe(three(), Listed(listed("a", "b", "c"), moved=frozenset({"a"})), 3.0)
    assert observe(view, Answered("a", Report(Role.PRIMARY, server="server-a", asked=2.9)), 3.1) is view
    after = observe(view, Answered("a", Report(Role.REPLICA, server="server-x", asked=3.0)), 3.1)
    assert (names(after), after.by_name["a"].server) == (["a", "b", "c"], "server-x")


def test_a_node_that_is_dialled_otherwise_is_what_it_was_and_its_connections_are_replaced() -> None:
    before = three()
    view = observe(before, Listed(listed("a", "b", "c"), altered=frozenset({"a"})), 3.0)
    old, new = before.by_name["a"], view.by_name["a"]
    assert (new.reach, new.role, new.server) == (old.reach, old.role, old.server)
    assert (new.generation, new.peers) == (old.generation + 1, frozenset())


def test_another_weight_or_zone_leaves_its_connections_alone() -> None:
    before = three()
    view = observe(before, Listed((Added("a", HostPort("a", 5432), 3.0, 2, "eu-1a"), *listed("b", "c"))), 3.0)
    assert view.by_name["a"] == replace(before.by_name["a"], weight=3.0, priority=2, zone="eu-1a")


def test_the_servers_behind_an_address_stand_where_it_stands_and_go_when_it_moves() -> None:
    seen = Answered("a", Report(Role.REPLICA, server="other", identity="o", asked=2.0), peer="a:5432")
    before = observe(three(), seen, 2.0)
    assert before.by_name["a/other"].origin is Origin.BEHIND
    view = observe(before, Listed(listed("b", "c", "a"), altered=frozenset({"a"})), 3.0)
    assert [node.name for node in view] == ["b", "c", "a", "a/other"]
    assert view.by_name["a/other"].generation > before.by_name["a/other"].generation
    view = observe(before, Listed(listed("b", "c", "a"), moved=frozenset({"a"})), 3.0)
    assert names(view) == ["b", "c", "a"]
