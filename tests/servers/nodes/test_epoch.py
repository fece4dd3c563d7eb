"""An old primary that comes back from the dead: it says that it is the primary, and is refused."""

from __future__ import annotations

from typing import Any

from support import face
from support.load import load
from support.stage import execute, failure
from support.waiting import eventually

import clustersql
from clustersql.testing import PostgresCluster

INSERT = "INSERT INTO events (name) VALUES (%s)"


def told(cluster: Any, node: str) -> list[dict[str, Any]]:
    """What keeps a node out."""
    return [out for each in cluster.snapshot().as_dict()["nodes"] if each["name"] == node for out in each["kept_out"]]


def over_all(postgres: PostgresCluster, cluster: Any) -> Any:
    """The database of a cluster over all nodes."""
    for name in postgres.nodes:
        cluster.add_node(name, postgres.dsn(name))
    return cluster.open()


def test_old_primary_back_from_the_dead_is_refused(postgres: PostgresCluster, driver: str) -> None:
    """Neither under load, nor in panic, does anything reach it; rebuilt, it serves again."""
    postgres.execute("n1", "TRUNCATE events")
    knobs = {"probe_interval": 0.2, "breaker_base": 0.2, "breaker_cap": 0.5}
    with face.cluster_of(driver, "epoch", **knobs) as cluster, over_all(postgres, cluster) as db:
        reader = db.options(read_only=True)
        db.execute(INSERT, ("before",))
        assert eventually(lambda: all(node.usable for node in cluster.view))
        postgres.kill("n1")
        postgres.promote("n2")

        def write(thread: int, serial: int) -> None:
            db.run(lambda conn: execute(conn, INSERT, ("after",)))

        with load(write, threads=4) as writes, load(lambda t, s: reader.execute("SELECT 1"), threads=4) as reads:
            writes.more(20)
            postgres.start("n1")
            assert postgres.execute("n1", "SELECT pg_is_in_recovery()") == [(False,)]
            assert eventually(lambda: [out for out in told(cluster, "n1") if out["axis"] == "epoch"])
            writes.more(50)
            reads.more(50)
        assert (writes.failed, reads.failed) == ([], [])
        assert db.stats()["nodes"]["n1"]["open"] == 0
        [out] = [out for out in told(cluster, "n1") if out["axis"] == "epoch"]
        assert out["why"].startswith("an old history: timeline ")
        postgres.kill("n2")
        postgres.kill("n3")
        for database in (db, reader, db.options(node="n1")):
            error = failure(database.options(timeout=0.5).execute, "SELECT 1")
            assert isinstance(error, clustersql.NoNodeAvailable)
        assert postgres.execute("n1", "SELECT DISTINCT name FROM events") in ([("before",)], [])
        postgres.start("n2")
        postgres.rejoin("n1", "n2")
        assert eventually(lambda: cluster.view.by_name["n1"].usable)
        assert db.options(node="n1", read_only=True).execute("SELECT DISTINCT name FROM events").fetchall()
