"""Whatever a signal handler, or the garbage collector, comes in the middle of: what only tells waits for nothing, and
`close` comes to an end.
"""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.interrupter import AtLine, Interrupter, ending

import clustersql
from clustersql import PoolClosed
from clustersql.sync.database import Database
from clustersql.sync.entangled import apart
from clustersql.telemetry.http import health


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    with ending():
        yield


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., clustersql.Cluster]]:
    made: list[clustersql.Cluster] = []

    def cluster(**knobs: Any) -> clustersql.Cluster:
        made.append(clustersql.Cluster(f"interrupted{len(made)}", driver="sqlite3", **knobs))
        made[-1].add_node("file", f"sqlite:///{tmp_path}/interrupted.db")
        return made[-1]

    yield cluster
    for one in made:
        one.close()


def work(cluster: clustersql.Cluster) -> None:
    """One of each, also with nothing idle, with a caller that must wait, and with news about the nodes."""
    db = cluster.open()
    db.execute("SELECT 1")
    with db.connection() as conn, db.connection() as other:
        conn.execute("SELECT 1")
        other.execute("SELECT 2")
    db.run(lambda conn: conn.execute("SELECT 3").fetchone())
    with pytest.raises(sqlite3.OperationalError):
        db.execute("SELEKT")
    with contextlib.closing(cluster.connect()) as outside:
        outside.execute("SELECT 4")
    cluster.drain("file")
    cluster.undrain("file")
    cluster.dial().close()


def tells(cluster: clustersql.Cluster, db: Database) -> dict[str, Any]:
    """Everything that only tells."""
    health({cluster.name: cluster})
    told = [repr(db), repr(db._pool), repr(cluster), cluster.nodes, cluster.view, db.closed]
    return db.stats() | {"described": cluster.snapshot().as_dict(), "metrics": cluster.metrics(), "told": told}


def test_what_only_tells_is_told_in_the_middle_of_anything(make: Callable[..., clustersql.Cluster]) -> None:
    cluster = make(max_size=2, min_idle=1)
    db = cluster.open()
    seen: list[dict[str, Any]] = []
    with Interrupter(lambda: seen.append(tells(cluster, db))) as interrupter:
        work(cluster)
        cluster.close()
    assert interrupter.raised == []
    assert len(seen) > 300
    assert {name for file, _ in interrupter.met for name in [Path(file).name]} >= {
        "pool.py",
        "queue.py",
        "threading.py",
    }
    for one in seen:
        assert 0 <= one["in_flight"] <= one["size"] + 1
        assert one["max_size"] == 2


def lines_of(cluster: clustersql.Cluster, body: Callable[[clustersql.Cluster], object]) -> int:
    """How many lines a signal can find ``body`` at."""
    with Interrupter(lambda: None) as interrupter:
        body(cluster)
    return len(interrupter.met)


CLOSINGS: list[Callable[[clustersql.Cluster], object]] = [
    lambda cluster: cluster.close(),
    lambda cluster: cluster._pool and cluster.open().close(),
    lambda cluster: clustersql.unregister(cluster.name),
    lambda cluster: cluster._pool and cluster.open().__exit__(),
]


def test_close_in_the_middle_of_anything(make: Callable[..., clustersql.Cluster]) -> None:
    """The call returns, what was interrupted goes on or is told that it is closed, and all connections are closed in
    the end.
    """

    def short(cluster: clustersql.Cluster) -> None:
        db = cluster.open()
        with db.connection() as conn:
            conn.execute("SELECT 1")

    lines = lines_of(make(), short)
    assert lines > 100
    for line in range(1, lines + 1, STEP):
        cluster = clustersql.register(make())
        closing = CLOSINGS[line // STEP % len(CLOSINGS)]
        interrupter = AtLine(lambda cluster=cluster, closing=closing: closing(cluster), line)
        with interrupter, contextlib.suppress(PoolClosed):
            short(cluster)
        assert interrupter.raised == []
        has_pool = interrupter.came and cluster._pool is not None
        clustersql.unregister(cluster.name)
        if has_pool:
            assert_closed(cluster)


STEP = 4
"""Every so many lines only, for each takes a cluster of its own; a number that the lines of a loop do not share."""


def assert_closed(cluster: clustersql.Cluster) -> None:
    pool: Any = cluster._pool
    deadline = time.monotonic() + 30
    while pool.stats()["size"] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (pool.closed, pool.stats()["size"], pool.stats()["in_flight"]) == (True, 0, 0)
    with pytest.raises(PoolClosed):
        pool.checkout(cluster._options.want(autocommit=False), 1.0)


def test_close_in_the_garbage_collector(make: Callable[..., clustersql.Cluster]) -> None:
    """It comes in whatever thread, in the middle of what holds the lock."""
    cluster = make()
    db = cluster.open()
    db.execute("SELECT 1")

    class Owner:
        def __init__(self) -> None:
            self.me = self  # so that only the collector finds it

        def __del__(self) -> None:
            db.stats()
            db.close()

    Owner()
    with db._pool._lock:
        collected(db._pool)
    deadline = time.monotonic() + 30
    while db.stats()["size"] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (db.closed, db.stats()["size"]) == (True, 0)


def collected(pool: Any) -> None:
    """Let the collector run as in one of our own functions, which the lock is held in."""
    exec("collect()", {"__name__": "clustersql.pool.base", "collect": gc.collect})


def test_outside_of_our_code_it_is_done_at_once(make: Callable[..., clustersql.Cluster]) -> None:
    """In this thread; also inside a function of ``run``, where it takes a moment more."""
    threads: list[int] = []
    apart(lambda: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]
    cluster = make()
    db = cluster.open()

    def closes(conn: Any) -> int:
        conn.execute("SELECT 1")
        db.close()
        return db.stats()["size"]

    assert db.run(closes) == 1
    assert (db.closed, db.stats()["size"]) == (True, 0)
