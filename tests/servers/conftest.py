"""Fixtures of the tests by subject: a stage per driver, over servers that live for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.stage import DRIVERS, MARIADB, POSTGRES, Stage, in_step

from clustersql.testing import FaultProxy, MariaDBServer, PostgresCluster

_POSTGRES_SCHEMA = (
    "DROP SCHEMA IF EXISTS public CASCADE",
    "CREATE SCHEMA public AUTHORIZATION app",
    "CREATE TABLE events (id bigserial PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL)",
    "CREATE SEQUENCE conflicts",
    # A sequence is not rolled back: the first one fails, the next one does not.
    """CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.name LIKE TG_ARGV[0] AND nextval('conflicts') = 1 THEN
           RAISE 'made for the test' USING ERRCODE = '40001';
         END IF;
         RETURN NEW;
       END $$""",
    "CREATE TRIGGER at_once BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION conflict('conflict%')",
    """CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION conflict('deferred%')""",
    """CREATE PROCEDURE twice(name text) LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO events (name) VALUES (twice.name);
         COMMIT;
       END $$""",
    "CREATE PROCEDURE nothing() LANGUAGE plpgsql AS $$ BEGIN END $$",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO app",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app",
)
_MARIADB_SCHEMA = (
    "DROP TABLE IF EXISTS events, counters",
    "DROP PROCEDURE IF EXISTS twice",
    "DROP PROCEDURE IF EXISTS nothing",
    "CREATE TABLE events (id bigint AUTO_INCREMENT PRIMARY KEY, name varchar(200) NOT NULL)",
    "CREATE TABLE counters (name varchar(100) PRIMARY KEY, n int NOT NULL)",
    "CREATE PROCEDURE nothing() BEGIN END",
    "CREATE PROCEDURE twice(name text) SQL SECURITY INVOKER BEGIN INSERT INTO events (name) VALUES (name); COMMIT; END",
)


@pytest.fixture(scope="session")
def _postgres(postgres_cluster: PostgresCluster) -> PostgresCluster:
    postgres_cluster.heal()
    for statement in _POSTGRES_SCHEMA:
        postgres_cluster.execute("n1", statement)
    in_step(postgres_cluster)
    return postgres_cluster


@pytest.fixture(scope="session")
def _mariadb(mariadb_server: MariaDBServer) -> MariaDBServer:
    mariadb_server.heal()
    for statement in _MARIADB_SCHEMA:
        mariadb_server.execute("n1", statement)
    return mariadb_server


@pytest.fixture
def postgres(_postgres: PostgresCluster) -> PostgresCluster:
    """The three-node cluster with the tests' tables, in good order."""
    _postgres.heal()
    return _postgres


def _stage(driver: str, request: pytest.FixtureRequest) -> Iterator[Stage]:
    server: Any = request.getfixturevalue("postgres" if driver in POSTGRES else "_mariadb")
    with ExitStack() as stack:
        a, b = (stack.enter_context(FaultProxy(server.port("n1"))) for _ in "ab")
        stage = Stage(driver, server, a, b)
        stack.callback(stage.end)
        yield stage


@pytest.fixture(params=DRIVERS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each driver."""
    yield from _stage(request.param, request)


@pytest.fixture(params=POSTGRES)
def postgres_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each driver of PostgreSQL."""
    yield from _stage(request.param, request)


@pytest.fixture(params=MARIADB)
def mariadb_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each driver of MariaDB."""
    yield from _stage(request.param, request)


@pytest.fixture(params=POSTGRES)
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver of PostgreSQL, for tests that make their own clusters; tests/servers/tls has fewer."""
    return str(request.param)


@pytest.fixture
def asyncpg_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for asyncpg."""
    yield from _stage("asyncpg", request)


@pytest.fixture(params=["psycopg", "psycopg-aio"])
def psycopg_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for psycopg, and one for its asyncio API."""
    yield from _stage(request.param, request)
