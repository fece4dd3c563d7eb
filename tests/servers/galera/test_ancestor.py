"""The ancestor's own test, from its own ``config.toml``: one sequence of statements, and as many transactions as the
servers allow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers.galera.workload import in_step

import clustersql
from clustersql import Cluster
from clustersql.testing import GaleraCluster
from clustersql.testing.processes import wait_until

CONFIG = Path(__file__).parent / "config.toml"
NAMES = ["write_conn", "read_conn", "sess_conn"]


@pytest.fixture(params=["pymysql", "mysqlclient"])
def driver(request: pytest.FixtureRequest) -> str:
    """The ancestor's form names no asyncio driver."""
    return str(request.param)


@pytest.fixture
def load(galera: GaleraCluster, driver: str) -> Iterator[Callable[[str], Cluster]]:
    loaded = []

    def read(name: str) -> Cluster:
        [cluster] = clustersql.load(CONFIG, name=name, driver=driver)
        loaded.append(name)
        return cluster

    yield read
    for name in loaded:
        clustersql.unregister(name)


def everywhere(cluster: Cluster, sql: str, expected: list[tuple[object, ...]]) -> None:
    """Replication is asynchronous for readers: a row is there on every node within moments, not at once."""
    for node in cluster.nodes:
        on_node = cluster.open().options(node=node)
        wait_until(
            lambda db=on_node: db.execute(sql).fetchall() == expected, f"{sql} on {node}: {expected}", timeout=10
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_sequence_of_the_ancestor(galera: GaleraCluster, load: Callable[[str], Cluster], name: str) -> None:
    cluster = load(name)
    assert cluster.nodes == ["maria1", "maria2", "maria3"]
    db = clustersql.open(name, "this dsn is ignored")
    everything = "SELECT id, text FROM ancestor ORDER BY id"
    db.execute("DROP TABLE IF EXISTS ancestor")
    db.execute("CREATE TABLE ancestor (id INT PRIMARY KEY, text VARCHAR(50))")
    in_step(galera)
    everywhere(cluster, everything, [])
    assert db.execute("INSERT INTO ancestor VALUES (%s, %s)", (1, "one")).rowcount == 1
    everywhere(cluster, everything, [(1, "one")])
    assert db.execute("UPDATE ancestor SET text = %s WHERE id = %s", ("uno", 1)).rowcount == 1
    everywhere(cluster, everything, [(1, "uno")])
    assert db.execute("DELETE FROM ancestor WHERE id = %s", (1,)).rowcount == 1
    everywhere(cluster, everything, [])
    db.execute("DROP TABLE ancestor")
    figures = clustersql.metrics()[name]
    assert figures["FirstInstanciated"]
    assert [node["Errors"] for node in figures["Nodes"].values()] == [0, 0, 0]


def test_the_three_names_are_independent_clusters_over_the_same_servers(
    galera: GaleraCluster, load: Callable[[str], Cluster]
) -> None:
    clusters = {name: load(name) for name in NAMES}
    write, read, sess = [clustersql.open(name) for name in NAMES]
    write.execute("CREATE OR REPLACE TABLE three (id INT PRIMARY KEY)")
    write.execute("INSERT INTO three VALUES (1)")
    in_step(galera)
    for db in (read, sess):
        assert db.execute("SELECT id FROM three").fetchall() == [(1,)]
    clusters["read_conn"].remove_node("maria2")
    assert clusters["read_conn"].nodes == ["maria1", "maria3"]
    assert clusters["sess_conn"].nodes == ["maria1", "maria2", "maria3"]
    write.execute("DROP TABLE three")


def test_concurrent_transactions_up_to_max_connections(load: Callable[[str], Cluster]) -> None:
    """So many transactions are open at the same time, each on a connection of its own; with one pool they queue
    instead.
    """
    cluster = load("write_conn")
    db = cluster.open()
    [(limit,)] = db.execute("SELECT @@max_connections").fetchall()
    db.execute("CREATE OR REPLACE TABLE many (id INT PRIMARY KEY)")
    all_open = threading.Barrier(limit)

    def transact(number: int) -> None:
        conn = clustersql.connect("write_conn")
        try:
            conn.cursor().execute("INSERT INTO many VALUES (%s)", (number,))
            all_open.wait(60)
            conn.commit()
        finally:
            conn.close()

    def pooled(number: int) -> None:
        db.run(lambda conn: conn.cursor().execute("INSERT INTO many VALUES (%s)", (limit + number,)))

    with ThreadPoolExecutor(limit) as threads:
        list(threads.map(transact, range(limit)))
        list(threads.map(pooled, range(limit)))
    everywhere(cluster, "SELECT COUNT(*) FROM many", [(2 * limit,)])
    assert db.stats()["size"] <= db.stats()["max_size"]
    db.execute("DROP TABLE many")
