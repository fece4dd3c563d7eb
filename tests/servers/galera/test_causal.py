"""Causal reads on Galera: any member may serve, once it has caught up with its group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.load import load
from support.stage import execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql.testing import GaleraCluster


def shown(db: Any, name: str) -> int:
    return int(db.execute(f"SELECT n FROM counting WHERE name = '{name}'").fetchall()[0][0])


def test_every_member_shows_what_was_written(galera: GaleraCluster, client: Callable[..., Any], driver: str) -> None:
    """While the members have other work to apply, so that they are late: without waiting some of the reads
    are stale.
    """
    galera.execute("n1", "CREATE OR REPLACE TABLE app.counting (name VARCHAR(9) PRIMARY KEY, n INT)")
    galera.execute("n1", "CREATE OR REPLACE TABLE app.bulk (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(500))")
    cluster = client(driver, policy="round-robin", max_size=20)
    db = cluster.open()
    assert eventually(lambda: all(node.usable for node in cluster.view) or db.execute("SELECT 1").fetchall() is None)
    views = [db.causal() for _ in range(4)]
    for name in range(4):
        db.execute(f"INSERT INTO counting VALUES ('{name}', 0)")
    nodes: set[str] = set()

    def turn(thread: int, number: int) -> None:
        s = views[thread]

        def work(conn: Any) -> None:
            execute(conn, f"UPDATE counting SET n = n + 1 WHERE name = '{thread}'")

        s.run(work)
        with s.connection(read_only=True) as conn:
            nodes.add(conn.node)
            assert rows(execute(conn, f"SELECT n FROM counting WHERE name = '{thread}'")) == [(number + 1,)]

    with load(turn, threads=4) as running:
        for _ in range(3):
            galera.execute("n1", "INSERT INTO app.bulk (text) SELECT repeat('x', 400) FROM seq_1_to_3000")
        running.more(20)
    assert running.failed == []
    assert nodes == {"n1", "n2", "n3"}
    reads = cluster.metrics()["CausalReads"]
    assert reads["waited"] > 0
    assert reads["known"] == 0, "nothing that a member has told before is a proof"
    bookmark = views[0].bookmark
    assert bookmark.startswith("1~g~")
    assert shown(db.options(read_only=True, after=bookmark), "0") > 0
    foreign = "1~g~000000000000000000000000000000ff"
    assert type(failure(shown, db.causal(after=foreign).options(read_only=True), "0")) is clustersql.CausalityLost


def test_a_frozen_member_and_a_lost_majority(galera: GaleraCluster, client: Callable[..., Any]) -> None:
    """A group that waits for a member answers when it has left that out; without a majority nobody may answer.  Both
    APIs at once.
    """
    galera.execute("n1", "CREATE OR REPLACE TABLE app.counting (name VARCHAR(9) PRIMARY KEY, n INT)")
    knobs = {"probe_interval": 0.2, "stall_after": 0.5, "connect_timeout": 2.0}
    clusters = {driver: client(driver, **knobs) for driver in ("pymysql", "asyncmy")}
    views = {driver: cluster.open().causal() for driver, cluster in clusters.items()}
    for driver, s in views.items():
        s.execute(f"INSERT INTO counting VALUES ('{driver}', 1)")
    galera.freeze("n3")
    for driver, s in views.items():
        assert shown(s.options(read_only=True, timeout=30), driver) == 1
    galera.kill("n2")
    for driver, s in views.items():
        error = failure(shown, s.options(read_only=True, timeout=2), driver)
        assert isinstance(error, clustersql.ClusterError | clusters[driver].driver.error), error
