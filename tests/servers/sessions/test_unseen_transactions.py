"""A transaction that is opened in autocommit mode behind our back: after a deadlock nothing of it may be run again
alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from support import face
from support.stage import LOCKS, MARIADB

from clustersql.testing import MariaDBServer

OPENED_BY = {"SET": "SET autocommit = 0", "CALL": "CALL open_one()"}


@pytest.fixture(params=MARIADB)
def cluster(mariadb_server: MariaDBServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    mariadb_server.heal()
    for statement in (
        "CREATE OR REPLACE TABLE pair (id int PRIMARY KEY, n int) ENGINE=InnoDB",
        "INSERT INTO pair VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)",
        "CREATE OR REPLACE PROCEDURE open_one() SQL SECURITY INVOKER START TRANSACTION",
    ):
        mariadb_server.execute("n1", statement)
    with face.cluster_of(request.param, "unseen") as cluster:
        cluster.add_node("n1", mariadb_server.dsn("n1"))
        yield cluster


@pytest.mark.parametrize("opened", list(OPENED_BY))
def test_a_deadlock_is_the_drivers_error(cluster: Any, mariadb_server: MariaDBServer, opened: str) -> None:
    """The server has undone the first UPDATE too: to run only the second again would commit a half."""
    other = pymysql.connect(host="127.0.0.1", port=mariadb_server.port(), user="app", password="secret", database="app")
    with cluster.open().connection() as conn:
        if callable(conn.autocommit):
            conn.autocommit(True)
        else:
            conn.autocommit = True
        cursor = conn.cursor()
        cursor.execute(OPENED_BY[opened])
        with other.cursor() as heavy:
            heavy.execute("UPDATE pair SET n = n + 1 WHERE id >= 2")  # more rows: the other side is the victim
            cursor.execute("UPDATE pair SET n = 100 WHERE id = 1")
            blocked = threading.Thread(target=heavy.execute, args=("UPDATE pair SET n = n + 1 WHERE id = 1",))
            blocked.start()
            _until_waiting(mariadb_server)
            with pytest.raises(cluster.driver.error, match=r"1213|Deadlock"):
                cursor.execute("UPDATE pair SET n = 200 WHERE id = 2")
            blocked.join()
        conn.rollback()
    other.commit()
    other.close()
    assert mariadb_server.execute("n1", "SELECT n FROM pair WHERE id IN (1, 2) ORDER BY id") == [(1,), (1,)]


def _until_waiting(server: MariaDBServer) -> None:
    deadline = time.monotonic() + 20
    while not server.execute("n1", "SELECT count(*) FROM information_schema.INNODB_LOCK_WAITS")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(LOCKS)
