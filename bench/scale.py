"""What many nodes and many clusters cost, and the memory of a connection and of a node."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import clustersql
from clustersql.core.booking.shelf import Shelf
from clustersql.core.policies.named import NAMED
from clustersql.testing import PostgresCluster

from .measure import Cpu, Group, Row, rounds, row, timer
from .peers import checkout

COUNTS = (1, 10, 100, 1000)


def run(quick: bool) -> Iterator[Group]:
    """Yield the tables."""
    yield _choice(quick)
    yield _nodes(quick)
    yield _memory()
    yield _one_cluster(quick)
    yield _clusters()


# -- many nodes --------------------------------------------------------------------------------------------------------


def _choice(quick: bool) -> Group:
    """The policy alone, over loads that differ."""
    timers = {}
    for count in (3, 9, 100, 1000):
        loads = tuple(_load_of(i) for i in range(count))
        for name in ("least-latency", "nearest", "weighted", "priority", "least-connections", "round-robin", "random"):
            timers[f"{count} nodes: {name}"] = timer(_pick(NAMED[name](), loads), Cpu())
    times = rounds(timers, 5 if quick else 31, 0.004)
    return Group("Choice of a node", "us", [row(name, values) for name, values in times.items()])


def _load_of(i: int) -> Shelf:
    shelf = Shelf(f"node{i}", i)
    shelf.sample(0.001 * (1 + random.random()), 1.0)
    shelf.in_flight = random.randrange(4)
    return shelf


def _pick(policy: Any, loads: tuple[Shelf, ...]) -> Callable[[], object]:
    return lambda: policy.pick(loads, 2.0, random.random)


def _nodes(quick: bool) -> Group:
    """A checkout and return with so many nodes that may serve it, each with an idle connection."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        timers = {}
        for count in COUNTS:
            db = stack.enter_context(_sqlite(folder, count, max_size=count + 10).open())
            held = [db.connection() for _ in range(count)]
            for connection in held:
                connection.close()
            timers[f"{count} nodes: with db.connection(): pass"] = timer(checkout(db.connection), Cpu())
        times = rounds(timers, 5 if quick else 31, 0.01)
        return Group("Checkout and return, sqlite3", "us", [row(name, values) for name, values in times.items()])


def _sqlite(folder: str, count: int, name: str = "bench", **knobs: Any) -> clustersql.Cluster:
    cluster = clustersql.Cluster(name, driver="sqlite3", read_only=True, **knobs)
    for i in range(count):
        cluster.add_node(f"node{i}", f"sqlite:///{Path(folder) / 'bench.db'}")
    return cluster


# -- memory ------------------------------------------------------------------------------------------------------------


def _memory() -> Group:
    """What Python allocates, by tracemalloc; the driver's own connection is the base."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        raw = _allocated(lambda: [sqlite3.connect(path) for _ in range(200)], 200)
        pooled = _allocated(lambda: _held(folder, 200), 200)
        nodes = _allocated(lambda: _sqlite(folder, 1000), 1000)
        watched = _allocated(lambda: _watched(folder, 200), 200)
    with PostgresCluster(1) as servers:
        session = _allocated(lambda: _psycopg(servers, 50), 50)
        ours = _allocated(lambda: _pooled(servers, 50), 50)
    measured = {
        "a connection: sqlite3": raw,
        "a connection in use: clustersql, sqlite3, all of it": pooled,
        "a connection: psycopg": session,
        "a connection, pooled and idle: clustersql, psycopg, all of it": ours,
        "a node: clustersql": nodes,
        "a node that is watched, with the sqlite3 connection it is asked on: clustersql": watched,
    }
    return Group("Memory that Python allocates", "bytes", [Row(name, n, n, n) for name, n in measured.items()])


def _psycopg(servers: PostgresCluster, count: int) -> Any:
    import psycopg

    return [psycopg.connect(servers.dsn("n1")) for _ in range(count)]


def _pooled(servers: PostgresCluster, count: int) -> Any:
    cluster = clustersql.Cluster("bench", driver="psycopg", max_size=count)
    cluster.add_node("n1", servers.dsn("n1"))
    db = cluster.open()
    held = [db.connection() for _ in range(count)]
    for connection in held:
        connection.close()
    return db, []


def _watched(folder: str, count: int) -> Any:
    """Return a database that has asked every one of its nodes."""
    cluster = _sqlite(folder, count)
    db = cluster.open()
    while any(node["role"] == "unknown" for node in cluster.snapshot().as_dict()["nodes"]):
        time.sleep(0.05)
    return db, []


def _held(folder: str, count: int) -> Any:
    db = _sqlite(folder, 1, max_size=count).open()
    return db, [db.connection() for _ in range(count)]


def _allocated(make: Callable[[], Any], count: int) -> float:
    make_first = make()  # imports, caches
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = make()
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for each in (make_first, made):
        _close(each)
    return size / count


def _close(made: Any) -> None:
    if isinstance(made, list):
        for connection in made:
            connection.close()
    elif isinstance(made, tuple):
        _close(made[1])
        made[0].close()


# -- a process ---------------------------------------------------------------------------------------------------------


def _one_cluster(quick: bool) -> Group:
    """One cluster of so many nodes, opened, used once, and left alone."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            with ExitStack() as stack:
                began = time.perf_counter()
                stack.enter_context(_sqlite(folder, count).open()).execute("SELECT 1")
                first = (time.perf_counter() - began) * 1e3
                rest = _at_rest(1.0 if quick else 3.0) / 1e3
            rows.append(Row(f"{count} nodes: made, opened, first statement: clustersql", first, first, first))
            rows.append(Row(f"{count} nodes: CPU at rest, per second: clustersql", rest, rest, rest))
    return Group("One cluster of many nodes, sqlite3", "ms", rows)


def _at_rest(seconds: float) -> float:
    """Return the microseconds of CPU that this process takes per second, once it has settled."""
    time.sleep(2.0)
    cpu, start = time.process_time(), time.monotonic()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.monotonic() - start) * 1e6


def _threads() -> int:
    """Return how many threads there are, but for the dials and probes under way, which come and go."""
    return sum("-dial-" not in thread.name for thread in threading.enumerate())


def _clusters() -> Group:
    """A hundred clusters of three nodes in one process, each opened and used once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        threads, began = _threads(), time.perf_counter()
        for i in range(100):
            stack.enter_context(_sqlite(folder, 3, f"bench{i}").open()).execute("SELECT 1")
        each = (time.perf_counter() - began) / 100 * 1e6
        more = _threads() - threads
        rest = _at_rest(5.0)
    rows = [
        Row("made, opened, used once, each: clustersql", each, each, each, None, f"{more} threads more in all"),
        Row("CPU at rest per second, all: clustersql", rest, rest, rest),
    ]
    return Group("A hundred clusters of three nodes, sqlite3", "us", rows)
