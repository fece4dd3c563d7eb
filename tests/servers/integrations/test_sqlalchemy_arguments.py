"""What SQLAlchemy's dialects and `connect_args` want of the driver reaches it through both pools, on every driver that
both know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers.integrations.story import event_loop
from sqlalchemy import JSON, Connection, bindparam, create_engine, select, text, type_coerce
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import clustersql

POSTGRES = ("psycopg", "psycopg2", "pg8000", "psycopg-aio", "asyncpg")
MARIADB = {
    "pymysql": "pymysql",
    "mysqlclient": "mysqldb",
    "mysql-connector": "mysqlconnector",
    "mariadb": "mariadbconnector",
    "aiomysql": "aiomysql",
    "asyncmy": "asyncmy",
}
PLUGIN = "?plugin=clustersql&clustersql_cluster=arguments"
ASYNC = ("psycopg-aio", "asyncpg", "aiomysql", "asyncmy")


class Base(DeclarativeBase):
    """The tables of this file."""


class User(Base):
    """A row that two sessions change."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


class Engines:
    """Makes the recipe's engines over one server, and runs functions of a connection on them, whichever API it is."""

    def __init__(self, driver: str, server: Any, stack: ExitStack) -> None:
        self.driver, self.stack = driver, stack
        self.is_async = driver in ASYNC
        self.run = stack.enter_context(event_loop()) if self.is_async else None
        name = driver.removesuffix("-aio")
        self.cluster = clustersql.Cluster("arguments", **{"async_driver" if self.is_async else "driver": name})
        stack.callback(clustersql.unregister, clustersql.register(self.cluster).name)
        fields = {"ssl_disabled": True} if name == "pymysql" else {}
        self.cluster.add_node(
            "n1", host="127.0.0.1", port=server.port("n1"), user="app", password="secret", database="app", **fields
        )
        self.url = f"postgresql+{name}://" if driver in POSTGRES else f"mysql+{MARIADB[name]}://"

    def work(self, function: Callable[[Connection], Any], path: str = "", **options: Any) -> Any:
        """Return what ``function`` returns of a connection in a transaction, on an engine of its own."""
        if self.run is None:
            engine = create_engine(self.url + (path or "/") + PLUGIN, **options)
            try:
                with engine.begin() as conn:
                    return function(conn)
            finally:
                engine.dispose()
        return self.run(self._work(function, path, options))

    async def _work(self, function: Callable[[Connection], Any], path: str, options: dict[str, Any]) -> Any:
        engine = create_async_engine(self.url + (path or "/") + PLUGIN, **options)
        try:
            async with engine.begin() as conn:
                return await conn.run_sync(function)
        finally:
            await engine.dispose()

    def end(self) -> None:
        """Close the cluster."""
        if self.run is not None:
            self.run(self.cluster.aopen().close())
        self.cluster.close()


def _engines(driver: str, request: pytest.FixtureRequest) -> Iterator[Engines]:
    server: Any = request.getfixturevalue("postgres_cluster" if driver in POSTGRES else "mariadb_server")
    server.heal()
    with ExitStack() as stack:
        engines = Engines(driver, server, stack)
        stack.callback(engines.end)
        yield engines


@pytest.fixture(params=[*POSTGRES, *MARIADB])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    yield from _engines(request.param, request)


@pytest.fixture(params=list(MARIADB))
def on_mariadb(request: pytest.FixtureRequest) -> Iterator[Engines]:
    yield from _engines(request.param, request)


@pytest.fixture(params=list(POSTGRES))
def on_postgres(request: pytest.FixtureRequest) -> Iterator[Engines]:
    yield from _engines(request.param, request)


def test_an_update_counts_the_rows_that_it_found(on_mariadb: Engines) -> None:
    """Though it changed none: else the ORM takes a row that somebody else has set so for one that has vanished."""

    def counted(conn: Connection) -> int:
        Base.metadata.drop_all(conn)
        Base.metadata.create_all(conn)
        conn.execute(text("INSERT INTO users VALUES (1, 0)"))
        return conn.execute(text("UPDATE users SET n = 0 WHERE id = 1")).rowcount

    def stale(conn: Connection) -> None:
        with Session(conn) as session:
            user = session.get(User, 1)
            assert user is not None
            conn.execute(text("UPDATE users SET n = 5 WHERE id = 1"))
            user.n = 5
            session.flush()
        Base.metadata.drop_all(conn)

    assert on_mariadb.work(counted) == 1
    on_mariadb.work(stale)


def test_serializers(on_postgres: Engines) -> None:
    """Those of psycopg are in the ``context`` that the dialect gives to connect, asyncpg's are codecs, the others the
    dialect's types.
    """

    def asked(conn: Connection) -> Any:
        return conn.execute(select(type_coerce(bindparam("v", {"a": 1}, JSON), JSON))).scalar_one()

    options = {
        "json_serializer": lambda value: json.dumps(["written", value]),
        "json_deserializer": lambda value: ["read", json.loads(value)],
    }
    assert on_postgres.work(asked, **options) == ["read", ["written", {"a": 1}]]


def test_connect_args(engines: Engines) -> None:
    if engines.driver == "asyncpg":
        given: dict[str, Any] = {"server_settings": {"application_name": "mine"}}
    else:
        given = {"application_name": "mine"} if engines.driver in POSTGRES else {"init_command": "SET @mine = 'mine'"}
    ask = "SHOW application_name" if engines.driver in POSTGRES else "SELECT @mine"
    assert engines.work(lambda conn: conn.execute(text(ask)).scalar_one(), connect_args=given) == "mine"


def test_isolation_level(engines: Engines) -> None:
    ask = "SHOW transaction_isolation" if engines.driver in POSTGRES else "SELECT @@tx_isolation"
    told = engines.work(lambda conn: conn.execute(text(ask)).scalar_one(), isolation_level="SERIALIZABLE")
    assert told.lower() == "serializable"


def test_the_database_of_the_url_wins(engines: Engines) -> None:
    other = "postgres" if engines.driver in POSTGRES else "information_schema"
    ask = "SELECT current_database()" if engines.driver in POSTGRES else "SELECT DATABASE()"
    assert engines.work(lambda conn: conn.execute(text(ask)).scalar_one(), "/" + other) == other


@pytest.mark.parametrize("on_mariadb", ["pymysql", "mysqlclient"], indirect=True)
def test_the_cluster_as_the_module(on_mariadb: Engines) -> None:
    """The dialect finds the driver by the module's name, and with it the flag by which rows are counted."""
    engine = create_engine(on_mariadb.url, module=on_mariadb.cluster)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE counted (n INTEGER)"))
        conn.execute(text("INSERT INTO counted VALUES (0)"))
        assert conn.execute(text("UPDATE counted SET n = 0")).rowcount == 1
        conn.execute(text("DROP TABLE counted"))
    engine.dispose()
