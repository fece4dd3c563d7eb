"""The peers from PyPI, each as calls by name; one that is not installed is left out, and said to be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .measure import Call


def new_cursor(connection: Any) -> Call:
    """Return ``SELECT 1`` on a cursor of its own."""

    def call() -> object:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        row = cursor.fetchone()
        cursor.close()
        return row

    return call


def checkout(connect: Callable[[], Any]) -> Call:
    """Return a checkout that does nothing."""

    def call() -> None:
        with connect():
            pass

    return call


def borrowed(connect: Callable[[], Any]) -> Call:
    """Return a checkout with one statement in its transaction."""

    def call() -> object:
        with connect() as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            return cursor.fetchone()

    return call


def missing(name: str) -> dict[str, Call]:
    """Say that a peer is not installed."""
    print(f"{name} is not installed: left out", file=sys.stderr)
    return {}


@contextmanager
def psycopg_pool(dsn: str) -> Iterator[dict[str, Call]]:
    """Yield psycopg's own pool."""
    try:
        from psycopg_pool import ConnectionPool
    except ImportError:
        yield missing("psycopg_pool")
        return
    with ConnectionPool(dsn, min_size=1, max_size=10) as pool:
        pool.wait()
        yield {
            "checkout + return: psycopg_pool": checkout(pool.connection),
            "checkout, statement, commit, return: psycopg_pool": borrowed(pool.connection),
        }


@contextmanager
def sqlalchemy(url: str, creator: Callable[[], Any]) -> Iterator[dict[str, Call]]:
    """Yield SQLAlchemy Core on a connection that is held, and its pool."""
    try:
        from sqlalchemy import QueuePool, create_engine, text
    except ImportError:
        yield missing("SQLAlchemy")
        return
    engine = create_engine(url + "://", creator=creator, poolclass=QueuePool)
    query = text("SELECT 1")

    def each() -> object:
        with engine.begin() as connection:
            return connection.execute(query).fetchone()

    with engine.connect() as held:
        held.execute(query)
        yield {
            "new cursor, execute + fetchone: SQLAlchemy exec_driver_sql": lambda: held.exec_driver_sql(
                "SELECT 1"
            ).fetchone(),
            "new cursor, execute + fetchone: SQLAlchemy text()": lambda: held.execute(query).fetchone(),
            "checkout + return: SQLAlchemy's pool": checkout(engine.connect),
            "checkout, statement, commit, return: SQLAlchemy": each,
        }
    engine.dispose()


@contextmanager
def aws(port: int) -> Iterator[dict[str, Call]]:
    """Yield the AWS wrapper around psycopg, with its default plugins."""
    try:
        import psycopg
        from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
    except ImportError:
        yield missing("aws-advanced-python-wrapper")
        return
    info = f"host=127.0.0.1 port={port} dbname=app user=app password=secret"
    connection = AwsWrapperConnection.connect(psycopg.Connection.connect, info, wrapper_dialect="pg")
    cursor = connection.cursor()

    def reused() -> object:
        cursor.execute("SELECT 1")
        return cursor.fetchone()

    try:
        yield {
            "execute + fetchone: AWS wrapper": reused,
            "new cursor, execute + fetchone: AWS wrapper": new_cursor(connection),
        }
    finally:
        connection.close()
        release_resources()


@contextmanager
def mysql_connector(fields: dict[str, Any]) -> Iterator[dict[str, Call]]:
    """Yield the pool of MySQL's own driver; it resets the session at each return, which is a round trip."""
    try:
        from mysql.connector.pooling import MySQLConnectionPool
    except ImportError:
        yield missing("mysql-connector-python")
        return
    pool = MySQLConnectionPool(pool_size=1, **fields)
    yield {
        "checkout + return: mysql-connector's pool": lambda: pool.get_connection().close(),
        "checkout, statement, return: mysql-connector's pool": _connector(pool),
    }
    pool._remove_connections()


def _connector(pool: Any) -> Call:
    def call() -> object:
        connection = pool.get_connection()
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        row = cursor.fetchone()
        cursor.close()
        connection.close()
        return row

    return call
