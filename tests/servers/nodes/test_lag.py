"""``max_lag`` on a real PostgreSQL cluster: replicas that are held back, cut off, or orphaned."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql.testing import PostgresCluster

Make = Callable[..., Any]
MAX_LAG = 1.0


@pytest.fixture
def make(postgres: PostgresCluster, driver: str) -> Iterator[Make]:
    """Make a cluster over all nodes of the healthy PostgreSQL cluster; closed after the test."""
    stack = ExitStack()
    serial = itertools.count()

    def made(**knobs: Any) -> Any:
        # In turn: by latency a node that was slow once would serve none of a few readers.
        fixed: dict[str, Any] = {"probe_interval": 0.2, "policy": "round-robin"}
        cluster = stack.enter_context(face.cluster_of(driver, f"lag{next(serial)}", **(fixed | knobs)))
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        return cluster

    postgres.execute("n1", "TRUNCATE events")
    with stack:
        yield made


@pytest.fixture
def setting(postgres: PostgresCluster) -> Iterator[Callable[[str, str, str], None]]:
    """Changes a setting of a server; all are reset after the test."""
    changed: list[tuple[str, str]] = []

    def change(node: str, name: str, value: str) -> None:
        changed.append((node, name))
        postgres.execute(node, f"ALTER SYSTEM SET {name} = '{value}'")
        postgres.execute(node, "SELECT pg_reload_conf()")

    yield change
    for node, name in changed:
        postgres.execute(node, f"ALTER SYSTEM RESET {name}")
        postgres.execute(node, "SELECT pg_reload_conf()")


def serves(db: Any, times: int = 8) -> set[str | None]:
    """The nodes that serve several readers at once."""
    held = [db.connection() for _ in range(times)]
    try:
        for conn in held:
            execute(conn, "SELECT 1")
        return {conn.node for conn in held}
    finally:
        for conn in held:
            conn.close()


def test_a_replica_held_back_shows_nothing_older(
    postgres: PostgresCluster, make: Make, setting: Callable[[str, str, str], None]
) -> None:
    """What was acknowledged more than ``max_lag`` before a read began is in its answer, whichever node serves."""
    cluster = make(max_size=16)
    db = cluster.open()
    fresh, any_age = db.options(read_only=True, max_lag=MAX_LAG), db.options(read_only=True)
    assert eventually(lambda: serves(fresh) == {"n1", "n2", "n3"})
    acknowledged: list[tuple[float, int]] = []
    missed: list[tuple[int, int]] = []

    def write(thread: int, serial: int) -> None:
        [(number,)] = db.execute("INSERT INTO events (name) VALUES ('lag') RETURNING id").fetchall()
        acknowledged.append((time.monotonic(), number))

    def read(thread: int, serial: int) -> None:
        began = time.monotonic()
        [(seen,)] = fresh.execute("SELECT coalesce(max(id), 0) FROM events").fetchall()
        old = max((number for at, number in acknowledged if at < began - MAX_LAG), default=0)
        if seen < old:
            missed.append((seen, old))

    with load(write, threads=1) as writes, load(read, threads=4) as reads:
        reads.more(100)
        setting("n2", "recovery_min_apply_delay", "1h")
        assert eventually(lambda: (cluster.metrics()["Nodes"]["n2"]["Lag"] or 0) > 2 * MAX_LAG)
        before = db.stats()["nodes"]["n2"]["checkouts"]
        reads.more(300)
        assert db.stats()["nodes"]["n2"]["checkouts"] == before
        assert serves(any_age.options(node="n2"), 1) == {"n2"}  # by name: a full pool lends what is idle elsewhere
        writes.more(10)
    assert (writes.failed, reads.failed, missed) == ([], [], [])
    size = db.options(read_only=True, role="replica", max_lag="1GB")
    assert eventually(lambda: serves(size) == {"n2", "n3"})
    postgres.execute("n1", "INSERT INTO events (name) SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    small = db.options(read_only=True, role="replica", max_lag="1MB")
    assert eventually(lambda: serves(small) == {"n3"})


def test_a_replica_that_is_cut_off_is_not_fresh(
    postgres: PostgresCluster, make: Make, setting: Callable[[str, str, str], None]
) -> None:
    """It has applied all that it received, and would call itself up to date."""
    cluster = make(max_lag=MAX_LAG)
    db = cluster.open().options(read_only=True)
    assert eventually(lambda: serves(db) >= {"n2", "n3"})
    setting("n3", "primary_conninfo", "host=127.0.0.1 port=1")
    postgres.execute("n1", "INSERT INTO events (name) VALUES ('not there')")
    assert postgres.execute("n3", "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()") == [(True,)]

    def told() -> list[dict[str, Any]]:
        return [
            out for node in cluster.snapshot().as_dict()["nodes"] if node["name"] == "n3" for out in node["kept_out"]
        ]

    assert eventually(told)
    assert told()[0]["axis"] == "freshness"
    assert "more than max_lag (1 s)" in told()[0]["why"]
    assert "n3" not in serves(db)
    error = failure(lambda: db.options(node="n3", timeout=0.5).execute("SELECT 1"))
    assert isinstance(error, clustersql.NoNodeAvailable)
    assert "behind, more than max_lag (1 s)" in str(error)


def test_no_replica_is_fresh_while_the_primary_is_silent(postgres: PostgresCluster, make: Make) -> None:
    cluster = make(stall_after=0.3, connect_timeout=2.0)
    db = cluster.open().options(read_only=True)
    fresh = db.options(max_lag=MAX_LAG)
    assert eventually(lambda: serves(fresh) >= {"n2", "n3"})
    postgres.freeze("n1")
    assert eventually(
        lambda: isinstance(failure(lambda: fresh.options(timeout=0.3).execute("SELECT 1")), clustersql.NoNodeAvailable)
    )
    assert rows(db.execute("SELECT 1")) == [(1,)]
    postgres.thaw("n1")
    assert eventually(lambda: serves(fresh) >= {"n2", "n3"})


def test_bad_input(make: Make) -> None:
    db = make().open()
    for value in (0, -1, True, "16", "16 apples", "0MB", float("nan"), [5]):
        with pytest.raises(
            clustersql.ConfigError, match=r"max_lag: must be a number of seconds .* or a text such as 2s or 16MB"
        ):
            db.options(max_lag=value)
    with pytest.raises(clustersql.ConfigError, match=r"set probe_interval to at most 0\.15"):
        db.options(max_lag=0.3)
    for driver, value, why in (
        ("sqlite3", 5, r"the lag of a sqlite database cannot be measured here"),
        ("pymysql", "16MB", r"'16MB' is a size, and of a mysql database only the time is known"),
    ):
        with pytest.raises(clustersql.ConfigError, match=why):
            clustersql.Cluster("no_lag", driver=driver, max_lag=value)
