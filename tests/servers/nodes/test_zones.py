"""Zones on a real PostgreSQL cluster: reads stay in the own one as long as it can carry them, and leave it else."""

from __future__ import annotations

from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import rows
from support.waiting import eventually

from clustersql.testing import FaultProxy, PostgresCluster

PORT = "SELECT inet_server_port()"
READS = 100
ZONES = {"n1": "a", "n2": "b", "n3": "c"}
FIRM: dict[str, Any] = {"zone_preference": 1000, "probe_interval": 0.2}
"""So that no pause of a busy machine is a reason to leave the zone."""

DRIVERS = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


def zones(cluster: Any) -> dict[str, int]:
    found: dict[str, int] = cluster.metrics()["Zones"]
    return found


def reads(cluster: Any, db: Any, count: int = READS) -> dict[str, int]:
    """Read so often, and return how many reads the nodes of each zone have served."""
    before = zones(cluster)
    for _ in range(count):
        db.execute("SELECT 1")
    return {zone: served - before[zone] for zone, served in zones(cluster).items()}


@DRIVERS
def test_reads_stay_in_the_zone_until_its_last_node_has_gone(postgres: PostgresCluster, driver: str) -> None:
    with face.cluster_of(driver, "zoned", zone="b", policy="round-robin", **FIRM) as cluster:
        for name, zone in ZONES.items():
            cluster.add_node(name, postgres.dsn(name), zone=zone)
        db = cluster.open().options(read_only=True)
        assert eventually(lambda: all(node.usable for node in cluster.view))
        assert reads(cluster, db)["b"] > 0.9 * READS
        cluster.drain("n2")
        away = reads(cluster, db, 20)
        assert away["b"] == 0
        assert min(away["a"], away["c"]) > 0
        cluster.undrain("n2")
        assert eventually(lambda: db.route().node == "n2")
        assert reads(cluster, db)["b"] > 0.9 * READS
        cluster.reconfigure(zone="c")
        assert reads(cluster, db)["c"] > 0.9 * READS
        against = {each.node: each.against for each in db.route().candidates}
        assert against["n2"] == ("zone: b, and c is preferred",)
        assert {node.name: node.zone for node in cluster.snapshot().nodes} == ZONES


@DRIVERS
def test_reads_leave_a_zone_that_is_slow(postgres: PostgresCluster, driver: str) -> None:
    with (
        FaultProxy(postgres.port("n2")) as proxy,
        face.cluster_of(driver, "slow", zone="b", timeout=60, connect_timeout=30) as cluster,
    ):
        at_proxy = postgres.dsn("n2").replace(f":{postgres.port('n2')}/", f":{proxy.port}/")
        cluster.add_node("n2", at_proxy, zone="b")
        cluster.add_node("n3", postgres.dsn("n3"), zone="c")
        db = cluster.open().options(read_only=True)
        assert eventually(lambda: all(node.usable for node in cluster.view))
        for _ in range(20):
            db.options(node="n3").execute("SELECT 1")  # what an answer takes there is known
        told: list[int] = []
        with load(lambda thread, serial: told.append(rows(db.execute(PORT))[0][0]), threads=4) as work:
            work.more(10)
            proxy.delay(1.0)
            assert eventually(lambda: told.count(postgres.port("n3")) >= 10, 60)
        assert work.failed == []


@DRIVERS
def test_servers_behind_one_address_have_their_zones_by_a_map(postgres: PostgresCluster, driver: str) -> None:
    mapped = {f"127.0.0.1:{postgres.port(name)}": zone for name, zone in ZONES.items()}
    with (
        FaultProxy(postgres.port("n2")) as proxy,
        face.cluster_of(driver, "mapped", zone="c", zone_map=mapped, **FIRM) as cluster,
    ):
        cluster.add_node("ro", postgres.dsn("n2").replace(f":{postgres.port('n2')}/", f":{proxy.port}/"))
        db = cluster.open().options(read_only=True)
        proxy.balance(postgres.port("n2"), postgres.port("n3"))
        with load(lambda thread, serial: db.execute("SELECT 1"), threads=4) as work:
            assert eventually(lambda: set(zones(cluster)) == {"b", "c"}, 30), cluster.view
        assert eventually(lambda: reads(cluster, db, 20)["c"] > 15, 30)
        assert work.failed == []
        assert {cluster.view.zone(node) for node in cluster.view} == {"b", "c"}
