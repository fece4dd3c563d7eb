"""`conn.peek()`: the driver's own connection for a look-up, which pins nothing; nothing of it is left at the next
checkout.
"""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.string import TextLoader
from support.stage import Stage, execute, failure, rows

import clustersql

REGISTRY = {
    "psycopg": "adapters",
    "pymysql": "decoders",
    "mysqlclient": "converter",
    "aiomysql": "decoders",
    "asyncmy": "decoders",
}


INTEGER, UNKNOWN_TYPE = 23, 999


def is_registered(registry: Any) -> bool:
    return (
        UNKNOWN_TYPE in registry
        if isinstance(registry, dict)
        else registry.get_loader(INTEGER, 0).__name__ == "TextLoader"
    )


def said(stage: Stage, raw: Any, sql: str) -> None:
    """Execute a statement on the driver's own connection, in its own way."""
    if stage.driver in ("psycopg", "psycopg-aio", "asyncpg"):
        stage.call(raw.execute, sql)
        if stage.driver != "asyncpg":
            stage.call(raw.commit)
    else:
        stage.call(raw.query, sql)


@pytest.mark.parametrize("stage", ["psycopg", "psycopg-aio", "asyncpg", "pymysql", "aiomysql"], indirect=True)
def test_a_look_pins_nothing_and_leaves_nothing(stage: Stage) -> None:
    setting, ask = (
        ("SET application_name = 'peeked'", "SHOW application_name")
        if stage.postgres
        else ("SET time_zone = '+03:00'", "SELECT @@time_zone")
    )
    db = stage.make(max_size=1).open()
    with db.connection() as conn:
        before = rows(execute(conn, ask))
        conn.commit()
        raw = conn.peek()
        assert raw is stage.raw(conn)
        said(stage, raw, setting)
        assert rows(execute(conn, ask)) != before
        assert conn.pins == ()
    with db.connection() as conn:
        assert stage.raw(conn) is raw, "the session was reset, not closed"
        assert rows(execute(conn, ask)) == before


@pytest.mark.parametrize("stage", ["psycopg", "psycopg-aio", "pymysql", "aiomysql"], indirect=True)
def test_what_is_registered_moves_along_and_is_gone_after_the_return(stage: Stage) -> None:
    name = REGISTRY[stage.driver.removesuffix("-aio")]
    db = stage.cluster.open()
    with db.connection() as conn:
        raw = conn.peek()
        first = getattr(raw, name)
        if name == "adapters":
            first.register_loader(INTEGER, TextLoader)
        else:
            first[UNKNOWN_TYPE] = str
        stage.server.terminate_sessions("n1")
        execute(conn, "SELECT 1")
        assert stage.raw(conn) is not raw
        raw = stage.raw(conn)
        assert is_registered(getattr(raw, name))
    assert not is_registered(getattr(raw, name))


@pytest.mark.parametrize("stage", ["psycopg", "psycopg-aio"], indirect=True)
def test_a_connection_that_was_given_back_cannot_be_looked_into(stage: Stage) -> None:
    conn = stage.db.connection()
    conn.close()
    assert isinstance(failure(conn.peek), clustersql.PoolClosed)
