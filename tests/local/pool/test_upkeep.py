"""What the monitor does for a pool stands around it, and lives as long as it: no longer, and no shorter."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from local.pool.conftest import Make
from support.fake import fake_cluster
from support.waiting import eventually

from clustersql import Cluster
from clustersql.core.faults import Fault
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Unreachable
from clustersql.core.view.probe import Probe
from clustersql.sync.monitor import monitor


def is_watched(upkeep: Any) -> bool:
    return any(each is upkeep for each in monitor()._watched)


def test_the_monitor_goes_round_a_pool_that_is_open_and_no_closed_one(make_sync: Make) -> None:
    """It holds the upkeep weakly: the pool must, or nobody would probe from the first collection of garbage on."""
    cluster = make_sync()
    db = cluster.open()
    gc.collect()
    upkeep = db._pool._upkeep
    assert is_watched(upkeep)
    assert f"{db._pool!r}" in repr(upkeep)
    db.close()
    assert not is_watched(upkeep)


def test_a_node_that_no_statement_has_gone_to_does_not_wait_until_its_connect_has_faded(make: Make) -> None:
    """It was a minute here: the connect took 6.5 ms, a statement some microseconds."""
    with make().open() as db:
        for _ in range(3):
            with db.connection(node="a") as conn:
                conn.execute("SELECT 1")
        with db.connection(node="c"):
            pass
        asked, cold = (db._pool._book.shelves[name] for name in "ac")
        asked.connect = cold.connect = 0.0065
        cold.guess(0.0065, time.monotonic())
        assert eventually(lambda: cold.expected(now := time.monotonic()) <= asked.expected(now) * 1.01)


def forget(cluster: Cluster) -> weakref.ref[Any]:
    """Open a pool of threads, and drop the last reference to it and to its cluster."""
    return weakref.ref(cluster.open()._pool._upkeep)


def gone(upkeep: weakref.ref[Any]) -> bool:
    gc.collect()
    return upkeep() is None


def test_a_forgotten_pool_is_not_kept_alive_by_its_upkeep(tmp_path: Path) -> None:
    cluster = Cluster("forgotten", driver="sqlite3")
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    upkeep = forget(cluster)
    del cluster
    assert eventually(lambda: gone(upkeep))


def test_a_loop_that_ends_without_a_word_takes_the_upkeep_along() -> None:
    async def main() -> weakref.ref[Any]:
        cluster, _ = fake_cluster("a")
        pool = cluster.aopen()._pool()
        assert list(pool.monitor._watched) == [pool._upkeep]
        return weakref.ref(pool._upkeep)

    with pytest.warns(ResourceWarning, match="the event loop ended while the database of cluster"):
        upkeep = asyncio.run(main())
    assert eventually(lambda: gone(upkeep))


def test_what_was_let_in_before_the_node_refused_does_not_stay_open(make_sync: Make) -> None:
    """At a smart shutdown: its answer comes late, and changes nothing; the server would wait for it to be closed."""

    class Ended:
        name, seconds = "a", 0.01

    db = make_sync(nodes="a", probe_interval=60.0).open()
    db.execute("SELECT 1")
    pool: Any = db._pool
    report = Report(Role.PRIMARY, asked=time.monotonic())
    pool.topology.tell(Unreachable("a", Fault.NOT_READY, "the database system is shutting down"))
    shelf = pool._book.shelves["a"]
    shelf.dials += 1
    pool._book.total += 1
    raw = sqlite3.connect(":memory:", check_same_thread=False)
    actions = pool._answered(Ended(), Probe(raw, report), shelf, None, None)
    assert [session.raw for session in actions.close] == [raw]
    assert shelf.idle == []
    pool._act(actions)
