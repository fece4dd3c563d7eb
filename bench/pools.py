"""The contenders of `concurrency` with threads: each is one call, made by many threads at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import clustersql

from .measure import Call
from .peers import missing


@dataclass(frozen=True)
class Places:
    """Where the servers are."""

    postgres: list[str]
    mariadb: int


class Bare:
    """A hand-off pool and nothing else: raw connections, the latest first, and a lock per waiter, served in the order
    of coming.
    """

    def __init__(self, idle: list[Any]) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._waiters: deque[list[Any]] = deque()

    def take(self) -> Any:
        """Return a connection."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            gate = threading.Lock()
            gate.acquire()
            waiter = [gate, None]
            self._waiters.append(waiter)
        gate.acquire()
        return waiter[1]

    def give(self, connection: Any) -> None:
        """Hand it to the first who waits."""
        with self._lock:
            if not self._waiters:
                self._idle.append(connection)
                return
            waiter = self._waiters.popleft()
        waiter[1] = connection
        waiter[0].release()


def contenders(places: Places, connections: int, nodes: Sequence[int], stack: ExitStack) -> dict[str, Call]:
    """Return the contenders, each with so many connections; ours over each number of nodes."""
    found = {"bare pool": _bare(places.postgres[0], connections, stack)}
    for count in nodes:
        found |= _ours(places.postgres[:count], connections, stack)
    return found | _psycopg_pool(places.postgres[0], connections, stack) | _sqlalchemy(places, connections, stack)


def _bare(dsn: str, connections: int, stack: ExitStack) -> Call:
    import psycopg

    pool = Bare([stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(connections)])

    def call() -> object:
        connection = pool.take()
        try:
            return connection.execute("SELECT 1").fetchall()
        finally:
            pool.give(connection)

    return call


def _ours(dsns: Sequence[str], connections: int, stack: ExitStack) -> dict[str, Call]:
    cluster = clustersql.Cluster("bench", driver="psycopg", read_only=True, max_size=connections)
    for number, dsn in enumerate(dsns):
        cluster.add_node(f"n{number}", dsn)
    db = stack.enter_context(cluster.open())
    at = f"clustersql, {len(dsns)} node{'s'[: len(dsns) > 1]}"

    def transaction() -> object:
        with db.connection() as connection:
            return connection.cursor().execute("SELECT 1").fetchall()

    calls: dict[str, Call] = {f"{at}: db.execute": lambda: db.execute("SELECT 1").fetchall()}
    if len(dsns) == 1:
        calls[f"{at}: with db.connection()"] = transaction
        calls[f"{at}: db.run"] = lambda: db.run(_select)
    return calls


def _select(connection: Any) -> object:
    return connection.cursor().execute("SELECT 1").fetchall()


def _psycopg_pool(dsn: str, connections: int, stack: ExitStack) -> dict[str, Call]:
    try:
        from psycopg_pool import ConnectionPool
    except ImportError:
        return missing("psycopg_pool")
    pools = {
        mode: stack.enter_context(
            ConnectionPool(
                dsn, min_size=connections, max_size=connections, kwargs={"autocommit": mode}, timeout=60.0, open=True
            )
        )
        for mode in (True, False)
    }
    for pool in pools.values():
        pool.wait()
    return {
        "psycopg_pool": _borrowed(pools[True].connection),
        "psycopg_pool, transaction": _borrowed(pools[False].connection),
    }


def _borrowed(connect: Callable[[], Any]) -> Call:
    def call() -> object:
        with connect() as connection:
            return connection.execute("SELECT 1").fetchall()

    return call


def _sqlalchemy(places: Places, connections: int, stack: ExitStack) -> dict[str, Call]:
    try:
        from sqlalchemy import create_engine
    except ImportError:
        return missing("SQLAlchemy")
    url = places.postgres[0].replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(
        url, pool_size=connections, max_overflow=0, pool_timeout=60, isolation_level="AUTOCOMMIT", pool_use_lifo=True
    )
    stack.callback(engine.dispose)

    def call() -> object:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT 1").fetchall()

    return {"SQLAlchemy": call}
