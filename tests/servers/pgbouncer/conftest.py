"""Real pgbouncers, in transaction mode, before the nodes of the PostgreSQL cluster that the whole run shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.stage import in_step

from clustersql.testing import PgBouncer, PostgresCluster

DRIVERS = ("psycopg", "psycopg2", "pg8000", "psycopg-aio", "asyncpg")

_SCHEMA = (
    "DROP SCHEMA IF EXISTS pooled CASCADE",
    "CREATE SCHEMA pooled AUTHORIZATION app",
    "CREATE TABLE pooled.notes (tenant text, name text)",
    "CREATE TABLE pooled.private (tenant text, name text)",
    "INSERT INTO pooled.private VALUES ('one', 'of one'), ('two', 'of two')",
    "ALTER TABLE pooled.private ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON pooled.private USING (tenant = current_setting('app.tenant', true))",
    "GRANT ALL ON ALL TABLES IN SCHEMA pooled TO app",
)


@pytest.fixture(scope="session")
def _postgres(postgres_cluster: PostgresCluster) -> PostgresCluster:
    postgres_cluster.heal()
    for statement in _SCHEMA:
        postgres_cluster.execute("n1", statement)
    in_step(postgres_cluster)
    return postgres_cluster


@pytest.fixture
def postgres(_postgres: PostgresCluster) -> PostgresCluster:
    """The cluster behind the poolers, in good order."""
    _postgres.heal()
    return _postgres


@pytest.fixture
def bouncer(postgres: PostgresCluster) -> Iterator[Callable[..., PgBouncer]]:
    """A function that starts a pgbouncer before each node."""
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(PgBouncer(postgres, **arguments))


@pytest.fixture
def narrow(bouncer: Callable[..., PgBouncer]) -> PgBouncer:
    """Poolers with one session of the server for all clients."""
    return bouncer(pool_size=1)


def in_order(loads: Any, now: float, random: Any) -> Any:
    """A policy: "a" before "b"."""
    return sorted(loads, key=lambda load: load.name)


@pytest.fixture
def opened() -> Iterator[Callable[..., Any]]:
    """A function that makes a cluster over ports, by a driver of either API."""
    with ExitStack() as stack:

        def make(driver: str, ports: dict[str, int], **knobs: Any) -> Any:
            knobs = {"policy": in_order, "timeout": 30.0} | knobs
            cluster = stack.enter_context(face.cluster_of(driver, "pooled", **knobs))
            for name, port in ports.items():
                fields = {"host": "127.0.0.1", "port": port, "user": "app", "password": "secret", "database": "app"}
                cluster.add_node(name, via="pgbouncer-transaction", **fields)
            return cluster

        yield make
