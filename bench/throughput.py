"""Many threads and many tasks over three nodes; then memory, many nodes and many clusters (`scale`)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import clustersql
from clustersql.testing import PostgresCluster

from . import scale, tasks
from .measure import Group, row

THREADS = (1, 4, 16, 64)


def run(quick: bool) -> Iterator[Group]:
    """Yield the tables."""
    yield from _threads(quick)
    yield from tasks.run(quick)
    yield from scale.run(quick)


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
