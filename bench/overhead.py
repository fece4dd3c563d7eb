"""The cost of a statement and of a checkout: clustersql beside the raw driver and the peers, everything on one CPU."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clustersql

from . import peers
from .measure import Call, Cpu, Group, pin, table, timer

ROWS = {
    "sqlite3": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s",
    "psycopg": "SELECT generate_series(1, 1000)",
    "pymysql": "SELECT seq FROM seq_1_to_1000",
}
"""A query of 1,000 rows."""
HUNDRED = [(i,) for i in range(100)]


def run(quick: bool) -> Iterator[Group]:
    """Yield a table per driver."""
    pin()
    yield _sqlite(quick)
    yield _postgres(quick)
    yield _mariadb(quick)


def _sqlite(quick: bool) -> Group:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        raw, single = sqlite3.connect(path), sqlite3.connect(path, isolation_level=None)
        raw.execute("CREATE TABLE sink (v int)")
        raw.commit()
        try:
            with peers.sqlalchemy("sqlite+pysqlite", lambda: sqlite3.connect(path)) as others:
                return _group("sqlite3, a file", "sqlite3", f"sqlite:///{path}", raw, single, others, None, quick)
        finally:
            raw.close()
            single.close()


def _postgres(quick: bool) -> Group:
    import psycopg

    from clustersql.testing import PostgresCluster

    with PostgresCluster(1) as server:
        dsn = server.dsn("n1")
        with psycopg.connect(dsn) as raw, psycopg.connect(dsn, autocommit=True) as single:
            single.execute("CREATE TABLE sink (v int)")
            with (
                peers.psycopg_pool(dsn) as pool,
                peers.sqlalchemy("postgresql+psycopg", lambda: psycopg.connect(dsn)) as core,
                peers.aws(server.port("n1")) as wrapper,
            ):
                return _group(
                    "psycopg, PostgreSQL", "psycopg", dsn, raw, single, pool | core | wrapper, server.pid("n1"), quick
                )


def _mariadb(quick: bool) -> Group:
    import pymysql

    from clustersql.testing import MariaDBServer

    with MariaDBServer() as server:
        fields = {"host": "127.0.0.1", "port": server.port(), "user": "app", "password": "secret", "database": "app"}
        raw, single = pymysql.connect(**fields), pymysql.connect(**fields, autocommit=True)
        single.cursor().execute("CREATE TABLE sink (v int)")
        try:
            with (
                peers.sqlalchemy("mysql+pymysql", lambda: pymysql.connect(**fields)) as core,
                peers.mysql_connector(fields) as pool,
            ):
                return _group(
                    "PyMySQL, MariaDB",
                    "pymysql",
                    server.dsn(),
                    raw,
                    single,
                    core | pool,
                    server.pid(server.nodes[0]),
                    quick,
                )
        finally:
            raw.close()
            single.close()


def _group(
    title: str, driver: str, dsn: str, raw: Any, single: Any, others: dict[str, Call], server: int | None, quick: bool
) -> Group:
    cluster = clustersql.Cluster("bench", driver=driver)
    cluster.add_node("n1", dsn)
    with cluster.open() as db, db.connection() as held:
        rows, mark = ROWS[driver], "?" if driver == "sqlite3" else "%s"
        insert = f"INSERT INTO sink VALUES ({mark})"
        pool, want = db._pool, db._want
        pairs: dict[str, tuple[Call, Call]] = {
            "execute + fetchone": (statement(raw.cursor()), statement(held.cursor())),
            "new cursor, execute + fetchone": (peers.new_cursor(raw), peers.new_cursor(held)),
            "1,000 rows by fetchall": (fetch(raw.cursor(), rows), fetch(held.cursor(), rows)),
            "executemany of 100 INSERTs, rollback": (many(raw, insert), many(held, insert)),
            "one statement, autocommit; db.execute": (
                peers.new_cursor(single),
                lambda: db.execute("SELECT 1").fetchone(),
            ),
            "a transaction of one statement; db.run": (transaction(raw), lambda: db.run(_work)),
        }
        least = {"execute + fetchone": statement(Empty(raw.cursor()))}
        calls: dict[str, Call] = {}
        base = {}
        for name, (theirs, ours) in pairs.items():
            calls[f"{name}: the driver"] = theirs
            if name in least:
                calls[f"{name}: an empty method around it"] = least[name]
                base[f"{name}: an empty method around it"] = f"{name}: the driver"
            calls[f"{name}: clustersql"] = ours
            base[f"{name}: clustersql"] = f"{name}: the driver"
        calls["checkout + return: clustersql, the pool"] = lambda: pool.give_back(pool.checkout(want, 1.0))
        calls["checkout + return: clustersql, with db.connection()"] = peers.checkout(db.connection)
        calls["checkout, statement, commit, return: clustersql"] = peers.borrowed(db.connection)
        calls |= others
        return table(title, {name: timer(call, Cpu(server)) for name, call in calls.items()}, base, quick)


class Empty:
    """The least that something around a cursor can be: it hands a statement on, and notes nothing."""

    def __init__(self, cursor: Any) -> None:
        self._execute = cursor.execute
        self.fetchone = cursor.fetchone

    def execute(self, operation: str, parameters: object = None) -> Any:
        """Run a statement."""
        return self._execute(operation) if parameters is None else self._execute(operation, parameters)


def _work(connection: Any) -> object:
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    return cursor.fetchone()


def statement(cursor: Any) -> Call:
    """Return ``SELECT 1`` on a cursor that is kept."""

    def call() -> object:
        cursor.execute("SELECT 1")
        return cursor.fetchone()

    return call


def fetch(cursor: Any, query: str) -> Call:
    """Return a query of many rows."""

    def call() -> object:
        cursor.execute(query)
        return cursor.fetchall()

    return call


def many(connection: Any, insert: str) -> Call:
    """Return a hundred inserts that are rolled back."""

    def call() -> None:
        connection.cursor().executemany(insert, HUNDRED)
        connection.rollback()

    return call


def transaction(connection: Any) -> Call:
    """Return a transaction as one writes it by hand."""

    def call() -> object:
        try:
            row = _work(connection)
            connection.commit()
        except Exception:
            connection.rollback()
            raise
        return row

    return call
