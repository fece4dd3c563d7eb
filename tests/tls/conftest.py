"""Servers that encrypt, with the tables of tests/live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live.conftest import _MARIADB_SCHEMA, _POSTGRES_SCHEMA

from clustersql.testing import MariaDBServer, PostgresCluster


@pytest.fixture(scope="package")
def encrypted_postgres() -> Iterator[PostgresCluster]:
    with PostgresCluster(1, tls=True) as cluster:
        for statement in _POSTGRES_SCHEMA:
            cluster.execute("n1", statement)
        yield cluster


@pytest.fixture(scope="package")
def encrypted_mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True) as server:
        for statement in _MARIADB_SCHEMA:
            server.execute("n1", statement)
        yield server
