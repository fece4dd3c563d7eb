"""``timeout`` bounds the statement too: it is ended from outside, its outcome told as after a lost connection, and no
node is blamed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import face
from support.stage import DRIVERS, POSTGRES

import clustersql
from clustersql.testing import MariaDBServer, PostgresCluster

SLEEP = {"postgresql": "SELECT pg_sleep(20)", "mysql": "SELECT SLEEP(20)"}
SLOW_INSERT = {
    "postgresql": "INSERT INTO events (name) SELECT 'slow' FROM pg_sleep(20)",
    "mysql": "INSERT INTO events (name) SELECT 'slow' FROM DUAL WHERE SLEEP(20) = 0",
}


@pytest.fixture(params=DRIVERS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One node of each kind of server, over each driver."""
    kind = "_postgres" if request.param in POSTGRES else "_mariadb"
    server: PostgresCluster | MariaDBServer = request.getfixturevalue(kind)
    server.heal()
    with face.cluster_of(request.param, "bounded") as cluster:
        cluster.add_node("n1", server.dsn("n1"))
        cluster.open().execute("SELECT 1")
        yield cluster
        assert cluster.metrics()["Nodes"]["n1"]["State"] == "up"
    server.terminate_sessions("n1")  # the server goes on sleeping; nobody cancels it yet


@pytest.fixture
def database(cluster: Any) -> Any:
    return cluster.open()


def sleep(cluster: Any) -> str:
    return SLEEP[cluster.driver.dialect.name]


def ended(error: type[BaseException], function: object, *args: object) -> BaseException:
    """Return the error that ends ``function``, well before the server would."""
    began = time.monotonic()
    with pytest.raises(error) as caught:
        function(*args)  # type: ignore[operator]
    assert time.monotonic() - began < 10
    return caught.value


def test_a_read_ends_with_the_drivers_error_and_a_note(cluster: Any, database: Any) -> None:
    read = database.options(timeout=0.3, read_only=True)
    exc = ended(Exception, read.execute, sleep(cluster))
    assert isinstance(exc, (cluster.driver.error, OSError))  # pg8000 passes a reset of the socket on as it is
    assert not isinstance(exc, clustersql.ClusterError)
    assert "the time of the operation was over" in exc.__notes__[0]


def test_a_write_is_of_unknown_outcome(cluster: Any, database: Any) -> None:
    insert = SLOW_INSERT[cluster.driver.dialect.name]
    exc = ended(clustersql.OutcomeUnknown, database.options(timeout=0.3).execute, insert)
    assert "the time of the operation on node 'n1' was over" in str(exc)


def test_run_is_bounded_as_a_whole_and_not_repeated(cluster: Any, database: Any) -> None:
    attempts = []

    def slow(conn: Any) -> None:
        attempts.append(conn.attempt)
        conn.cursor().execute(sleep(cluster))

    ended(clustersql.TransactionLost, database.options(timeout=0.3).run, slow)
    assert attempts == [1]


def test_a_connection_bounds_each_statement_of_a_block(cluster: Any, database: Any) -> None:
    with database.connection() as conn:
        cursor = conn.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()  # mysql-connector refuses the next statement otherwise
        with conn.options(timeout=0.3):
            ended(clustersql.TransactionLost, cursor.execute, sleep(cluster))
        conn.rollback()
        cursor.execute("SELECT 2")
        assert tuple(cursor.fetchone()) == (2,)


def test_nothing_is_ended_without_a_timeout(cluster: Any, database: Any) -> None:
    """A statement that takes longer than the monitor's rounds, on a connection that was bounded before, goes on."""
    short = sleep(cluster).replace("20", "0.8")
    database.options(timeout=0.3).execute("SELECT 1")
    assert database.execute(short).fetchall()
