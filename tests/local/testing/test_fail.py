"""`clustersql.testing.fail`: a program's own test of what it does when a COMMIT ends badly."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import AlreadyCommitted, ConfigError, OutcomeUnknown, TransactionLost
from clustersql.testing import fail


@pytest.fixture
def db(tmp_path: Path) -> Any:
    shop = clustersql.Cluster("shop", driver="sqlite3")
    shop.add_node("a", database=str(tmp_path / "a.db"))
    with shop.open() as database:
        database.execute("CREATE TABLE t (n int)")
        yield database


def insert(conn: Any) -> int:
    conn.cursor().execute("INSERT INTO t VALUES (1)")
    return 5


def count(db: Any) -> int:
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def test_the_next_commit_is_unknown_and_not_run_again(db: Any) -> None:
    told: list[int] = []

    def work(conn: Any) -> None:
        told.append(conn.attempt)
        insert(conn)

    with (
        fail("commit", OutcomeUnknown),
        pytest.raises(OutcomeUnknown, match="has ordered it"),
    ):
        db.run(work)
    assert (told, count(db)) == ([1], 0)
    assert db.run(insert) == 5


def test_a_lost_one_is_run_again(db: Any) -> None:
    with fail("commit", TransactionLost):
        assert db.run(insert) == 5
    assert count(db) == 1


def test_a_block_in_which_nothing_is_committed_says_so(db: Any) -> None:
    with pytest.raises(AssertionError, match="nothing was committed"), fail("commit", OutcomeUnknown):
        pass
    assert db.run(insert) == 5


@pytest.mark.parametrize(
    ("operation", "kind"), [("fetch", OutcomeUnknown), ("commit", AlreadyCommitted), ("commit", 7)]
)
def test_what_cannot_be_ordered(operation: Any, kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"commit: OutcomeUnknown, TransactionLost"), fail(operation, kind):
        pass


def test_a_database_that_cannot_be_guarded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a sqlite database cannot be guarded"):
        clustersql.Cluster("shop", driver="sqlite3", commit_guard=True)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"commit_guard": True, "read_only": True}, "no COMMIT to guard"),
        ({"commit_guard_required": True}, "set commit_guard as well"),
        ({"commit_guard_table": "a.b.c"}, "must be a table's name"),
        ({"commit_guard_table": ""}, "must be a table's name"),
    ],
)
def test_knobs_that_make_no_sense(knobs: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        clustersql.Cluster("shop", driver="psycopg", **knobs)


def test_already_committed_keeps_what_it_says_in_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(AlreadyCommitted("done", "key", 7)))
    assert (str(error), error.key, error.at) == ("done", "key", 7)
