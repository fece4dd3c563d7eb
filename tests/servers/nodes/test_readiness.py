"""PostgreSQL nodes that answer and do not want work, and what `snapshot` says of them."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import failure
from support.waiting import eventually

from clustersql.testing import PostgresCluster

Make = Callable[..., Any]


@pytest.fixture
def make(postgres: PostgresCluster, driver: str) -> Iterator[Make]:
    """Make a cluster over all nodes of the healthy PostgreSQL cluster; closed after the test."""
    stack = ExitStack()
    serial = itertools.count()

    def made(**knobs: Any) -> Any:
        fixed: dict[str, Any] = {"probe_interval": 0.2, "breaker_base": 0.2, "breaker_cap": 0.5}
        cluster = stack.enter_context(face.cluster_of(driver, f"readiness{next(serial)}", **(fixed | knobs)))
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        return cluster

    with stack:
        yield made


def told(cluster: Any, node: str) -> dict[str, Any]:
    """What `snapshot` says of a node, by way of JSON."""
    described = json.loads(json.dumps(cluster.snapshot().as_dict()))
    found: dict[str, Any] = next(each for each in described["nodes"] if each["name"] == node)
    return found


def test_paused_replay_is_maintenance(postgres: PostgresCluster, make: Make) -> None:
    cluster = make(max_idle_time=0.2)
    db = cluster.open().options(read_only=True)
    db.execute("SELECT 1")
    assert eventually(lambda: all(node.usable for node in cluster.view))
    assert told(cluster, "n2")["kept_out"] == []
    assert told(cluster, "n2")["serves"] == ["any", "replica"]
    postgres.execute("n2", "SELECT pg_wal_replay_pause()")
    try:
        assert eventually(lambda: told(cluster, "n2")["kept_out"])
        with load(lambda thread, serial: db.execute("SELECT pg_sleep(0.002)")) as reads:
            before = db.stats()["nodes"]["n2"]["checkouts"]
            reads.more(200)
            assert db.stats()["nodes"]["n2"]["checkouts"] == before
        assert reads.failed == []
        [out] = told(cluster, "n2")["kept_out"]
        assert (out["axis"], out["value"]) == ("readiness", "maintenance")
        assert "its replay is paused" in out["why"]
        assert out["since"].endswith("+00:00")
        assert told(cluster, "n2")["serves"] == []
    finally:
        postgres.execute("n2", "SELECT pg_wal_replay_resume()")
    assert eventually(lambda: told(cluster, "n2")["kept_out"] == [])


def test_smart_shutdown_is_left_without_an_error(postgres: PostgresCluster, make: Make) -> None:
    """New connections are refused while old ones are served: a probe on an old one would call the node ready."""
    cluster = make(policy="round-robin")  # so that n3 has work, however long its first dial took
    db = cluster.open().options(read_only=True)
    raw = cluster.dial(read_only=True, node="n3")
    with load(lambda thread, serial: db.execute("SELECT pg_sleep(0.002)")) as reads:
        assert eventually(lambda: db.stats()["nodes"]["n3"]["checkouts"] > 10)
        os.kill(postgres.pid("n3") or 0, signal.SIGTERM)
        refused = failure(lambda: cluster.dial(node="n3", timeout=1.0))
        assert refused is not None
        assert "the database system is shutting down" in str(refused)
        assert eventually(lambda: told(cluster, "n3")["kept_out"])
        assert told(cluster, "n3")["kept_out"][0]["value"] == "not ready"
        assert eventually(lambda: db.stats()["nodes"]["n3"]["open"] == 0)
        reads.more(200)
        assert told(cluster, "n3")["kept_out"][0]["value"] == "not ready"
        cluster.loop.call(raw.close) if isinstance(cluster, face.FaceCluster) else raw.close()
        assert eventually(lambda: told(cluster, "n3")["state"] == "down")
    assert reads.failed == []


def test_too_many_connections_push_back(postgres: PostgresCluster, make: Make) -> None:
    """The pool may open more than the server allows: callers wait for one another, and the node is never
    called dead.
    """
    cluster = make(max_size=12)
    db = cluster.open()
    db.execute("SELECT 1")
    assert eventually(lambda: cluster.view.by_name["n1"].usable)
    postgres.execute("n1", "ALTER ROLE app CONNECTION LIMIT 5")
    try:
        with load(lambda thread, serial: db.execute("SELECT pg_sleep(0.01)"), threads=10) as seen:
            seen.more(300)
            assert cluster.metrics()["Nodes"]["n1"]["Errors"] > 0
        assert seen.failed == []
        assert told(cluster, "n1")["kept_out"] == []
        assert cluster.view.by_name["n1"].generation == 0
    finally:
        postgres.execute("n1", "ALTER ROLE app CONNECTION LIMIT -1")
