"""The monitor at rest: CPU and wake-ups of a process that has a cluster of nine nodes open and does nothing."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import clustersql
from clustersql.testing import PostgresCluster

from .measure import Group, row

NODES = 9


def run(quick: bool) -> Iterator[Group]:
    """Yield CPU and wake-ups per second."""
    seconds, times = (2.0, 1) if quick else (10.0, 5)
    cpu = Group(f"At rest, {NODES} nodes: CPU", "ms per second", [])
    wakes = Group(f"At rest, {NODES} nodes: voluntary context switches", "per second", [])
    with PostgresCluster(3) as servers:
        for name, opened in (
            ("no pool at all", _nothing),
            ("clustersql, one connection open", _ours),
            ("psycopg_pool, one pool per node", _pools),
        ):
            with ExitStack() as stack:
                opened(servers, stack)
                time.sleep(2.0)
                found = [_rest(seconds) for _ in range(times)]
            cpu.rows.append(row(name, [used for used, _ in found]))
            wakes.rows.append(row(name, [switches for _, switches in found]))
    yield cpu
    yield wakes


def _rest(seconds: float) -> tuple[float, float]:
    gc.collect()
    began, switched, start = time.process_time(), _switches(), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    return (time.process_time() - began) / elapsed * 1e3, (_switches() - switched) / elapsed


def _switches() -> int:
    """Return the voluntary context switches of all threads that live: each is a wake-up."""
    total = 0
    for status in Path("/proc/self/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def _nothing(servers: PostgresCluster, stack: ExitStack) -> None:
    pass


def _nodes(servers: PostgresCluster) -> list[tuple[str, Any]]:
    return [(f"node{i}", servers.dsn(servers.nodes[i % 3])) for i in range(NODES)]


def _ours(servers: PostgresCluster, stack: ExitStack) -> None:
    cluster = clustersql.Cluster("bench", driver="psycopg")
    for name, dsn in _nodes(servers):
        cluster.add_node(name, dsn)
    db = stack.enter_context(cluster.open())
    db.execute("SELECT 1")


def _pools(servers: PostgresCluster, stack: ExitStack) -> None:
    from psycopg_pool import ConnectionPool

    for _, dsn in _nodes(servers):
        stack.enter_context(ConnectionPool(dsn, min_size=1, max_size=4)).wait()
