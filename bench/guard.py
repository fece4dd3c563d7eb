"""What the commit guard costs: one transaction (BEGIN, an INSERT, COMMIT), by the raw driver, by clustersql, and with
the guard, on PostgreSQL and on Galera.

On the wall, in turns of one transaction each: a token is a row that the server writes, so the client's own time would
hide the most of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pymysql

import clustersql
from clustersql.dialects import by_name
from clustersql.testing import GaleraCluster, PostgresCluster

from .measure import Group, Row, row

INSERT = "INSERT INTO guarded (a) VALUES (1)"
BASE = "the raw driver"


def run(quick: bool) -> Iterator[Group]:
    """Yield a table for each database."""
    count = 50 if quick else 4000
    with PostgresCluster(1) as servers:
        _make(
            servers, "postgresql", "CREATE TABLE guarded (a int)", ("public.clustersql_commit", "public.clustersql_key")
        )
        servers.execute("n1", "GRANT ALL ON guarded TO app")
        raw = psycopg.connect(servers.dsn("n1"))
        yield Group("One guarded transaction, PostgreSQL, psycopg", "us", _rows(servers, "psycopg", raw, count))
        raw.close()
    with GaleraCluster(3) as servers:
        _make(
            servers,
            "mysql",
            "CREATE TABLE app.guarded (id bigint PRIMARY KEY AUTO_INCREMENT, a int) ENGINE=InnoDB",
            ("app.clustersql_commit", "app.clustersql_key"),
        )
        raw = pymysql.connect(**_address(servers))
        yield Group("One guarded transaction, Galera, PyMySQL", "us", _rows(servers, "pymysql", raw, count))
        raw.close()


def _address(servers: Any) -> dict[str, Any]:
    user, _, rest = servers.dsn("n1").partition("://")[2].partition(":")
    password = rest.partition("@")[0]
    return {"host": "127.0.0.1", "port": servers.port("n1"), "user": user, "password": password, "database": "app"}


def _make(servers: Any, dialect: str, table: str, names: tuple[str, str]) -> None:
    guard = by_name(dialect).guard
    assert guard is not None
    grants = guard.grant(*names, "app") if dialect == "postgresql" else ()
    for statement in (table, *guard.create(*names), *grants):
        servers.execute("n1", statement)


def _rows(servers: Any, driver: str, raw: Any, count: int) -> list[Row]:
    """Measure turn by turn, so that what disturbs the machine disturbs all."""
    with ExitStack() as stack:
        ways: dict[str, Callable[[], None]] = {BASE: _transaction(raw)}
        for name, on in (("clustersql", False), ("clustersql, with the guard", True)):
            cluster = clustersql.Cluster(name, driver=driver, commit_guard=on)
            cluster.add_node("n1", servers.dsn("n1"))
            db = stack.enter_context(cluster.open())
            ways[name] = _transaction(stack.enter_context(db.connection()))
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(count + 50):
            for name in random.sample(list(ways), len(ways)):
                began = time.perf_counter()
                ways[name]()
                if turn >= 50:  # before, statements are learned and sessions are asked which they are
                    times[name].append((time.perf_counter() - began) * 1e6)
    return [row(name, each, times[BASE] if name != BASE else None) for name, each in times.items()]


def _transaction(conn: Any) -> Callable[[], None]:
    def transaction() -> None:
        with conn.cursor() as cursor:
            cursor.execute(INSERT)
        conn.commit()

    return transaction
