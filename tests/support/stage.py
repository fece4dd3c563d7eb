"""One real server behind two proxies, "a" and "b": a fault on one leaves a healthy second way to the same data."""

from __future__ import annotations

import itertools
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from support import face
from support.waiting import eventually

import clustersql
from clustersql.testing import FaultProxy, PostgresCluster
from clustersql.testing.processes import wait_until

# Those of asyncio are driven through `face`.
POSTGRES = ("psycopg", "psycopg2", "pg8000", "psycopg-aio", "asyncpg")
MARIADB = ("pymysql", "mysqlclient", "mysql-connector", "mariadb", "aiomysql", "asyncmy")
DRIVERS = POSTGRES + MARIADB

COMMIT = rb"(?i:\bcommit\b)"
EXECUTED = COMMIT + rb".*?E\x00\x00\x00\x09"
"""The same for pg8000, which prepares COMMIT first: up to PostgreSQL's Execute message."""
INSERT = "INSERT INTO events (name) VALUES (%s)"
SELECT = "SELECT name FROM events WHERE name = %s"
UNSEEN = "INSERT INTO events (name)  VALUES (%s)"
"""As `INSERT`, but the cluster has not seen it before."""

_serial = itertools.count()


def in_order(loads: Any, now: float, random: Any) -> Any:
    """A policy: "a" before "b", so that a test knows where the fault must be."""
    return sorted(loads, key=lambda load: load.name)


