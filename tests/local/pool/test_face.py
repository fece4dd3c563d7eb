"""The faces of the driver: `Cluster` as its module, ``connect()`` as its connection."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Callable

import pytest

import clustersql

Make = Callable[..., clustersql.Cluster]


def test_cluster_is_a_pep_249_module(make_sync: Make) -> None:
    """Globals, exception classes, type objects and constructors are the driver's."""
    cluster = make_sync()
    assert (cluster.apilevel, cluster.threadsafety, cluster.paramstyle) == (
        sqlite3.apilevel,
        sqlite3.threadsafety,
        sqlite3.paramstyle,
    )
    for name in (
        "Warning Error InterfaceError DatabaseError DataError OperationalError IntegrityError ProgrammingError".split()
    ):
        assert getattr(cluster, name) is getattr(sqlite3, name)
    assert cluster.Binary is sqlite3.Binary
    assert cluster.Date is sqlite3.Date
    assert cluster.sqlite_version == sqlite3.sqlite_version  # and what only this driver has
    assert (cluster.__name__, cluster.__file__) == (sqlite3.__name__, sqlite3.__file__)
    assert cluster.__doc__ != sqlite3.__doc__
    with pytest.raises(AttributeError):
        _ = cluster.__wrapped__
    with pytest.raises(AttributeError):
        _ = cluster.no_such_thing
    with pytest.raises(AttributeError):
        _ = cluster._private


def test_connect_has_the_driver_s_meaning_of_with(make_sync: Make) -> None:
    """sqlite3 commits or rolls back and stays open."""
    conn = make_sync().connect()
    with conn:
        conn.execute("INSERT INTO events VALUES ('kept')")
    with contextlib.suppress(KeyError), conn:
        conn.execute("INSERT INTO events VALUES ('undone')")
        raise KeyError
    assert conn.execute("SELECT name FROM events").fetchall() == [("kept",)]
    conn.close()
    conn.close()
    with pytest.raises(clustersql.PoolClosed):
        conn.cursor()


def test_aiosqlite_s_meaning_of_with_is_to_close(make_over: Make) -> None:
    """What was not committed is undone by that."""
    cluster = make_over("aiosqlite")
    with cluster.connect() as conn:
        conn.execute("INSERT INTO events VALUES ('kept')")
        conn.commit()
        conn.execute("INSERT INTO events VALUES ('undone')")
    with pytest.raises(clustersql.PoolClosed):
        conn.cursor()
    assert cluster.open().execute("SELECT name FROM events").fetchall() == [("kept",)]


def test_connect_passes_the_driver_s_arguments(make: Make) -> None:
    """They win, and the connection is outside the pool."""
    cluster = make()
    sqlite3.register_converter(
        "day", lambda text: datetime.date.fromisoformat(text.decode())
    )  # the default one is deprecated
    conn = cluster.connect(detect_types=sqlite3.PARSE_COLNAMES, isolation_level=None)
    row = conn.execute("""SELECT '2020-01-02' AS "d [day]" """)
    assert row.fetchone() == (datetime.date(2020, 1, 2),)
    assert conn.isolation_level is None
    assert cluster.open().stats()["size"] == 0
    conn.close()


def test_what_pep_249_does_not_know_is_forwarded(make: Make) -> None:
    """Attributes and methods of the driver's own connection and cursor, setting included."""
    cluster = make()
    conn = cluster.connect()
    conn.row_factory = sqlite3.Row
    cursor = conn.execute("SELECT 1 AS one")
    assert cursor.fetchone()["one"] == 1
    assert cursor.execute("SELECT 2 AS two") is cursor  # where the driver's returns its cursor, ours returns ours
    assert [row["two"] for row in cursor] == [2]
    conn.create_function("twice", 1, lambda x: 2 * x)
    assert conn.execute("SELECT twice(21)").fetchone()[0] == 42
    assert "create_function()" in [pin.what for pin in conn.pins]
    assert isinstance(conn.driver_connection, cluster.driver.module.Connection)
    assert isinstance(cursor.driver_cursor, cluster.driver.module.Cursor)
    assert cursor.connection._state is conn._state
    cursor.arraysize = 7
    assert cursor.driver_cursor.arraysize == 7
    with pytest.raises(AttributeError):
        _ = conn.no_such_thing
    conn.close()


def test_registry(make_sync: Make) -> None:
    """By name, as the ancestor did it."""
    cluster = make_sync()
    clustersql.register(cluster)
    try:
        assert clustersql.open(cluster.name, "an ignored dsn").execute("SELECT 1").fetchone() == (1,)
        conn = clustersql.connect(cluster.name)
        assert conn.execute("SELECT 1").fetchone() == (1,)
        conn.close()
        assert clustersql.metrics()[cluster.name]["Nodes"]["a"]["Connections"] >= 1
    finally:
        clustersql.unregister(cluster.name)
    with pytest.raises(clustersql.ConfigError, match="no cluster"):
        clustersql.open(cluster.name)


def count(file: str) -> int:
    """How many rows are committed."""
    with contextlib.closing(sqlite3.connect(file)) as raw:
        (number,) = raw.execute("SELECT count(*) FROM events").fetchone()
        return int(number)


def test_run_and_its_helpers(make: Make) -> None:
    """Value, arguments, ``attempt``, ``on_commit`` once after the commit."""
    cluster, told = make(), []
    db, file = cluster.open(), cluster._topology.addresses["a"].database

    def work(conn: clustersql.Connection, a: int, *, b: int) -> int:
        conn.on_commit(lambda: told.append(count(str(file))))
        conn.execute("INSERT INTO events VALUES (?)", (str(conn.attempt),))
        assert told == []
        return a + b

    assert db.run(work, 1, b=2) == 3
    assert told == [1]
    with pytest.raises(sqlite3.IntegrityError):
        db.run(
            lambda conn: (
                conn.on_commit(lambda: told.append("never")),
                conn.execute("CREATE TABLE one (a UNIQUE)"),
                conn.execute("INSERT INTO one VALUES (1), (1)"),
            )
        )
    assert told == [1]
