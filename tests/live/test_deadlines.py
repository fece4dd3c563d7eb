"""``timeout`` bounds the statement too: it is ended from outside, its outcome told as after a lost connection, and no node is blamed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import clustersql
from clustersql.sync.connection import Connection
from clustersql.sync.database import Database
from clustersql.testing import MariaDBServer, PostgresCluster

SLEEP = {"psycopg": "SELECT pg_sleep(20)", "psycopg2": "SELECT pg_sleep(20)", "pg8000": "SELECT pg_sleep(20)"}
SLEEP |= {"pymysql": "SELECT SLEEP(20)", "mysqlclient": "SELECT SLEEP(20)"}
SLEEP |= {"mysql-connector": "SELECT SLEEP(20)", "mariadb": "SELECT SLEEP(20)"}
SLOW_INSERT = {
    "postgresql": "INSERT INTO events (name) SELECT 'slow' FROM pg_sleep(20)",
    "mysql": "INSERT INTO events (name) SELECT 'slow' FROM DUAL WHERE SLEEP(20) = 0",
}


@pytest.fixture(params=list(SLEEP))
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """One node of each kind of server, over each driver."""
    kind = "_postgres" if "pg" in SLEEP[request.param] else "_mariadb"
    server: PostgresCluster | MariaDBServer = request.getfixturevalue(kind)
    server.heal()
    cluster = clustersql.Cluster("bounded", driver=request.param)
    cluster.add_node("n1", server.dsn("n1"))
    with cluster.open() as db:
        db.execute("SELECT 1")
        yield db
        assert cluster.metrics()["Nodes"]["n1"]["State"] == "up"
        server.terminate_sessions("n1")  # the server goes on sleeping; nobody cancels it yet


def sleep(db: Database) -> str:
    return SLEEP[db._pool.topology.driver.name]


def ended(db: Database, error: type[BaseException], function: object, *args: object) -> BaseException:
    """Return the error that ends ``function``, well before the server would."""
    began = time.monotonic()
    with pytest.raises(error) as caught:
        function(*args)  # type: ignore[operator]
    assert time.monotonic() - began < 10
    return caught.value


def test_a_read_ends_with_the_drivers_error_and_a_note(database: Database) -> None:
    read = database.options(timeout=0.3, read_only=True)
    exc = ended(database, database._pool.topology.driver.module.Error, read.execute, sleep(database))
    assert not isinstance(exc, clustersql.ClusterError)
    assert "the time of the operation was over" in exc.__notes__[0]


def test_a_write_is_of_unknown_outcome(database: Database) -> None:
    insert = SLOW_INSERT[database._pool.topology.driver.dialect.name]
    exc = ended(database, clustersql.OutcomeUnknown, database.options(timeout=0.3).execute, insert)
    assert "the time of the operation on node 'n1' was over" in str(exc)


def test_run_is_bounded_as_a_whole_and_not_repeated(database: Database) -> None:
    attempts = []

    def slow(conn: Connection) -> None:
        attempts.append(conn.attempt)
        conn.cursor().execute(sleep(database))

    ended(database, clustersql.TransactionLost, database.options(timeout=0.3).run, slow)
    assert attempts == [1]


def test_a_connection_bounds_each_statement_of_a_block(database: Database) -> None:
    with database.connection() as conn:
        cursor = conn.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()  # mysql-connector refuses the next statement otherwise
        with conn.options(timeout=0.3):
            ended(database, clustersql.TransactionLost, cursor.execute, sleep(database))
        conn.rollback()
        cursor.execute("SELECT 2")
        assert tuple(cursor.fetchone()) == (2,)


def test_nothing_is_ended_without_a_timeout(database: Database) -> None:
    """A statement that takes longer than the monitor's rounds, on a connection that was bounded before, goes on."""
    short = sleep(database).replace("20", "1.5")
    database.options(timeout=0.3).execute("SELECT 1")
    assert database.execute(short).fetchall()