class Stage:
    """A cluster of two nodes that are two ways to one server; what is true is asked of the server itself."""

    def __init__(self, driver: str, server: Any, a: FaultProxy, b: FaultProxy) -> None:
        self.driver, self.server, self.a, self.b = driver, server, a, b
        self.postgres = driver in POSTGRES
        self.loop = face.Loop() if driver in face.ASYNC else None
        self.key = f"k{uuid.uuid4().hex}"
        self.raws: list[Any] = []
        self.clusters: list[clustersql.Cluster] = []
        self.cluster = self.make()
        self.db = self.cluster.open()
        # Else a fault on "a" finds no other node: "b" has not answered yet, and the work goes on by "a".
        assert eventually(lambda: all(node.usable for node in self.cluster.view.nodes))

    def make(self, **knobs: Any) -> clustersql.Cluster:
        """Another cluster over the same two ways."""
        fixed: dict[str, Any] = {"policy": in_order, "on_connect": self.raws.append, "timeout": 20.0}
        fixed["stagger"] = 1.0  # on a busy machine "b" would be dialled beside "a", and may answer first
        cluster = face.cluster(f"stage{next(_serial)}", self.driver, self.loop, **(fixed | knobs))
        for name, proxy in (("a", self.a), ("b", self.b)):
            cluster.add_node(name, **self.address(proxy.port))
        # Seen before, as nearly all statements of a program's life are: so `Database.execute` takes its shortest way.
        for text in (INSERT, SELECT):
            cluster._notes.look(text)
        self.clusters.append(cluster)
        return cluster

    def address(self, port: int) -> dict[str, Any]:
        """Fields of `Cluster.add_node`."""
        fields = {"host": "127.0.0.1", "port": port, "user": "app", "password": "secret", "database": "app"}
        # Else PyMySQL and mysql-connector encrypt what the proxies are to read, wherever the server offers TLS.
        return fields | ({"ssl_disabled": True} if self.driver in ("pymysql", "mysql-connector") else {})

    @property
    def key_bytes(self) -> bytes:
        """What the statements with this test's key have in them on the wire."""
        return self.key.encode()

    @property
    def commit_bytes(self) -> bytes:
        """A pattern for what a COMMIT has in it on the wire."""
        return EXECUTED if self.driver == "pg8000" else COMMIT

    @property
    def errors(self) -> Any:
        """The driver's module, for its exception classes; where it has others than PEP 249's, those that stand for
        them.
        """
        driver = self.cluster.driver
        if self.driver != "asyncpg":
            return driver.module
        return SimpleNamespace(
            Error=driver.error,
            OperationalError=driver.operational_error,
            IntegrityError=driver.module.IntegrityConstraintViolationError,
        )

    def ask(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Ask the server itself, past the library and the proxies."""
        rows: list[tuple[Any, ...]] = self.server.execute("n1", sql, params or None)
        return rows

    def count(self, key: str | None = None) -> int:
        """How many times this test's row is there.

        pg8000 sends Bind and Execute one after the other, so the answer to the first may be what the cut waited for:
        the server gets the second all the same, and is given the time to work on it.
        """
        if self.driver == "pg8000":
            eventually(self._is_at_rest, timeout=1)
        return int(self.ask("SELECT count(*) FROM events WHERE name = %s", key or self.key)[0][0])

    def _is_at_rest(self) -> bool:
        busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'"
        return self.ask(busy) == [(0,)]

    def insert(self, conn: Any, key: str | None = None) -> None:
        """Insert this test's row on ``conn``."""
        with conn.cursor() as cursor:
            cursor.execute(INSERT, (key or self.key,))

    def read(self, conn: Any, key: str | None = None) -> list[Any]:
        """Read this test's rows on ``conn``."""
        with conn.cursor() as cursor:
            cursor.execute(SELECT, (key or self.key,))
            return [tuple(row) for row in cursor.fetchall()]

    def unbuffered(self, conn: Any) -> Any:
        """Return MariaDB's cursor that reads rows when they are asked for."""
        if self.driver in ("mysql-connector", "mariadb"):
            return conn.cursor(buffered=False)
        return conn.cursor(import_module(f"{self.errors.__name__}.cursors").SSCursor)

    def raw(self, conn: Any) -> Any:
        """The driver's connection that serves ``conn``, taken without our knowing."""
        return conn._state.session.raw

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the driver's own, where its connections live."""
        return function(*args, **kwargs) if self.loop is None else self.loop.call(function, *args, **kwargs)

    def close_raw(self, raw: Any) -> None:
        """Close a connection of the driver, without our knowing."""
        self.call(raw.close)

    def set(self, conn: Any, name: str, value: Any) -> None:
        """Set a property of the driver's connection in the driver's own way."""
        if name == "autocommit" and self.driver in ("pymysql", "mysqlclient", "aiomysql", "asyncmy"):
            conn.autocommit(value)
        elif self.loop is not None and name in ("autocommit", "isolation_level", "read_only"):
            getattr(conn, f"set_{name}")(value)
        else:
            setattr(conn, name, value)

    def dials(self, cluster: Any) -> list[str]:
        """What dials or probes for ``cluster`` now: the names of its threads, or tasks."""
        if self.loop is not None:
            return [name for name in self.loop.tasks() if re.fullmatch(f"clustersql-dial-.*-{cluster.name}", name)]
        running = [thread.name for thread in threading.enumerate()]
        return [name for name in running if name.startswith(f"clustersql-dial-{cluster.name}-")]

    def cut_commit(self, before: bool) -> None:
        """Cut the connection by way of "a" once, just before or after the server got COMMIT."""
        self.cut(self.commit_bytes, before)

    def cut(self, pattern: bytes, before: bool) -> None:
        """Cut the connection by way of "a" once, just before or after the server got ``pattern``."""
        self.a.cut_on(pattern, before=before)

    @contextmanager
    def read_only_for(self, seconds: float) -> Iterator[None]:
        """The server refuses writes for so long, as during a failover."""
        self.server.set_read_only("n1")
        timer = threading.Timer(seconds, self.server.set_read_only, ("n1", False))
        timer.start()
        try:
            yield
        finally:
            timer.join()

    @property
    def recoveries(self) -> int:
        """How many statements went on after a fault."""
        return sum(node["Recoveries"] for node in self.cluster.metrics()["Nodes"].values())

    def close(self) -> None:
        """Close every cluster that was made, and wait for its dials: one that is cut in its handshake leaks pg8000's
        socket.
        """
        for cluster in self.clusters:
            cluster.close()
        assert eventually(lambda: not any(self.dials(cluster) for cluster in self.clusters))

    def end(self) -> None:
        """Close everything; no task may be left."""
        self.close()
        if self.loop is not None:
            self.loop.close()


LOCKS = 0.15
"""Seconds between two looks at InnoDB's locks: it renews what it shows only when nobody has looked for 0.1 s
(trx0i_s.cc).
"""


def in_step(servers: PostgresCluster) -> None:
    """Wait until the standbys have applied what the primary has committed: a table is there some time later than on the
    primary.
    """
    primary = servers.primary
    [(at,)] = servers.execute(primary, "SELECT pg_current_wal_flush_lsn()::text")
    applied = f"SELECT pg_last_wal_replay_lsn() >= '{at}'"
    for name in servers.nodes:
        if name != primary:
            wait_until(lambda name=name: servers.execute(name, applied) == [(True,)], f"{name} has applied {at}")


def execute(conn: Any, sql: str, *params: Any) -> Any:
    """Execute on a cursor of its own, and return that: not every driver's connections have `execute`."""
    cursor = conn.cursor()
    cursor.execute(sql, *params)
    return cursor


def rows(cursor: Any) -> list[tuple[Any, ...]]:
    """All rows of a cursor, as tuples: those of pg8000 are lists, those of asyncpg records."""
    return [tuple(row) for row in cursor.fetchall()]


def failure(function: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException | None:
    """What ``function`` raises, without the frames that would keep its connections alive; None: nothing."""
    try:
        function(*args, **kwargs)
    except Exception as exc:
        return exc.with_traceback(None)
    return None
