"""SQLite's autocommit mode, turned on within a transaction: the driver commits, so that is a COMMIT with all that
belongs to one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.stage import failure

import clustersql

LEVEL = ({}, "isolation_level", None)
MODE = ({"autocommit": False}, "autocommit", True)
WAYS = [LEVEL, MODE] if hasattr(sqlite3.Connection, "autocommit") else [LEVEL]
"""How it is opened, and what turns it on; the attribute is Python 3.12's."""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A database with a table."""
    file = str(tmp_path / "database")
    raw = sqlite3.connect(file)
    raw.execute("CREATE TABLE t (n int)")
    raw.close()
    return file


@pytest.fixture
def cluster(file: str) -> Iterator[clustersql.Cluster]:
    """Over that file."""
    cluster = clustersql.Cluster("commits", driver=sqlite3)
    cluster.add_node("a", database=file)
    yield cluster
    cluster.close()


def count(file: str) -> Any:
    """How many rows are committed, as another process would see it."""
    raw = sqlite3.connect(file)
    try:
        return raw.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        raw.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[1])
def test_it_commits(cluster: clustersql.Cluster, file: str, way: Any) -> None:
    """What is registered for the commit is called, what follows stands alone, and nothing of it passes us by."""
    called: list[int] = []
    arguments, name, value = way
    with closing(cluster.connect(**arguments)) as conn:
        conn.execute("INSERT INTO t VALUES (1)")
        conn.on_commit(lambda: called.append(1))
        setattr(conn, name, value)
        assert (called, count(file), conn.pins) == ([1], 1, ())
        conn.execute("INSERT INTO t VALUES (2)")
        conn.rollback()
        assert (called, count(file)) == ([1], 2)
        setattr(conn, name, arguments.get(name, ""))
        conn.execute("INSERT INTO t VALUES (3)")
        conn.rollback()
        assert count(file) == 2


def test_the_legacy_mode_commits_nothing(cluster: clustersql.Cluster, file: str) -> None:
    """Nor does another isolation level."""
    for arguments, name, _ in WAYS:
        with closing(cluster.connect(**arguments)) as conn:
            conn.execute("INSERT INTO t VALUES (1)")
            setattr(conn, name, -1 if arguments else "IMMEDIATE")
            conn.rollback()
    assert count(file) == 0


def test_run_calls_nothing_again_after_it(cluster: clustersql.Cluster, file: str) -> None:
    """What was committed would be done twice."""
    attempts: list[int] = []

    def work(conn: Any) -> None:
        attempts.append(1)
        conn.execute("INSERT INTO t VALUES (1)")
        conn.isolation_level = None
        raise clustersql.TransactionLost("as if it were lost afterwards")

    assert failure(cluster.open().run, work) is not None
    assert (attempts, count(file)) == ([1], 1)
