"""A Galera cluster of which one node is configured, discovered by a user without privileges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.galera.conftest import ONE_OF_EACH
from support import face

import clustersql
from clustersql.testing import GaleraCluster
from clustersql.testing.processes import wait_until


@pytest.fixture
def cluster(galera: GaleraCluster, driver: str) -> Iterator[clustersql.Cluster]:
    knobs = {"discover": True, "address_map": {"127.0.0.1": "127.0.0.1"}, "probe_interval": 0.1, "forget_after": 0.5}
    with face.cluster_of(driver, "shop", breaker_base=0.1, breaker_cap=0.2, **knobs) as made:
        made.add_node("n1", galera.dsn("n1"))
        yield made


def until(cluster: clustersql.Cluster, *nodes: str) -> None:
    is_so = lambda: cluster.nodes == sorted(nodes) and all(node.usable for node in cluster.view)  # noqa: E731
    wait_until(is_so, f"{cluster.nodes} are {nodes}: {cluster.snapshot().as_dict()}", timeout=30)


@ONE_OF_EACH
def test_members_come_and_go(galera: GaleraCluster, cluster: clustersql.Cluster) -> None:
    db = cluster.open()
    n1, n2, n3 = (f"127.0.0.1:{galera.port(name)}" for name in galera.nodes)
    until(cluster, "n1", n2, n3)
    assert cluster.snapshot().as_dict()["discovery"]["complaints"] == []
    assert {one["reported"]: one["node"] for one in cluster.snapshot().as_dict()["discovery"]["members"]} == {
        n1: "n1",
        n2: n2,
        n3: n3,
    }
    assert {node.identity for node in cluster.view} == {
        galera.execute(name, "SHOW STATUS LIKE 'wsrep_gcomm_uuid'")[0][1] for name in galera.nodes
    }
    galera.stop("n3")
    until(cluster, "n1", n2)
    galera.start("n3")
    until(cluster, "n1", n2, n3)

    galera.kill("n1")  # the only configured one: the first of the others by name is the writer now
    wait_until(lambda: not cluster.view.by_name["n1"].usable, "n1 is down", timeout=20)
    with db.connection() as conn:
        conn.cursor().close()
        assert conn.node == min(n2, n3)
    assert set(cluster.nodes) == {"n1", n2, n3}
