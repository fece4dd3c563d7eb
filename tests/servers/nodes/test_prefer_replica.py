"""``prefer-replica`` on a real PostgreSQL cluster: the primary reads only when no replica does, and no read fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import execute, rows
from support.waiting import eventually

from clustersql.testing import PostgresCluster

ASKED = "SELECT pg_is_in_recovery()"
READ = {"read_only": True, "role": "prefer-replica"}


@pytest.fixture(params=["psycopg", "asyncpg"])
def cluster(postgres: PostgresCluster, request: pytest.FixtureRequest) -> Iterator[Any]:
    """All nodes of the healthy PostgreSQL cluster, known to be so; read-only work prefers a replica."""
    knobs = {"read_role": "prefer-replica", "probe_interval": 0.2, "breaker_base": 0.1, "breaker_cap": 0.5}
    with face.cluster_of(request.param, "preferring", max_size=8, **knobs) as made:
        for name in postgres.nodes:
            made.add_node(name, postgres.dsn(name))
        made.open()
        assert eventually(lambda: all(node.usable for node in made.view))
        yield made


def on_replica(db: Any) -> bool:
    return bool(rows(db.execute(ASKED))[0][0])


def test_the_primary_reads_only_when_the_last_replica_has_gone(postgres: PostgresCluster, cluster: Any) -> None:
    db = cluster.open().options(read_only=True)
    with load(lambda thread, serial: on_replica(db), threads=2) as reads:
        assert [on_replica(db) for _ in range(20)] == [True] * 20
        cluster.drain("n3")
        postgres.kill("n2")
        assert [on_replica(db) for _ in range(10)] == [False] * 10
        cluster.undrain("n3")
        assert [on_replica(db) for _ in range(20)] == [True] * 20
    assert reads.failed == []


def test_what_is_asked_for_wins_over_the_knob_and_writes_go_to_the_primary(cluster: Any) -> None:
    db = cluster.open()
    assert not on_replica(db)
    assert db.run(lambda conn: execute(conn, ASKED).fetchone()[0]) is False
    assert on_replica(db.options(read_only=True))
    assert not on_replica(db.options(read_only=True, role="primary"))
    assert not on_replica(db.options(read_only=True, node="n1"))
    with db.connection(read_only=True) as conn:
        assert conn.node != "n1"
        against = {each.node: each.against for each in conn.route.candidates}
    assert against["n1"] == ("role: primary, and a replica serves, which is preferred",)
    cluster.reconfigure(read_role="any", policy="round-robin")
    reader = db.options(read_only=True)
    assert {on_replica(reader) for _ in range(3)} == {True, False}
    cluster.reconfigure(read_role="replica")
    assert {on_replica(reader) for _ in range(3)} == {True}
    cluster.reconfigure(read_role="any")
    assert {on_replica(db.options(**READ)) for _ in range(3)} == {True}


def test_a_framework_s_connection_to_the_primary_goes_when_a_replica_serves_again(cluster: Any) -> None:
    raws = [cluster.dial(**READ)]
    try:
        assert cluster.is_current(raws[0])
        for name in ("n2", "n3"):
            cluster.drain(name)
        assert not cluster.is_current(raws[0])
        raws.append(cluster.dial(read_only=True))
        assert cluster.is_current(raws[1])
        cluster.undrain("n2")
        assert not cluster.is_current(raws[1])
    finally:
        loop = getattr(cluster, "loop", None)
        for raw in raws:
            loop.call(raw.close) if loop is not None else raw.close()
