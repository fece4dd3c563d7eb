"""MariaDB's replication: the source is configured, its replica is found, by a user who needs privileges for that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import face
from support.replication import Pair, replication
from support.stage import MARIADB
from support.waiting import eventually


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replication() as servers:
        yield servers


GRANTS = "REPLICATION MASTER ADMIN, REPLICA MONITOR"


@pytest.fixture(params=MARIADB)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_replica_is_found_and_goes(pair: Pair, driver: str) -> None:
    source, replica = pair
    source.execute("n1", "CREATE OR REPLACE USER finder IDENTIFIED BY 'secret'")
    source.execute("n1", "GRANT SELECT ON app.* TO finder")
    found = f"127.0.0.1:{replica.port('n1')}"
    knobs = {"probe_interval": 0.1, "forget_after": 0.5, "breaker_base": 0.1, "breaker_cap": 0.2}
    with face.cluster_of(driver, "replicated", discover=True, address_map={"server_id 2": found}, **knobs) as cluster:
        cluster.add_node("source", source.dsn("n1").replace("//app:", "//finder:"))
        db = cluster.open()
        complaints = lambda: cluster.snapshot().as_dict()["discovery"]["complaints"]  # noqa: E731
        assert eventually(lambda: any("REPLICATION MASTER ADMIN" in text for text in complaints())), complaints()
        source.execute("n1", f"GRANT {GRANTS} ON *.* TO finder")
        assert eventually(lambda: cluster.nodes == sorted([found, "source"])), (cluster.view, complaints())
        assert eventually(lambda: all(node.usable for node in cluster.view))
        read = "SELECT @@server_id"
        assert db.options(node=found, role="replica").execute(read).fetchall() == [(2,)]
        assert db.execute(read).fetchall() == [(1,)]
        assert {node.identity for node in cluster.view} == {"server_id 1", "server_id 2"}
        assert eventually(lambda: complaints() == []), complaints()

        replica.execute("n1", "STOP SLAVE")
        assert eventually(lambda: cluster.nodes == ["source"], timeout=30), (cluster.view, cluster.snapshot().as_dict())
        replica.execute("n1", "START SLAVE")
        assert eventually(lambda: cluster.nodes == sorted([found, "source"]), timeout=30), cluster.view
