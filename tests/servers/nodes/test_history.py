"""A standby that received more than the one that was promoted: its position is the highest, and what it shows is not
the primary's history.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.stage import failure
from support.waiting import eventually

import clustersql
from clustersql.testing import PostgresCluster
from clustersql.testing.processes import wait_until

FRESH: dict[str, Any] = {"read_only": True, "max_lag": 2}
KINDS = [(driver, granted) for driver in ("psycopg", "asyncpg") for granted in (True, False)]
"""With and without the right to see what a standby receives."""


@pytest.fixture
def clusters(postgres: PostgresCluster) -> Iterator[dict[tuple[str, bool], Any]]:
    """A cluster over all nodes per kind, so that one failover is enough for all of them."""
    postgres.execute("n1", "TRUNCATE events")
    postgres.execute("n1", "CREATE ROLE ungranted LOGIN PASSWORD 'secret'")
    postgres.execute("n1", "GRANT USAGE ON SCHEMA public TO ungranted")
    postgres.execute("n1", "GRANT SELECT ON events TO ungranted")
    stack = ExitStack()
    made = {}
    for driver, granted in KINDS:
        knobs = {"probe_interval": 0.2, "breaker_base": 0.2, "breaker_cap": 0.5}
        cluster = stack.enter_context(face.cluster_of(driver, f"history_{driver}_{granted}", **knobs))
        for name in postgres.nodes:
            dsn = postgres.dsn(name)
            cluster.add_node(name, dsn if granted else dsn.replace("//app:", "//ungranted:"))
        made[driver, granted] = cluster
    try:
        with stack:
            yield made
    finally:
        postgres.heal()
        postgres.execute("n1", "DROP OWNED BY ungranted")
        postgres.execute("n1", "DROP ROLE ungranted")


def kept_out(cluster: Any, node: str) -> set[str]:
    """The axes on which it is out of work, where the whole cluster asks for nothing."""
    return {
        out["axis"]
        for each in cluster.snapshot().as_dict()["nodes"]
        if each["name"] == node
        for out in each["kept_out"]
    }


def served(db: Any, times: int = 6) -> tuple[set[str | None], set[Any]]:
    """The nodes that serve, and the newest that they show."""
    nodes, seen = set(), set()
    for _ in range(times):
        with db.connection() as conn, conn.cursor() as cursor:
            cursor.execute("SELECT max(name) FROM events")
            seen.add(cursor.fetchall()[0][0])
            nodes.add(conn.node)
    return nodes, seen


def test_a_standby_of_another_history_is_never_fresh(postgres: PostgresCluster, clusters: dict[Any, Any]) -> None:
    postgres.execute("n1", "INSERT INTO events (name) VALUES ('v1')")
    opened = {kind: cluster.open() for kind, cluster in clusters.items()}
    for db in opened.values():
        replicas = db.options(role="replica", **FRESH)
        assert eventually(lambda db=replicas: served(db) == ({"n2", "n3"}, {"v1"}))
    # From now on only the third one receives what the first one writes.
    postgres._alter("n2", "primary_conninfo", "host=127.0.0.1 port=1")
    wait_until(lambda: postgres.execute("n2", "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)], "n2 is cut off")
    postgres.execute("n1", "INSERT INTO events (name) SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    postgres.execute("n1", "DELETE FROM events WHERE name <> 'v1'")
    [(location,)] = postgres.execute("n1", "SELECT pg_current_wal_flush_lsn()::text")
    wait_until(
        lambda: postgres.execute("n3", f"SELECT pg_last_wal_replay_lsn() >= '{location}'") == [(True,)], "n3 has it"
    )
    assert postgres.execute("n2", "SELECT pg_promote(true, 30)") == [(True,)]
    postgres.execute("n2", "INSERT INTO events (name) VALUES ('v3')")
    assert eventually(lambda: clusters["psycopg", True].view.switches)
    s = opened["psycopg", True].causal()
    s.execute("INSERT INTO events (name) VALUES ('v3')")
    bookmark = s.bookmark
    for (driver, granted), db in opened.items():
        cluster = clusters[driver, granted]
        assert eventually(lambda cluster=cluster: cluster.view.switches), "what a server says at connect is no timeline"
        assert served(db.options(**FRESH)) == ({"n2"}, {"v3"}), (driver, granted)
        error = failure(served, db.options(role="replica", timeout=0.3, **FRESH), 1)
        assert isinstance(error, clustersql.NoNodeAvailable), (driver, granted)
        assert cluster.metrics()["Nodes"]["n3"]["Lag"] is None
        read = {"read_only": True, "after": bookmark}
        assert served(db.options(**read)) == ({"n2"}, {"v3"}), (
            "its position is beyond the bookmark's, of another history"
        )
        behind = failure(served, db.options(role="replica", timeout=0.3, **read), 1)
        assert isinstance(behind, clustersql.NoNodeAvailable), (driver, granted)
        if granted:  # proven: it follows the old primary still
            assert eventually(lambda cluster=cluster: "epoch" in kept_out(cluster, "n3"))
            error = failure(served, db.options(node="n3", read_only=True, timeout=0.3), 1)
            assert isinstance(error, clustersql.NoNodeAvailable), "out of all reads"
        else:
            assert "GRANT pg_monitor" in str(error)
    postgres.kill("n1")  # nobody sends to the third one any more
    for kind, db in opened.items():
        assert isinstance(
            failure(served, db.options(role="replica", timeout=0.3, **FRESH), 1), clustersql.NoNodeAvailable
        )
        assert ("epoch" in kept_out(clusters[kind], "n3")) is kind[1], "what was proven of it stays"
    postgres.rejoin("n3", "n2")
    postgres.execute("n2", "INSERT INTO events (name) VALUES ('v4')")
    for db in opened.values():
        replicas = db.options(role="replica", **FRESH)
        assert eventually(lambda db=replicas: served(db) == ({"n3"}, {"v4"}))
