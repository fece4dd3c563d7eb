"""The things that are compared: each a function without arguments, on connections that are open already."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clustersql

Rows = tuple[dict[str, Callable[[], object]], dict[str, str]]
"""The calls by name, and which row each is compared with."""

RAW, MANAGED = "execute + fetch, raw driver", "execute + fetch, clustersql"
RAW_NEW, MANAGED_NEW = "new cursor + execute + fetch, raw driver", "new cursor + execute + fetch, clustersql"
CHECKOUT, POOL, EXECUTE = "with db.connection(): pass", "pool checkout + return", "db.execute"


def _statement(cursor: Any) -> Callable[[], object]:
    def call() -> object:
        cursor.execute("SELECT 1")
        return cursor.fetchone()

    return call


def _new_cursor(connection: Any) -> Callable[[], object]:
    def call() -> object:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        row = cursor.fetchone()
        cursor.close()
        return row

    return call


def _checkout(db: Any) -> Callable[[], object]:
    def call() -> None:
        with db.connection():
            pass

    return call


def _pool(db: Any) -> Callable[[], object]:
    pool, want = db._pool, db._want

    def call() -> None:
        pool.give_back(pool.checkout(want, 1.0))

    return call


def _rows(raw: Any, held: Any, db: Any) -> Rows:
    calls = {
        RAW: _statement(raw.cursor()),
        MANAGED: _statement(held.cursor()),
        RAW_NEW: _new_cursor(raw),
        MANAGED_NEW: _new_cursor(held),
        POOL: _pool(db),
        CHECKOUT: _checkout(db),
        EXECUTE: lambda: db.execute("SELECT 1").fetchone(),
    }
    return calls, {MANAGED: RAW, MANAGED_NEW: RAW_NEW}


@contextmanager
def sqlite_rows(folder: str) -> Iterator[Rows]:
    """Yield the rows over one SQLite file."""
    path = Path(folder) / "bench.db"
    cluster = clustersql.Cluster("bench", driver="sqlite3")
    cluster.add_node("file", f"sqlite:///{path}")
    raw = sqlite3.connect(path)
    try:
        with cluster.open() as db, db.connection() as held:
            yield _rows(raw, held, db)
    finally:
        raw.close()


@contextmanager
def postgres_rows() -> Iterator[Rows]:
    """Yield the rows over one PostgreSQL server that is started for them; beside them psycopg's own pool, where it is installed."""
    import psycopg

    from clustersql.testing import PostgresCluster

    with PostgresCluster(1) as server:
        cluster = clustersql.Cluster("bench", driver="psycopg")
        cluster.add_node("n1", server.dsn("n1"))
        with psycopg.connect(server.dsn("n1")) as raw, cluster.open() as db, db.connection() as held:
            calls, base = _rows(raw, held, db)
            with _peer_pool(server.dsn("n1")) as peer:
                yield calls | peer, base


@contextmanager
def _peer_pool(dsn: str) -> Iterator[dict[str, Callable[[], object]]]:
    from psycopg_pool import ConnectionPool

    with ConnectionPool(dsn, min_size=1, max_size=10) as pool:
        pool.wait()

        def call() -> None:
            with pool.connection():
                pass

        yield {"with pool.connection(): pass, psycopg_pool": call}
