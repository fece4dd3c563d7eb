"""The contract of the asyncio drivers once more, through TLS: there a transport has another one below it, which has the socket."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from clustersql.drivers import load_async
from clustersql.drivers.contract import Target
from clustersql.testing import MariaDBServer, PostgresCluster
from clustersql.testing.async_contract import AsyncServerContract, AsyncSubject


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresCluster]:
    with PostgresCluster(1, tls=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True) as server:
        yield server


def _subject(driver: str, port: int, **arguments: Any) -> AsyncSubject:
    target = Target(host="127.0.0.1", port=port, user="app", password="secret", database="app", arguments=arguments)
    return AsyncSubject(load_async(driver), target)


class TestPostgres(AsyncServerContract):
    @pytest.fixture(params=["psycopg", "asyncpg"])
    def subject(self, request: Any, postgres: PostgresCluster) -> AsyncSubject:
        return _subject(request.param, postgres.port("n1"), sslmode="verify-ca", sslrootcert=postgres.ca_file)

    async def test_it_is_encrypted(self, subject: AsyncSubject, raw: Any) -> None:
        question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert await subject.driver.ask(raw, [question]) == [[(True,)]]


class TestMariaDB(AsyncServerContract):
    @pytest.fixture(params=["aiomysql", "asyncmy"])
    def subject(self, request: Any, mariadb: MariaDBServer) -> AsyncSubject:
        context = ssl.create_default_context(cafile=mariadb.ca_file)
        return _subject(request.param, mariadb.port(), ssl=context)

    async def test_it_is_encrypted(self, subject: AsyncSubject, raw: Any) -> None:
        [[(_, version)]] = await subject.driver.ask(raw, ["SHOW SESSION STATUS LIKE 'Ssl_version'"])
        assert version.startswith("TLS")
