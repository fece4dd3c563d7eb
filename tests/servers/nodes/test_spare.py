"""Who is in need, because of a failure or for want of a primary, gets the connection that was kept for probes, and need
not dial.
"""

from __future__ import annotations

from typing import Any

from support.stage import Stage
from support.waiting import eventually

LONG = 600.0
"""Seconds between probes, so that none is under way when the test looks: then its connection would be with it."""


def probed(stage: Stage, **knobs: Any) -> Any:
    """A database whose nodes have each been probed once; on_connect has seen the connections for that, too."""
    cluster = stage.make(probe_interval=LONG, **knobs)
    db = cluster.open()
    with db.connection(node="a") as conn:  # by its name: where the dial is slow, the other one is dialled beside it
        assert conn.node == "a"
    assert eventually(lambda: all(node.usable for node in cluster.view) and not stage.dials(cluster))
    return db


def test_after_a_loss_the_read_goes_on_where_a_connection_was_kept(stage: Stage) -> None:
    db = probed(stage)
    before = list(stage.raws)
    with db.connection() as conn:
        lost = stage.raw(conn)
        stage.cut(stage.key_bytes, before=True)
        assert stage.read(conn) == []
        assert conn.node == "b"
        assert stage.raw(conn) is not lost
        assert any(stage.raw(conn) is raw for raw in before), "it was dialled"
    assert eventually(lambda: len(stage.raws) > len(before)), "nobody has dialled another one for probes"


def test_a_writer_that_waited_gets_the_connection_that_told_of_the_primary(stage: Stage) -> None:
    """Of one node only: another that is asked first would have its own dialled anew meanwhile."""
    db = probed(stage)
    stage.clusters[-1].remove_node("b")
    before = list(stage.raws)
    with stage.read_only_for(0.5), db.connection() as conn:
        refused = stage.raw(conn)
        stage.insert(conn)
        conn.commit()
        assert stage.raw(conn) is not refused
        assert any(stage.raw(conn) is raw for raw in before), "it was dialled"
    assert stage.count() == 1


def test_who_is_not_in_need_leaves_it_alone(stage: Stage) -> None:
    """A pool that grows dials: else a node that hangs meanwhile would be found out later."""
    db = probed(stage)
    before = list(stage.raws)
    with db.connection() as first, db.connection() as second:
        raws = [stage.raw(conn) for conn in (first, second)]
        assert sum(any(raw is old for old in before) for raw in raws) == 1, "the idle one, and one that was dialled"
