"""Packets that vanish in the network itself: TCP sends them again and again, and neither side is told anything.

A proxy acknowledges what it swallows; here nothing is acknowledged.  The same faults through a proxy, which every
machine can run, are in test_forgotten.py and test_crowd_postgres.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import failure, in_order, in_step
from support.waiting import eventually

import clustersql
from clustersql.core.view.node import Reach
from clustersql.testing import Network, PostgresCluster

TUNED = {"stall_after": 0.3, "probe_interval": 0.2, "connect_timeout": 1.0}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if why := Network.obstacle():
        pytest.fail(f"a network that drops packets is missing, as `make setup` brings it: {why}")
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def servers(network: Network) -> Iterator[PostgresCluster]:
    with PostgresCluster(2, network=network) as servers:
        make_table(servers)
        yield servers


def make_table(servers: PostgresCluster) -> None:
    servers.execute("n1", "CREATE TABLE events (name text)")
    servers.execute("n1", "GRANT ALL ON events TO app")
    in_step(servers)


@pytest.fixture
def cluster(driver: str, network: Network, servers: PostgresCluster) -> Iterator[Any]:
    """Both nodes, of which reads prefer the standby."""
    with face.cluster_of(driver, "dropped", policy=lambda *seen: in_order(*seen)[::-1], **TUNED) as cluster:
        for name in servers.nodes:
            cluster.add_node(name, servers.dsn(name))
        cluster.open().execute("SELECT 1")
        assert eventually(lambda: all(node.usable for node in cluster.view))
        yield cluster
        network.heal()


def told(cluster: Any, node: str) -> list[dict[str, Any]]:
    """What keeps a node out."""
    return [out for each in cluster.snapshot().as_dict()["nodes"] if each["name"] == node for out in each["kept_out"]]


def on(db: Any, node: str) -> Any:
    """A connection to ``node``: another one is lent while as many dials as may be are under way there."""
    found: list[Any] = []

    def is_there() -> bool:
        found.append(db.connection())
        if found[-1].node != node:
            found.pop().close()
        return bool(found)

    assert eventually(is_there)
    return found[0]


def test_reads_go_on_when_the_path_to_their_node_is_gone(
    cluster: Any, network: Network, servers: PostgresCluster
) -> None:
    """No read fails, the node is taken out, a slow statement elsewhere goes on, and the node is back when the
    path is.
    """
    db, slept = cluster.open(), []
    reader = db.options(read_only=True)
    slow = threading.Thread(target=lambda: slept.append(db.execute("SELECT pg_sleep(3)").fetchall()))
    with load(lambda thread, serial: reader.execute("SELECT 1"), threads=4) as reads:
        slow.start()
        reads.more(20)
        with on(reader, "n2") as conn:
            cursor = conn.cursor()
            cursor.execute("SELECT 1")
            conn.rollback()
            network.drop(servers.port("n2"))
            cursor.execute("SELECT 1")  # hangs there for certain, whatever the others were at
            assert conn.node == "n1"
        assert eventually(lambda: told(cluster, "n2"))
        reads.more(100)
        slow.join(60)
        network.heal()
        assert eventually(lambda: not told(cluster, "n2"), timeout=30)
    assert reads.failed == []
    assert len(slept) == 1
    assert cluster.metrics()["Pool"]["Hung"] > 0


def test_a_write_into_the_void_is_unknown(cluster: Any, network: Network, servers: PostgresCluster) -> None:
    """Whether it arrived before the path broke cannot be known; the next one waits for the path, and happens once."""
    db, serial = cluster.open(), threading.get_native_id()
    network.drop(servers.port("n1"))
    error = failure(db.execute, "INSERT INTO events (name) VALUES (%s)", (f"lost-{serial}",))
    assert isinstance(error, clustersql.OutcomeUnknown)
    heal = threading.Timer(0.5, network.heal)
    heal.start()
    name = f"{cluster.driver.name}-{id(cluster)}"
    db.run(lambda conn: conn.cursor().execute("INSERT INTO events (name) VALUES (%s)", (name,)))
    heal.join()
    assert servers.execute("n1", "SELECT count(*) FROM events WHERE name = %s", (name,)) == [(1,)]


def test_one_connection_forgotten_by_a_nat(cluster: Any, network: Network, servers: PostgresCluster) -> None:
    """The node answers everybody else and is not blamed; our read goes on, over another connection."""
    db = cluster.open().options(read_only=True)
    query, downs = f"SELECT 'nat{id(cluster)}'", []
    cluster._topology.listeners.append(lambda view: downs.extend(node for node in view if node.reach is Reach.DOWN))
    ports = f"SELECT client_port FROM pg_stat_activity WHERE query = $${query}$$"
    with db.connection() as conn:
        cursor = conn.cursor()
        cursor.execute(query)
        [(port,)] = servers.execute("n2", ports)
        conn.rollback()
        hung = cluster.metrics()["Pool"]["Hung"]
        network.drop(servers.port("n2"), int(port))
        cursor.execute(query)
        assert len(cursor.fetchall()) == 1
    assert cluster.metrics()["Pool"]["Hung"] == hung + 1
    assert downs == []
    assert eventually(lambda: told(cluster, "n2") == [])
