"""A standby that freezes while programs read: whichever framework has sent it a statement, nobody hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import django.db
import flask
import flask_sqlalchemy
from django.db import close_old_connections
from servers.integrations.djangos import connected, databases
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from support.waiting import eventually

import clustersql
from clustersql.integrations.peewee import PostgresqlDatabase
from clustersql.integrations.sqlalchemy import read_only
from clustersql.testing import PostgresCluster

QUICK = {"stall_after": 1.0, "connect_timeout": 3.0, "probe_interval": 0.5, "policy": "round-robin"}
PATIENCE = 100
"""Seconds after which a program hangs: one that is woken takes a few."""
PORT = "SELECT inet_server_port()"
Ask = Callable[[], int]
"""One read of a program's: the port of the node that has served it."""


@contextmanager
def registered(servers: PostgresCluster, name: str, **knobs: Any) -> Iterator[clustersql.Cluster]:
    """A cluster of one program's own, which learns of the frozen node by itself."""
    with ExitStack() as stack:
        cluster = clustersql.register(clustersql.Cluster(name, driver="psycopg", **QUICK, **knobs))
        stack.callback(clustersql.unregister, name)
        for node in servers.nodes:
            cluster.add_node(node, servers.dsn(node))
        yield cluster


@contextmanager
def over_django(servers: PostgresCluster) -> Iterator[Ask]:
    def ask() -> int:
        close_old_connections()
        try:
            with django.db.connections["replica"].cursor() as cursor:
                cursor.execute(PORT)
                return int(cursor.fetchone()[0])
        finally:
            close_old_connections()

    with connected(databases("psycopg", servers, KNOBS=QUICK)):
        yield ask


@contextmanager
def over_peewee(servers: PostgresCluster) -> Iterator[Ask]:
    with registered(servers, "peewee"):
        reads = PostgresqlDatabase("app", cluster="peewee", read_only=True)

        def ask() -> int:
            with reads.connection_context():
                return int(reads.execute_sql(PORT).fetchone()[0])

        yield ask


@contextmanager
def over_flask(servers: PostgresCluster) -> Iterator[Ask]:
    with registered(servers, "flask", read_only=True):
        app = flask.Flask("shop")
        app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg:///?plugin=clustersql&clustersql_cluster=flask"
        db = flask_sqlalchemy.SQLAlchemy(app)
        app.add_url_rule("/", view_func=lambda: {"port": db.session.execute(text(PORT)).scalar_one()})
        yield lambda: app.test_client().get("/").json["port"]
        with app.app_context():
            db.engine.dispose()


@contextmanager
def over_sqlalchemys_pool(servers: PostgresCluster) -> Iterator[Ask]:
    """Its pool hands connections out in turn; it has one to each node."""
    url = "postgresql+psycopg:///?plugin=clustersql&clustersql_cluster=own&clustersql_pool=sqlalchemy"
    with registered(servers, "own"):
        engine = create_engine(url, pool_size=3, max_overflow=0)
        reads = read_only(engine)

        def ask() -> int:
            with reads.connect() as conn:
                return int(conn.execute(text(PORT)).scalar_one())

        def holds_all() -> bool:
            reads.dispose()
            with ExitStack() as stack:
                conns = [stack.enter_context(reads.connect()) for _ in range(3)]
                return len({conn.execute(text(PORT)).scalar_one() for conn in conns}) == 3

        assert eventually(holds_all)
        yield ask
        reads.dispose()
        engine.dispose()


OURS = {"Django": over_django, "Peewee": over_peewee, "Flask-SQLAlchemy": over_flask}
"""Programs over the cluster's pool, which have no error."""
ALL = OURS | {"SQLAlchemy's pool": over_sqlalchemys_pool}


def test_a_freeze(postgres_cluster: PostgresCluster) -> None:
    """SQLAlchemy's own pool has one error, at the statement that was under way; the others have none."""
    postgres_cluster.heal()
    frozen = postgres_cluster.port("n3")
    answers: dict[str, list[Any]] = {name: [] for name in ALL}

    def read(name: str, ask: Ask) -> None:
        for _ in range(9):
            try:
                answers[name].append(ask())
            except Exception as exc:
                answers[name].append(exc)

    with ExitStack() as stack:
        asks = {name: stack.enter_context(program(postgres_cluster)) for name, program in ALL.items()}
        for name, ask in asks.items():
            assert eventually(lambda ask=ask: len({ask() for _ in range(9)}) == 3), name
        stack.callback(postgres_cluster.thaw, "n3")
        postgres_cluster.freeze("n3")
        threads = [threading.Thread(target=read, args=item, daemon=True) for item in asks.items()]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        found = {name: list(told) for name, told in answers.items()}
    assert {name: len(told) for name, told in found.items()} == dict.fromkeys(ALL, 9), "nobody hangs"
    for name in OURS:
        assert frozen not in found[name], name
        assert [one for one in found[name] if isinstance(one, Exception)] == [], name
    errors = [one for one in found["SQLAlchemy's pool"] if isinstance(one, Exception)]
    assert len(errors) <= 1
    assert all(isinstance(one, DBAPIError) for one in errors)
    assert frozen not in found["SQLAlchemy's pool"]
