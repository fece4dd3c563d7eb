"""A PostgreSQL cluster of which only the primary is configured: the standbys are found, go and come, and nobody is lost
by a failed question.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.waiting import eventually

import clustersql
from clustersql.testing import FaultProxy, PostgresCluster

Make = Callable[..., clustersql.Cluster]
QUICK: dict[str, Any] = {"probe_interval": 0.1, "forget_after": 0.5, "breaker_base": 0.1, "breaker_cap": 0.2}


@pytest.fixture
def make(postgres: PostgresCluster, driver: str) -> Iterator[Make]:
    """Make a cluster that discovers, of which "n1" is configured; closed after the test."""
    postgres.execute("n1", "TRUNCATE events")
    stack, names = ExitStack(), itertools.count()

    def made(user: str = "app", **knobs: Any) -> clustersql.Cluster:
        knobs = {"discover": True, "address_map": places(postgres), **QUICK, **knobs}
        cluster = stack.enter_context(face.cluster_of(driver, f"discovering{next(names)}", **knobs))
        cluster.add_node("n1", postgres.dsn("n1").replace("//app", f"//{user}"))
        return cluster

    with stack:
        yield made


def at(postgres: PostgresCluster, node: str) -> str:
    return f"127.0.0.1:{postgres.port(node)}"


def places(postgres: PostgresCluster) -> dict[str, str]:
    """What a primary tells of its standbys here is 127.0.0.1 and a name."""
    return {"127.0.0.1": "127.0.0.1"} | {name: at(postgres, name) for name in ("n2", "n3")}


def has(cluster: clustersql.Cluster, *nodes: str) -> bool:
    return eventually(lambda: cluster.nodes == sorted(nodes) and all(node.usable for node in cluster.view))


def complaints(cluster: clustersql.Cluster) -> list[str]:
    told: list[str] = cluster.snapshot().as_dict()["discovery"]["complaints"]
    return told


def test_standbys_come_and_go(postgres: PostgresCluster, make: Make) -> None:
    cluster = make()
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), (cluster.view, complaints(cluster))
    for name, standby in (("n1", False), (n2, True), (n3, True)):
        assert db.options(node=name, role="any").execute("SELECT pg_is_in_recovery()").fetchone()[0] is standby
    told = cluster.snapshot().as_dict()
    assert [(node["name"], node["discovered"]) for node in told["nodes"]] == [
        ("n1", False),
        *sorted([(n2, True), (n3, True)]),
    ]
    assert cluster.metrics()["Nodes"][n2]["Discovered"] is True
    assert (told["discovery"]["unused"], told["discovery"]["complaints"]) == ([], [])

    postgres.stop("n3")
    assert eventually(lambda: cluster.nodes == sorted(["n1", n2])), cluster.view
    assert eventually(lambda: set(db.stats()["nodes"]) == {"n1", n2}), db.stats()  # the pool is told after the view
    postgres.start("n3")
    assert has(cluster, "n1", n2, n3), cluster.view


def test_who_left_the_cluster_ends_its_work(postgres: PostgresCluster, make: Make) -> None:
    """A standby that lives on without its primary would show old data for ever: it is taken out, as by
    `remove_node`.
    """
    cluster = make()
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view
    conninfo = postgres.execute("n3", "SHOW primary_conninfo")[0][0]
    with db.connection(node=n3, role="any") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        postgres.execute("n3", "ALTER SYSTEM SET primary_conninfo = ''")
        postgres.execute("n3", "SELECT pg_reload_conf()")
        assert eventually(lambda: cluster.nodes == sorted(["n1", n2])), cluster.view
        cursor.execute("SELECT 2")
        assert [tuple(row) for row in cursor.fetchall()] == [(2,)]
    postgres.execute("n3", "ALTER SYSTEM SET primary_conninfo = '{}'".format(conninfo.replace("'", "''")))
    postgres.execute("n3", "SELECT pg_reload_conf()")
    assert has(cluster, "n1", n2, n3), cluster.view


def test_discovered_nodes_outlive_the_primary_that_told_of_them(postgres: PostgresCluster, make: Make) -> None:
    cluster = make()
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view
    postgres.kill("n1")
    assert eventually(lambda: not cluster.view.by_name["n1"].usable)
    probes = cluster.view.by_name[n2]
    with pytest.raises(clustersql.NoNodeAvailable):
        db.options(timeout=4 * QUICK["forget_after"]).execute("CREATE TABLE nowhere ()")
    assert probes.generation == cluster.view.by_name[n2].generation
    assert set(cluster.nodes) == {"n1", n2, n3}, cluster.view
    postgres.promote("n2")
    db.execute("INSERT INTO events (name) VALUES ('promoted')")
    assert postgres.execute("n2", "SELECT count(*) FROM events WHERE name = 'promoted'") == [(1,)]
    # A standby that needs longer than forget_after to follow the new primary goes, and comes again.
    assert eventually(lambda: set(cluster.nodes) == {"n1", n2, n3}), cluster.view
    postgres.stop("n3")
    # Nobody follows the new primary and reports it now: it stays by its own word.
    assert eventually(lambda: set(cluster.nodes) == {"n1", n2}), cluster.view
    assert not eventually(lambda: n2 not in cluster.nodes, timeout=4 * QUICK["forget_after"]), cluster.view
    db.execute("INSERT INTO events (name) VALUES ('alone')")


def test_one_server_under_two_addresses_is_one_node(postgres: PostgresCluster, make: Make) -> None:
    with FaultProxy(postgres.port("n2")) as proxy:
        cluster = make()
        cluster.add_node("second", postgres.dsn("n2").replace(str(postgres.port("n2")), str(proxy.port)))
        cluster.open()
        n3 = at(postgres, "n3")
        assert has(cluster, "n1", "second", n3), cluster.view
        told = {one["reported"]: one["node"] for one in cluster.snapshot().as_dict()["discovery"]["members"]}
        assert told["n2 127.0.0.1"] == "second"
        cluster.remove_node("second")  # the operator's word holds: it is not found again
        version = cluster.view.version
        assert not eventually(lambda: len(cluster.nodes) > 2, timeout=1.0), (version, cluster.view)
        cluster.remove_node(n3)
        assert not eventually(lambda: len(cluster.nodes) > 1, timeout=1.0), cluster.view
        cluster.add_node("third", postgres.dsn("n3"))
        assert has(cluster, "n1", "third"), cluster.view


def test_without_the_privilege_nothing_is_lost(
    postgres: PostgresCluster, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.execute("n1", "DROP ROLE IF EXISTS poor")
    postgres.execute("n1", "CREATE ROLE poor LOGIN PASSWORD 'secret'")
    with caplog.at_level(logging.WARNING, "clustersql"):
        cluster = make(user="poor")
        cluster.open()
        why = "n1 could not tell the members: poor may not see its replication: GRANT pg_monitor TO poor"
        assert eventually(lambda: complaints(cluster) == [why]), complaints(cluster)
        ran = cluster.metrics()["Nodes"]["n1"]["LastSuccess"]
        assert cluster.nodes == ["n1"], ran
        postgres.execute("n1", "GRANT pg_monitor TO poor")
        nodes = ("n1", at(postgres, "n2"), at(postgres, "n3"))
        assert has(cluster, *nodes), (cluster.view, complaints(cluster))
        assert complaints(cluster) == []
        postgres.execute("n1", "REVOKE pg_monitor FROM poor")
        assert eventually(lambda: why in complaints(cluster))
        assert not eventually(lambda: len(cluster.nodes) < 3, timeout=3 * QUICK["forget_after"]), cluster.view
    assert [record.getMessage() for record in caplog.records if "n1 could not tell" in record.getMessage()] == [
        f"cluster {cluster.name}: discovery: {why}"
    ]


def test_a_map_that_maps_nothing_is_told(
    postgres: PostgresCluster, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "clustersql"):
        cluster = make(address_map={"10.0.0.9": "db9:5432"})
        cluster.open()
        assert eventually(lambda: len(complaints(cluster)) == 3), complaints(cluster)
        # What is complained of is in the view first, and in the log a moment later.
        told = lambda: [text for record in caplog.records if "maps nothing" in (text := record.getMessage())]  # noqa: E731
        assert eventually(told)
    assert complaints(cluster) == [
        "n2 127.0.0.1, reported by n1, is left out: 127.0.0.1 is its own machine only; say in address_map where it is",
        "n3 127.0.0.1, reported by n1, is left out: 127.0.0.1 is its own machine only; say in address_map where it is",
        "address_map maps nothing: its keys are 10.0.0.9, and the database reports n2 127.0.0.1, n3 127.0.0.1",
    ]
    assert cluster.nodes == ["n1"]
    assert cluster.snapshot().as_dict()["discovery"]["unused"] == ["10.0.0.9"]
    assert len(told()) == len(set(told())), "once, and once more when the members are others"


def test_an_address_that_does_not_answer_is_no_node(postgres: PostgresCluster, make: Make) -> None:
    with FaultProxy(postgres.port("n2")) as proxy:
        nowhere = f"127.0.0.1:{proxy.port}"
    cluster = make(address_map={"n2": nowhere, "n3": at(postgres, "n3"), "127.0.0.1": "127.0.0.1"})
    cluster.open()
    assert eventually(lambda: cluster.nodes == sorted(["n1", at(postgres, "n3")])), cluster.view
    assert eventually(lambda: any(nowhere in text and "does not answer" in text for text in complaints(cluster)))
