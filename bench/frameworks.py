"""What SQLAlchemy and Django cost over a cluster, beside themselves: with their own pools, and with the check of each
connection before its use (`pool_pre_ping`, `CONN_HEALTH_CHECKS`) that ours does without.  The client's CPU alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import clustersql

from .aio import timer as task_timer
from .measure import Call, Cpu, Group, pin, table, timer

SELECT = text("SELECT 1")
OWN = "its own pool"
STATEMENT = "a statement in a transaction"
SESSION = "a session of the ORM's: five rows read, one written"


class Base(DeclarativeBase):
    """The tables of this benchmark."""


class Item(Base):
    """A row that is read, and counted up."""

    __tablename__ = "bench_items"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]


def run(quick: bool) -> Iterator[Group]:
    """Yield a table per framework and driver."""
    pin()
    from clustersql.testing import MariaDBServer, PostgresCluster

    with PostgresCluster(1) as postgres, asyncio.Runner() as runner:
        yield _threads("SQLAlchemy, psycopg", "postgresql+psycopg", "psycopg", postgres, quick)
        for name in ("psycopg", "asyncpg"):
            yield _tasks(runner, f"SQLAlchemy, {name}, asynchronous", f"postgresql+{name}", name, postgres, quick)
        yield _django(postgres, quick)
    with MariaDBServer() as mariadb:
        yield _threads("SQLAlchemy, PyMySQL", "mysql+pymysql", "pymysql", mariadb, quick)


def _ways(scheme: str, key: str, driver: str, server: Any, stack: ExitStack) -> dict[str, tuple[str, dict[str, Any]]]:
    """The URL and the options of each row."""
    cluster = clustersql.register(clustersql.Cluster("bench", **{key: driver}))
    stack.callback(clustersql.unregister, "bench")
    cluster.add_node("n1", server.dsn("n1"))
    own = f"{scheme}://app:secret@127.0.0.1:{server.port('n1')}/app"
    ours = f"{scheme}:///?plugin=clustersql&clustersql_cluster=bench"
    return {
        OWN: (own, {}),
        "with pool_pre_ping": (own, {"pool_pre_ping": True}),
        "clustersql, the cluster's pool": (ours, {}),
        "clustersql, SQLAlchemy's pool": (f"{ours}&clustersql_pool=sqlalchemy", {}),
    }


def _table(title: str, timers: dict[str, Any], quick: bool) -> Group:
    base = {name: name.rpartition(": ")[0] + ": " + OWN for name in timers if not name.endswith(OWN)}
    group = table(title, timers, base, quick)
    group.unit = "us of the client's CPU"
    return group


def _threads(title: str, scheme: str, driver: str, server: Any, quick: bool) -> Group:
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for way, (url, options) in _ways(scheme, "driver", driver, server, stack).items():
            engine = create_engine(url, **options)
            stack.callback(engine.dispose)
            if way == OWN:
                Item.metadata.create_all(engine)
                with Session(engine) as session:
                    session.add_all([Item(id=number, count=0) for number in range(5)])
                    session.commit()

            def statement(engine: Any = engine) -> object:
                with engine.begin() as conn:
                    return conn.execute(SELECT).scalar_one()

            def session_of(engine: Any = engine) -> None:
                with Session(engine) as session:
                    rows = session.query(Item).all()
                    rows[0].count += 1
                    session.commit()

            calls |= {f"{STATEMENT}: {way}": statement, f"{SESSION}: {way}": session_of}
        ordered = {name: calls[name] for name in sorted(calls, key=lambda name: not name.startswith(STATEMENT))}
        return _table(title, {name: timer(call, Cpu()) for name, call in ordered.items()}, quick)


def _tasks(runner: asyncio.Runner, title: str, scheme: str, driver: str, server: Any, quick: bool) -> Group:
    with ExitStack() as stack:
        calls: dict[str, Callable[[], Awaitable[object]]] = {}
        for way, (url, options) in _ways(scheme, "async_driver", driver, server, stack).items():
            engine = create_async_engine(url, **options)
            stack.callback(lambda engine=engine: runner.run(engine.dispose()))

            async def statement(engine: Any = engine) -> object:
                async with engine.begin() as conn:
                    return (await conn.execute(SELECT)).scalar_one()

            calls[f"{STATEMENT}: {way}"] = statement
        stack.callback(lambda: runner.run(clustersql.registered()["bench"].aopen().close()))
        return _table(title, {name: task_timer(runner, call, Cpu()) for name, call in calls.items()}, quick)


def _django(server: Any, quick: bool) -> Group:
    import django
    from django.conf import settings

    own = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "app",
        "USER": "app",
        "PASSWORD": "secret",
        "HOST": "127.0.0.1",
        "PORT": str(server.port("n1")),
    }
    ways = {
        "its own pool": own | {"OPTIONS": {"pool": {"min_size": 1}}},
        "a connect for each": own,
        "CONN_MAX_AGE and CONN_HEALTH_CHECKS": own | {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
        "clustersql": own | {"ENGINE": "clustersql.integrations.django.postgresql"},
    }
    settings.configure(DATABASES={"default": own} | ways)
    django.setup()
    from django.db import connections

    def request(way: str) -> Call:
        def call() -> object:
            connection = connections[way]
            connection.close_if_unusable_or_obsolete()  # as Django does when a request begins, and ends
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                row = cursor.fetchone()
            connection.health_check_done = False
            connection.close_if_unusable_or_obsolete()
            return row

        return call

    try:
        timers = {f"a request of one query: {way}": timer(request(way), Cpu()) for way in ways}
        return _table("Django, psycopg", timers, quick)
    finally:
        for way in ways:
            connections[way].close()
            if hasattr(connections[way], "close_pool"):
                connections[way].close_pool()
