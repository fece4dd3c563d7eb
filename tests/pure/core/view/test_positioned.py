"""What a replica tells a reader of where it is: a probe's answer could be a second old."""

from __future__ import annotations

import pytest

from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Positioned, Removed, SessionLost
from clustersql.core.view.observe import observe
from clustersql.core.view.view import View

POSITION = 300


def view_of(role: Role = Role.REPLICA) -> View:
    view = observe(View(), Added("a"), 1.0)
    return observe(view, Answered("a", Report(role, identity="first", position=100)), 2.0)


def told(view: View, identity: str = "first", reached: int = 0) -> View:
    return observe(view, Positioned("a", identity, POSITION, 3.0, reached), 4.0)


def test_it_is_where_it_says() -> None:
    node = told(view_of(), reached=7).by_name["a"]
    assert (node.position, node.asked, node.timeline) == (POSITION, 3.0, 7)


@pytest.mark.parametrize("identity", ["second", ""])
def test_another_incarnation_says_nothing_about_this_one(identity: str) -> None:
    """It may have been restored from a backup since, and have less."""
    view = view_of()
    assert told(view, identity).by_name["a"] == view.by_name["a"]


def test_one_that_was_promoted_or_is_gone_is_no_replica_that_is_there() -> None:
    promoted, gone = view_of(Role.PRIMARY), observe(view_of(), SessionLost("a", 0, "reset"), 3.5)
    for view in (promoted, gone):
        assert told(view).by_name["a"] == view.by_name["a"]


def test_a_node_that_was_removed_changes_nothing() -> None:
    view = observe(view_of(), Removed("a"), 3.5)
    assert told(view) == view
