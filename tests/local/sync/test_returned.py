"""What breaks into the return of a connection, when its work is done and committed, says so: it looks like a failure of
the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.breaking import SoftLimit

import clustersql
from clustersql import OutcomeUnknown
from clustersql.connection.interruption import DONE
from clustersql.sync.database import Database


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """What is executed on it leaves something behind, and a signal breaks into the reset of its session."""
    cluster = clustersql.Cluster("returning", driver="sqlite3")
    cluster.add_node("file", f"sqlite:///{tmp_path}/returning.db")
    with cluster.open() as database:
        database.execute("CREATE TABLE t (n INTEGER UNIQUE)")

        def broken_into(session: Any) -> Any:
            raise SoftLimit

        monkeypatch.setattr(database._pool, "resetting", broken_into)
        yield database


def write(conn: Any) -> None:
    conn.execute("CREATE TEMP TABLE mine (n INTEGER)")
    conn.execute("INSERT INTO t VALUES (1)")


def in_block(db: Database) -> None:
    with db.connection() as conn:
        write(conn)


def in_run(db: Database) -> None:
    db.run(write)


def alone(db: Database) -> None:
    db.execute("CREATE TEMP TABLE mine (n INTEGER)")


def given_up(db: Database) -> None:
    with db.connection() as conn:
        write(conn)
        raise ValueError


@pytest.mark.parametrize(
    ("work", "done"),
    [(in_block, True), (in_run, True), (alone, True), (given_up, False)],
    ids=["in a block", "in run", "alone", "given up"],
)
def test_the_exception_says_whether_the_work_is_done(
    db: Database, work: Callable[[Database], None], done: bool
) -> None:
    with pytest.raises(SoftLimit) as caught:
        work(db)
    assert (DONE in getattr(caught.value, "__notes__", [])) is done
    assert db.stats()["size"] == 0
    assert len(db.execute("SELECT n FROM t").fetchall()) == (done and work is not alone)


def test_it_does_not_hide_that_nobody_knows_how_the_work_has_ended(db: Database) -> None:
    """Else it would look like a failure that is certain."""
    unknown = OutcomeUnknown("node 'file' failed after COMMIT was sent")
    unknown.commit_id = "an-id"

    def work() -> None:
        with db.connection() as conn:
            write(conn)
            raise unknown

    with pytest.raises(SoftLimit) as caught:
        work()
    notes = "\n".join(caught.value.__notes__)
    assert "OutcomeUnknown: it broke into the return of the connection; before: node 'file' failed" in notes
    assert "db.settle('an-id')" in notes
