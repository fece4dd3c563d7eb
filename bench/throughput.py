"""Many threads over three nodes, the memory that it takes, and what many nodes and many clusters cost."""

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
from clustersql.core.policy import NAMED
from clustersql.core.shelf import Shelf
from clustersql.testing import PostgresCluster

from .measure import Cpu, Group, Row, rounds, row, timer
from .peers import checkout

THREADS = (1, 4, 16, 64)


def run(quick: bool) -> Iterator[Group]:
    """Yield the tables."""
    yield from _threads(quick)
    yield _choice(quick)
    yield _nodes(quick)
    yield _memory()
    yield _clusters()


# -- threads --------------------------------------------------------------------------------------------------------------------------


def _threads(quick: bool) -> Iterator[Group]:
    import psycopg

    rate = Group("SELECT 1 in a loop by so many threads", "operations per second", [])
    load = Group("CPU of the client per operation", "us", [])
    seconds, times = (0.2, 1) if quick else (0.5, 5)
    with PostgresCluster(3) as servers, ExitStack() as stack:
        cluster = clustersql.Cluster("bench", driver="psycopg", read_only=True, max_size=max(THREADS))
        for name in servers.nodes:
            cluster.add_node(name, servers.dsn(name))
        db = stack.enter_context(cluster.open())
        raws = [stack.enter_context(psycopg.connect(servers.dsn("n1"), autocommit=True)) for _ in range(max(THREADS))]
        for count in THREADS:
            ways: dict[str, list[Callable[[], object]]] = {
                f"{count} threads: psycopg, one node, a connection each": [_raw(raw) for raw in raws[:count]],
                f"{count} threads: clustersql, three nodes, db.execute": [lambda: db.execute("SELECT 1")] * count,
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(times):
                for name in random.sample(list(ways), len(ways)):
                    found[name].append(_load(ways[name], seconds))
            for name, values in found.items():
                rate.rows.append(row(name, [value for value, _ in values]))
                load.rows.append(row(name, [value for _, value in values]))
    yield rate
    yield load


def _raw(connection: Any) -> Callable[[], object]:
    def call() -> object:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        return cursor.fetchall()

    return call


def _load(calls: list[Callable[[], object]], seconds: float) -> tuple[float, float]:
    """Return operations per second, and the client's CPU per operation in microseconds."""
    done = [0] * len(calls)
    barrier = threading.Barrier(len(calls) + 1)
    over = threading.Event()

    def work(i: int) -> None:
        calls[i]()
        barrier.wait()
        while not over.is_set():
            calls[i]()
            done[i] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    barrier.wait()
    cpu, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    over.set()
    used, elapsed = time.process_time() - cpu, time.monotonic() - began
    for thread in threads:
        thread.join()
    total = max(1, sum(done))
    return total / elapsed, used / total * 1e6


# -- many nodes -----------------------------------------------------------------------------------------------------------------------


def _choice(quick: bool) -> Group:
    """The policy alone, over loads that differ."""
    timers = {}
    for count in (3, 9, 100, 1000):
        loads = tuple(_load_of(i) for i in range(count))
        for name in ("least-latency", "least-connections", "round-robin", "random"):
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
        for count in (1, 10, 100, 1000):
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


# -- memory ---------------------------------------------------------------------------------------------------------------------------


def _memory() -> Group:
    """What Python allocates, by tracemalloc; the driver's own connection is the base."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        raw = _allocated(lambda: [sqlite3.connect(path) for _ in range(200)], 200)
        pooled = _allocated(lambda: _held(folder, 200), 200)
        nodes = _allocated(lambda: _sqlite(folder, 1000), 1000)
    rows = [
        Row("a connection: sqlite3", raw, raw, raw),
        Row("a connection in use: clustersql, all of it", pooled, pooled, pooled),
        Row("a node: clustersql", nodes, nodes, nodes),
    ]
    return Group("Memory", "bytes", rows)


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


def _clusters() -> Group:
    """A hundred clusters of three nodes in one process, each opened and used once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        threads, began = threading.active_count(), time.perf_counter()
        for i in range(100):
            stack.enter_context(_sqlite(folder, 3, f"bench{i}").open()).execute("SELECT 1")
        each = (time.perf_counter() - began) / 100 * 1e6
        more = threading.active_count() - threads
        time.sleep(1.0)
        cpu, start = time.process_time(), time.monotonic()
        time.sleep(5.0)
        rest = (time.process_time() - cpu) / (time.monotonic() - start) * 1e6
    rows = [
        Row("made, opened, used once, each: clustersql", each, each, each, None, f"{more} threads more in all"),
        Row("CPU at rest per second, all: clustersql", rest, rest, rest),
    ]
    return Group("A hundred clusters of three nodes, sqlite3", "us", rows)
