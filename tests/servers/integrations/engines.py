"""SQLAlchemy engines over a cluster by their URL, of both APIs, with one face for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from servers.integrations.story import event_loop
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

import clustersql
from clustersql.integrations.sqlalchemy import arun, read_only, run

POSTGRES = ("psycopg", "psycopg2", "pg8000", "psycopg-aio", "asyncpg")
ASYNC = ("psycopg-aio", "asyncpg", "aiomysql", "asyncmy", "aiosqlite")
NAMES = {
    "mysqlclient": "mysqldb",
    "mysql-connector": "mysqlconnector",
    "mariadb": "mariadbconnector",
    "sqlite3": "pysqlite",
}


def scheme(driver: str) -> str:
    """The beginning of a URL of SQLAlchemy's for one of our drivers."""
    name = driver.removesuffix("-aio")
    family = "postgresql" if driver in POSTGRES else "sqlite" if "sqlite" in driver else "mysql"
    return f"{family}+{NAMES.get(name, name)}"


class Engines:
    """Makes engines over one cluster, and calls functions of a connection or a session on them, whichever API it is."""

    def __init__(self, driver: str, stack: ExitStack) -> None:
        self.driver, self.stack = driver, stack
        self.is_async = driver in ASYNC
        self.call: Callable[..., Any] = stack.enter_context(event_loop()) if self.is_async else lambda value: value
        self.pools: list[Any] = []

    def url(self, rest: str) -> str:
        """The URL with ``rest`` behind its scheme."""
        return f"{scheme(self.driver)}://{rest}"

    def make(self, rest: str, **options: Any) -> Any:
        """Return an engine, disposed of in the end."""
        engine = (create_async_engine if self.is_async else create_engine)(self.url(rest), **options)
        self.stack.callback(lambda: self.call(engine.dispose()))
        return engine

    def reads(self, engine: Any, **options: Any) -> Any:
        """Return the read-only engine beside ``engine``."""
        found = read_only(engine, **options)
        self.stack.callback(lambda: self.call(found.dispose()))
        return found

    def work(self, engine: Any, function: Callable[[Any], Any]) -> Any:
        """Return what ``function`` returns of a connection in a transaction."""
        if not self.is_async:
            with engine.begin() as conn:
                return function(conn)
        return self.call(self._work(engine, function))

    async def _work(self, engine: Any, function: Callable[[Any], Any]) -> Any:
        async with engine.begin() as conn:
            return await conn.run_sync(function)

    def run(self, engine: Any, function: Callable[[Any], Any]) -> Any:
        """Call ``function(session)`` by `run` or `arun`."""
        if not self.is_async:
            return run(sessionmaker(engine), function)

        async def inner(session: Any) -> Any:
            return await session.run_sync(function)

        return self.call(arun(async_sessionmaker(engine), inner))

    def ask(self, engine: Any, sql: str) -> Any:
        """Return the one value of a query."""
        return self.work(engine, lambda conn: conn.execute(text(sql)).scalar_one())


@contextmanager
def engines_of(driver: str, **knobs: Any) -> Iterator[tuple[Engines, clustersql.Cluster]]:
    """Engines, and a registered cluster "shop" without nodes; all is ended after the block."""
    with ExitStack() as stack:
        cluster = clustersql.Cluster(
            "shop", **{"async_driver" if driver in ASYNC else "driver": driver.removesuffix("-aio"), **knobs}
        )
        clustersql.register(cluster)
        stack.callback(clustersql.unregister, "shop")
        engines = Engines(driver, stack)
        if engines.is_async:
            stack.callback(lambda: engines.call(cluster.aopen().close()))
        yield engines, cluster
