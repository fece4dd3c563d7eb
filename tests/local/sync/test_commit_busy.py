"""A COMMIT that SQLite refuses because somebody reads leaves the transaction open: it may be committed again, or is
rolled back at the return.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustersql import Cluster

ROWS = "SELECT n FROM t ORDER BY n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = str(tmp_path / "busy.db")
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE t (n int)")
    raw.close()
    return path


@pytest.fixture
def reader(file: str) -> Iterator[Any]:
    """Somebody who reads until `rollback`."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("BEGIN")
    raw.execute(ROWS).fetchall()
    yield raw
    raw.close()


@pytest.fixture
def db(file: str) -> Iterator[Any]:
    cluster = Cluster("busy", driver="sqlite3", max_size=1)
    cluster.add_node("a", database=file, timeout=0.01)
    with cluster.open() as db:
        yield db
    cluster.close()


def test_it_may_be_committed_again(db: Any, reader: Any) -> None:
    called: list[int] = []
    with db.connection() as conn:
        conn.execute("INSERT INTO t VALUES (1)")
        conn.on_commit(lambda: called.append(1))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            conn.commit()
        assert called == []
        reader.execute("ROLLBACK")
        conn.commit()
        assert called == [1]
    assert db.execute(ROWS).fetchall() == [(1,)]


def test_it_is_rolled_back_at_the_return(db: Any, reader: Any) -> None:
    """The next user commits his own rows only."""
    with pytest.raises(sqlite3.OperationalError, match="locked"), db.connection() as conn:
        conn.execute("INSERT INTO t VALUES (1)")
    reader.execute("ROLLBACK")
    with db.connection() as conn:
        conn.execute("INSERT INTO t VALUES (2)")
    assert db.execute(ROWS).fetchall() == [(2,)]
