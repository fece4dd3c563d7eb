"""Reading one's own write on a replica: how often it is not there, and what it takes to find it, beside the primary.

Each round writes through one connection and reads through another, as a request and the one after it do.  Idle, and
while another session fills the log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import clustersql
from clustersql.testing import PostgresCluster

from .measure import Group, Row, row

WRITE = "UPDATE own SET n = n + 1 RETURNING n"
READ = "SELECT n FROM own"
BULK = "INSERT INTO bulk SELECT repeat('x', 400) FROM generate_series(1, 2000)"

Reads = Callable[[Any], Any]


def run(quick: bool) -> Iterator[Group]:
    """Yield the table of an idle cluster, and that of one whose log is full of other work."""
    with PostgresCluster(3) as servers:
        servers.execute("n1", "CREATE TABLE own (n int)")
        servers.execute("n1", "INSERT INTO own VALUES (0)")
        servers.execute("n1", "CREATE TABLE bulk (text text)")
        for name in ("own", "bulk"):
            servers.execute("n1", f"GRANT ALL ON {name} TO app")
        cluster = clustersql.Cluster("bench", driver="psycopg")
        for name in servers.nodes:
            cluster.add_node(name, servers.dsn(name))
        with cluster.open() as db:
            while not all(node.usable for node in cluster.view):
                db.execute(READ)
            count = 30 if quick else 400
            yield Group("Reading one's own write at once, idle", "us", _rows(db, count))
            with _load(servers):
                yield Group("Reading one's own write at once, under a bulk load", "us", _rows(db, count))


def _rows(db: Any, count: int) -> list[Row]:
    ways: dict[str, tuple[Callable[[], Any], Reads]] = {
        "the primary": (lambda: db, lambda s: s.options(role="primary", read_only=True)),
        "a replica, no care": (lambda: db, lambda s: s.options(role="replica", read_only=True)),
        "causal": (db.causal, lambda s: s.options(read_only=True)),
        "causal, a replica in any case": (db.causal, lambda s: s.options(role="replica", read_only=True)),
        "causal, 10 ms later, by its bookmark": (db.causal, lambda s: _next_request(db, s)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    stale = dict.fromkeys(ways, 0)
    for _ in range(count):  # turn by turn, so that what disturbs the machine disturbs all
        for name, (view, reads) in ways.items():
            s = view()
            [(written,)] = s.execute(WRITE).fetchall()
            reader, began = reads(s), time.perf_counter()
            [(seen,)] = reader.execute(READ).fetchall()
            times[name].append((time.perf_counter() - began) * 1e6)
            stale[name] += seen < written
    base = times["the primary"]
    return [
        row(f"{name}: {stale[name]} of {count} stale", each, base if each is not base else None)
        for name, each in times.items()
    ]


def _next_request(db: Any, s: Any) -> Any:
    """The request after a redirect: it has a bookmark, and comes some milliseconds later."""
    bookmark = s.bookmark
    time.sleep(0.01)
    return db.options(read_only=True, after=bookmark)


@contextmanager
def _load(servers: PostgresCluster) -> Iterator[None]:
    """Fill the log from another session, until the end of the block."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            servers.execute("n1", BULK)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
