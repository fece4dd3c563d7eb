"""The published view and the pools that are told of it."""

from __future__ import annotations

from typing import Any

from local.pool.conftest import Make
from support.waiting import eventually


def test_who_has_seen_a_node_go_is_not_given_it(make: Make) -> None:
    """The view is published first and the pools are told then: a checkout in between goes by the view."""
    cluster = make()
    db = cluster.open()
    listeners: list[Any] = cluster._topology.listeners
    given = []

    def before_the_pool_is_told(view: Any) -> None:
        if not view.by_name[idle].draining:
            return  # the answer of another node, that came before
        listeners.remove(before_the_pool_is_told)
        with db.connection() as conn:
            given.append(conn.node)

    with db.connection() as conn:
        idle = conn.node
    listeners.insert(0, before_the_pool_is_told)
    cluster.drain(idle)
    assert eventually(lambda: given)  # another thread that publishes at the same time may be the one who tells of it
    assert len(given) == 1
    assert given[0] != idle
