"""With innodb_rollback_on_timeout a lock wait that was too long (1205) undoes the whole transaction: nothing of it runs
on alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from support import face
from support.stage import execute, failure
from support.waiting import eventually

from clustersql.testing import MariaDBServer


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    settings = ("--innodb-rollback-on-timeout=ON", "--innodb-lock-wait-timeout=1")
    with MariaDBServer(settings=settings) as server:
        server.execute("n1", "CREATE TABLE app.t (id int PRIMARY KEY, n int) ENGINE=InnoDB")
        server.execute("n1", "INSERT INTO app.t VALUES (1, 0), (2, 0)")
        yield server


@pytest.mark.parametrize("driver", ["pymysql", "aiomysql"])
def test_run_begins_anew(server: MariaDBServer, driver: str) -> None:
    """Although the function has swallowed the error: its first row was undone too, so the rest alone is not
    committed.
    """
    server.execute("n1", "UPDATE app.t SET n = 0")
    other = pymysql.connect(host="127.0.0.1", port=server.port(), user="app", password="secret", database="app")
    with face.cluster_of(driver, "timeouts") as cluster:
        cluster.add_node("n1", server.dsn("n1"))
        db = cluster.open()
        assert eventually(lambda: 1205 in cluster.view.by_name["n1"].undoes)
        errors: list[Any] = []

        def work(conn: Any) -> None:
            execute(conn, "UPDATE t SET n = n + 1 WHERE id = 1")
            if conn.attempt == 1:
                with other.cursor() as cursor:
                    cursor.execute("UPDATE t SET n = n WHERE id = 2")
            errors.append(failure(execute, conn, "UPDATE t SET n = n + 1 WHERE id = 2"))
            other.rollback()

        db.run(work)
    other.close()
    assert [error is None for error in errors] == [False, True]
    assert server.execute("n1", "SELECT n FROM app.t ORDER BY id") == [(1,), (1,)]
