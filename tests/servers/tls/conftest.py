"""Servers that let nobody in who does not encrypt, with the tables of tests/servers; their addresses tell the drivers
to.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.conftest import _MARIADB_SCHEMA, _POSTGRES_SCHEMA
from support.stage import in_step

from clustersql.testing import GaleraCluster, MariaDBServer, PostgresCluster


class EncryptedPostgres(PostgresCluster):
    def dsn(self, name: str = "n1") -> str:
        return f"{super().dsn(name)}?sslmode=verify-ca&sslrootcert={self.ca_file}"


class EncryptedMariaDB(MariaDBServer):
    trusted = ""
    """The authorities; by default its own."""

    def dsn(self, name: str = "n1") -> str:
        return f"{super().dsn(name)}?ssl_ca={self.trusted or self.ca_file}&ssl_verify_cert=true"


class EncryptedGalera(GaleraCluster):
    def dsn(self, name: str = "n1") -> str:
        return f"{super().dsn(name)}?ssl_ca={self.ca_file}&ssl_verify_cert=true"


@pytest.fixture(scope="package")
def encrypted_postgres() -> Iterator[PostgresCluster]:
    with EncryptedPostgres(tls=True) as cluster:
        for name in cluster.nodes:  # who is copied from it has it too
            rules = cluster.directory / name / "pg_hba.conf"
            rules.write_text(f"hostnossl all app,poor all reject\n{rules.read_text()}")
            cluster.execute(name, "SELECT pg_reload_conf()")
        for statement in _POSTGRES_SCHEMA:
            cluster.execute("n1", statement)
        in_step(cluster)
        yield cluster


@pytest.fixture(scope="package")
def encrypted_mariadb() -> Iterator[MariaDBServer]:
    with EncryptedMariaDB(tls=True) as server:
        for statement in _MARIADB_SCHEMA:
            server.execute("n1", statement)
        server.execute("n1", "ALTER USER app REQUIRE SSL")
        yield server


@pytest.fixture(params=["psycopg", "asyncpg"])
def driver(request: pytest.FixtureRequest) -> str:
    """One driver for threads and one of asyncio, for tests that make their own clusters."""
    return str(request.param)


@pytest.fixture
def postgres(encrypted_postgres: PostgresCluster) -> Iterator[PostgresCluster]:
    """The three-node cluster with the tests' tables, in good order before and after."""
    encrypted_postgres.heal()
    yield encrypted_postgres
    encrypted_postgres.heal()
