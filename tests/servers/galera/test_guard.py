"""The commit guard on Galera: asked on another node, before the original comes, and while a node is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from support.stage import COMMIT, failure
from support.waiting import eventually

import clustersql
from clustersql import TransactionLost
from clustersql.dialects import by_name
from clustersql.testing import FaultProxy, GaleraCluster
from clustersql.testing.workload import Workload

KNOBS: dict[str, Any] = {"commit_guard": True, "stall_after": 0.5, "probe_interval": 0.25, "driver": "pymysql"}


@pytest.fixture
def guarded(galera: GaleraCluster) -> Iterator[tuple[GaleraCluster, clustersql.Cluster]]:
    guard = by_name("mysql").guard
    assert guard is not None
    for statement in guard.create("app.clustersql_commit", "app.clustersql_key"):
        galera.execute("n1", statement)
    galera.execute("n1", "CREATE TABLE IF NOT EXISTS app.guarded (name varchar(40) PRIMARY KEY) ENGINE=InnoDB")
    # The last statement is the last one everywhere: no session may move to a node that has not come to it.
    made = "SHOW TABLES FROM app LIKE 'guarded'"
    assert eventually(lambda: all(galera.execute(node, made) for node in galera.nodes))
    shop = clustersql.Cluster("guarded", **KNOBS)
    try:
        yield galera, shop
    finally:
        shop.close()


def work(name: str) -> Any:
    return lambda conn: conn.cursor().execute("INSERT INTO guarded VALUES (%s)", (name,))


def there(galera: GaleraCluster, name: str) -> int:
    return int(galera.execute("n2", "SELECT COUNT(*) FROM app.guarded WHERE name = %s", (name,))[0][0])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_another_node_is_asked(guarded: tuple[GaleraCluster, clustersql.Cluster], before: bool) -> None:
    """The way to the writer is gone with the answer: what is asked elsewhere settles it for all nodes."""
    galera, shop = guarded
    name = uuid4().hex
    with FaultProxy(galera.port("n1")) as way:
        shop.add_node("a", galera.dsn("n1").replace(f":{galera.port('n1')}", f":{way.port}"))
        db = shop.open()
        db.execute("SELECT 1")
        shop.add_node("b", galera.dsn("n2"))  # as the second one, so that the first is the one that works
        attempts: list[int] = []

        def once(conn: Any) -> None:
            attempts.append(conn.attempt)
            work(name)(conn)
            if len(attempts) == 1:
                way.cut_on(COMMIT, before=before)
                threading.Thread(target=way.stop).start()

        db.run(once)
    assert eventually(lambda: there(galera, name) == 1)  # the other node applies what it has received


def test_a_killed_node_leaves_nothing_unknown(guarded: tuple[GaleraCluster, clustersql.Cluster]) -> None:
    galera, shop = guarded
    for node in galera.nodes:
        shop.add_node(node, galera.dsn(node))
    with shop.open() as db:
        load = Workload(db, readers=1, writers=3, pause=0.002, name="chaos")
        load.create(*galera.nodes)
        with load:
            load.progress(reads=1, writes=60)
            galera.kill("n1")
            load.progress(reads=1, writes=60)
            galera.start("n1")
            load.progress(reads=1, writes=60)
        proof = load.prove()
        counts = shop.metrics()["CommitGuard"]
    assert proof.holds, str(proof)
    assert (proof.unknown_there, proof.unknown_absent, counts["unknown"]) == (set(), set(), 0)


def test_the_late_original_is_refused_by_certification(guarded: tuple[GaleraCluster, clustersql.Cluster]) -> None:
    """Settled on another node while the transaction is open on the first one: it can never commit."""
    galera, shop = guarded
    name = uuid4().hex
    shop.add_node("n1", galera.dsn("n1"))
    other = clustersql.Cluster("other", **KNOBS)
    other.add_node("n2", galera.dsn("n2"))
    with shop.open() as db, other.open() as elsewhere, db.connection() as conn:
        work(name)(conn)
        assert elsewhere.settle(conn.commit_id) == "void"
        assert isinstance(failure(conn.commit), TransactionLost)
        conn.rollback()
    other.close()
    assert there(galera, name) == 0
