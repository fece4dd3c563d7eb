"""A MySQL source with two replicas, by GTIDs and semi-synchronous: who writes, who is found, how far behind, and what a
failover shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from servers.mysql.work import TUNED, Work
from support import face
from support.stage import INSERT, execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql import Cluster
from clustersql.testing import MySQLCluster

Client = Callable[..., Cluster]
APPLIED = (
    "SELECT UNIX_TIMESTAMP(NOW(6)) - MAX(UNIX_TIMESTAMP(LAST_APPLIED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP))"
    " FROM performance_schema.replication_applier_status_by_worker"
)


def test_kill_9_of_the_source(replication: MySQLCluster, client: Client) -> None:
    """A replica is promoted: no read fails, and what was acknowledged is there once."""
    # Else the replica that is promoted need not be the one that a commit has waited for.
    replication.execute("n1", "SET GLOBAL rpl_semi_sync_source_wait_for_replica_count = 2")
    work = Work(replication, client)
    with work.running():
        replication.kill("n1")
        replication.promote("n2")
        work.progress()
    work.check("n2")
    assert work.writers() == {"n2"}
    # It comes back as what it was, a second source, which only the order of the configuration would prefer.
    replication.rejoin("n1")
    assert eventually(lambda: all(cluster.view.by_name["n1"].usable for cluster in work.clusters.values()))
    assert work.writers() == {"n2"}


def test_a_switchover_in_place_and_a_restart(replication: MySQLCluster, client: Client) -> None:
    """A demotion that keeps the sessions shows no error, nor does a restart of a node that was drained."""
    # A server that starts takes the processor from the others for seconds: they are slow, and none of them hangs.
    work = Work(replication, client, stall_after=30.0)
    with work.running():
        for cluster in work.clusters.values():
            cluster.drain("n2")
        assert eventually(lambda: all(db.stats()["nodes"]["n2"]["open"] == 0 for db in work.dbs.values()))
        replication.stop("n2")
        replication.start("n2")
        for cluster in work.clusters.values():
            cluster.undrain("n2")
        assert eventually(work.all_usable), work.views()
        replication.switchover("n2")
        work.progress()
        replication.switchover("n1")
    assert work.unknown == set()
    work.check("n1")
    assert work.writers() == {"n1"}
    seen = work.clusters["pymysql"].view.by_name["n2"]
    assert (seen.role.value, seen.marks["role"].why) == ("replica", "read_only is on")


def test_a_replica_that_applies_nothing_is_not_fresh(replication: MySQLCluster, client: Client, each_api: str) -> None:
    """By the sets of GTIDs: also where it has transactions of its own.  The applier's own timestamps say the same."""
    cluster = client(replication, each_api, **TUNED | {"probe_interval": 0.1})
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    fresh = db.options(node="n2", read_only=True, max_lag=0.5, timeout=0.3)
    db.execute(INSERT, ("fresh",))
    assert eventually(lambda: failure(lambda: fresh.execute("SELECT 1")) is None), cluster.snapshot().as_dict()
    replication.pause("n2")
    try:
        replication.execute("n2", "SET GLOBAL super_read_only = OFF")
        replication.execute("n2", f"CREATE TABLE app.own_{each_api} (id INT PRIMARY KEY)")
        replication.execute("n2", "SET GLOBAL super_read_only = ON")
        db.execute(INSERT, ("behind",))
        late = lambda: failure(lambda: fresh.execute("SELECT 1"))  # noqa: E731
        assert eventually(lambda: isinstance(late(), clustersql.NoNodeAvailable)), cluster.snapshot().as_dict()
        assert "behind, more than max_lag (0.5 s)" in str(late())
        assert db.options(node="n2", read_only=True).execute("SELECT 1").fetchall()
        lag = cluster.metrics()["Nodes"]["n2"]["Lag"]
        [(applied,)] = replication.execute("n2", APPLIED)
        assert 0.5 < lag <= float(applied) + 1.0, "since the last one that it has applied, give or take the probes"
    finally:
        replication.pause("n2", False)
    assert eventually(lambda: failure(lambda: fresh.execute("SELECT 1")) is None), cluster.snapshot().as_dict()
    replication.execute("n2", "SET GLOBAL super_read_only = OFF")
    replication.execute("n2", f"DROP TABLE app.own_{each_api}")
    replication.execute("n2", "SET GLOBAL super_read_only = ON")


def test_replicas_are_found_by_their_source(replication: MySQLCluster, driver: str) -> None:
    """SHOW REPLICAS, for which the user has the privilege; a server is known by its UUID."""
    n2, n3 = (f"127.0.0.1:{replication.port(name)}" for name in ("n2", "n3"))
    knobs: dict[str, Any] = {"discover": True, "address_map": {"127.0.0.1": "127.0.0.1"}, "probe_interval": 0.1}
    with face.cluster_of(driver, "replicated", **knobs) as cluster:
        cluster.add_node("n1", replication.dsn("n1"))
        db = cluster.open()
        assert eventually(lambda: cluster.nodes == sorted(["n1", n2, n3])), cluster.snapshot().as_dict()
        assert eventually(lambda: all(node.usable for node in cluster.view))
        assert cluster.snapshot().as_dict()["discovery"]["complaints"] == []
        uuids = {replication.execute(name, "SELECT @@server_uuid")[0][0] for name in replication.nodes}
        assert {node.identity for node in cluster.view} == uuids
        with db.connection(node=n3, role="replica") as conn:
            assert rows(execute(conn, "SELECT @@report_port")) == [(replication.port("n3"),)]


def test_a_frozen_source_is_waited_for(replication: MySQLCluster, client: Client, each_api: str) -> None:
    """A write that was sent is of unknown outcome; what comes after waits, and happens exactly once."""
    cluster = client(replication, each_api, **TUNED)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    key = f"{each_api}-{time.monotonic()}"
    db.execute("SELECT 1")
    replication.freeze("n1")
    try:
        assert isinstance(failure(db.execute, INSERT, (f"{key}-sent",)), clustersql.OutcomeUnknown)
    finally:
        replication.thaw("n1")
    db.run(lambda conn: execute(conn, INSERT, (key,)))
    counted = "SELECT count(*) FROM events WHERE name = %s"
    assert replication.execute("n1", counted, (key,)) == [(1,)]
    assert replication.execute("n1", counted, (f"{key}-sent",)) in ([(0,)], [(1,)])


def test_offline_mode_is_maintenance(replication: MySQLCluster, client: Client, each_api: str) -> None:
    """Its sessions are ended and nobody is let in (3032): the node lives, and is used again afterwards."""
    cluster = client(replication, each_api, **TUNED)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view))
    replication.execute("n2", "SET GLOBAL offline_mode = ON")
    try:
        seen = lambda: cluster.view.by_name["n2"]  # noqa: E731
        assert eventually(lambda: (seen().reach.value, seen().readiness.value) == ("up", "not ready")), seen()
        assert "offline mode" in seen().why
        assert db.options(read_only=True).execute("SELECT 1").fetchall()
    finally:
        replication.execute("n2", "SET GLOBAL offline_mode = OFF")
    assert eventually(lambda: cluster.view.by_name["n2"].usable)
