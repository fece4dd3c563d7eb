"""Causal reads on MySQL: by the set of its GTIDs, in replication and in a group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from servers.mysql.work import TUNED
from support.stage import execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql import Cluster
from clustersql.testing import MySQLCluster

Client = Callable[..., Cluster]


def add(s: Any) -> int:
    def work(conn: Any) -> int:
        execute(conn, "UPDATE counters SET n = n + 1")
        return int(rows(execute(conn, "SELECT n FROM counters"))[0][0])

    return int(s.run(work))


def shown(db: Any) -> int:
    return int(db.execute("SELECT n FROM counters").fetchall()[0][0])


def began(servers: MySQLCluster, cluster: Cluster) -> Any:
    """The database, when every node was asked."""
    servers.execute("n1", "REPLACE INTO counters VALUES ('c', 0)")
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view) or add(db) < 0)
    return db


def test_a_replica_is_waited_for_and_then_left_for_the_source(
    replication: MySQLCluster, client: Client, driver: str
) -> None:
    cluster = client(replication, driver, **(TUNED | {"causal_wait": 20.0}))
    db = began(replication, cluster)
    s = db.causal()
    for _ in range(3):
        assert add(s) == shown(s.options(read_only=True, role="replica"))
    replicas = ("n2", "n3")
    for name in replicas:
        replication.execute(name, "STOP REPLICA SQL_THREAD")
    try:
        written = add(s)
        later = threading.Timer(
            0.2, lambda: [replication.execute(name, "START REPLICA SQL_THREAD") for name in replicas]
        )
        later.start()
        assert shown(s.options(read_only=True)) == written
        later.join()
        assert cluster.metrics()["CausalReads"]["primary"] == 0
        cluster.reconfigure(causal_wait=0.02)
        for name in replicas:
            replication.execute(name, "STOP REPLICA SQL_THREAD")
        written = add(s)
        assert shown(s.options(read_only=True)) == written
        error = failure(shown, db.options(read_only=True, role="replica", after=s.bookmark, timeout=0.3))
        assert isinstance(error, clustersql.NoNodeAvailable)
        assert "behind the bookmark" in str(error)
    finally:
        for name in replicas:
            replication.execute(name, "START REPLICA SQL_THREAD")
    foreign = "1~m~3e11fa4771ca11e19e33c80aa9429562.1-7"
    assert type(failure(shown, db.options(read_only=True, after=foreign))) is clustersql.CausalityLost


def test_what_a_failover_has_lost_is_said(replication: MySQLCluster, client: Client) -> None:
    clusters = {driver: client(replication, driver, **TUNED) for driver in ("pymysql", "asyncmy")}
    dbs = {driver: began(replication, cluster) for driver, cluster in clusters.items()}
    survived, lost, untold = {}, {}, {}
    for driver, db in dbs.items():
        s = db.causal()
        add(s)
        survived[driver] = s.bookmark
        shown(s.options(read_only=True, role="replica"))
        assert eventually(lambda db=db, driver=driver: holds_all(db, survived[driver]))
    replication.execute("n1", "SET GLOBAL rpl_semi_sync_source_enabled = 0")
    for name in ("n2", "n3"):
        replication.execute(name, "STOP REPLICA IO_THREAD")
    for driver, db in dbs.items():
        s, untold[driver] = db.causal(), db.causal()
        add(s)
        lost[driver] = s.bookmark
        add(untold[driver])
    replication.kill("n1")
    replication.promote("n2")
    for driver, db in dbs.items():
        assert eventually(lambda driver=driver: clusters[driver].view.by_name["n2"].role.value == "primary")
        assert shown(db.options(read_only=True, after=survived[driver])) > 0
        error = failure(shown, db.options(read_only=True, after=lost[driver]))
        assert type(error) is clustersql.CausalityLost
        assert "beyond the primary's" in str(error)
        assert type(failure(shown, untold[driver].options(read_only=True))) is clustersql.CausalityLost


def holds_all(db: Any, bookmark: str) -> bool:
    """Whether both replicas have it: each is asked alone."""
    return all(shown(db.options(read_only=True, role="replica", after=bookmark)) > 0 for _ in range(4))


def test_a_member_of_a_group_is_waited_for(group: MySQLCluster, client: Client, each_api: str) -> None:
    cluster = client(group, each_api, **(TUNED | {"causal_wait": 20.0, "policy": "round-robin"}))
    db = began(group, cluster)
    for _ in range(6):
        s = db.causal()
        assert add(s) == shown(s.options(read_only=True, role="replica"))
    assert cluster.metrics()["CausalReads"]["primary"] == 0
