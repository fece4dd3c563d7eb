"""A statement that is known, run on the session itself: whatever is raised, at whichever place, ends as it does on a
connection and a cursor of ours.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import clustersql
from clustersql.connection.interruption import DONE, INTERRUPTED
from clustersql.sync.database import Database

KNOWN = "SELECT 1"


class Interrupted(BaseException):
    """What a signal's handler may raise."""


class Cursor(sqlite3.Cursor):
    """Raises what is planned for one of its methods, once."""

    plan: ClassVar[dict[str, BaseException]] = {}

    def execute(self, *args: Any) -> Any:
        answer = super().execute(*args)
        raise_planned("execute")
        return answer

    def fetchall(self) -> Any:
        raise_planned("fetchall")
        return super().fetchall()

    def close(self) -> None:
        raise_planned("close")
        super().close()


def raise_planned(place: str) -> None:
    if place in Cursor.plan and threading.current_thread() is threading.main_thread():  # not in a probe
        raise Cursor.plan.pop(place)


class Raw(sqlite3.Connection):
    def cursor(self, *args: Any) -> Any:
        raise_planned("cursor")
        return super().cursor(Cursor)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    cluster = clustersql.Cluster("single", driver="sqlite3", max_size=1, probe_interval=60.0)
    cluster.add_node("file", f"sqlite:///{tmp_path}/single.db", factory=Raw)
    db = cluster.open()
    db.execute(KNOWN)
    Cursor.plan.clear()
    yield db
    Cursor.plan.clear()
    cluster.close()


@pytest.fixture(params=["at once", "in full"])
def way(request: pytest.FixtureRequest, db: Database) -> Database:
    """What has a deadline is run on a connection and a cursor of ours: it must end the same."""
    return db if request.param == "at once" else db.options(timeout=60.0)


def planned(db: Database, place: str, error: BaseException) -> tuple[Any, int]:
    """Execute with ``error`` at ``place``.  Returns the rows or what was raised, and how many connections are idle
    then.
    """
    Cursor.plan[place] = error
    try:
        found: Any = db.execute(KNOWN).fetchall()
    except BaseException as exc:
        found = exc
    assert not Cursor.plan, "it was not raised"
    assert db.stats()["in_flight"] == 0
    return found, db.stats()["idle"]


FOREIGN = ValueError("not the driver's")
DRIVERS = sqlite3.OperationalError("of the statement")


@pytest.mark.parametrize(
    ("place", "error", "ends", "kept"),
    [
        ("execute", DRIVERS, "raised", 1),
        ("execute", FOREIGN, "interrupted", 1),
        ("execute", Interrupted(), "interrupted", 0),
        ("fetchall", DRIVERS, "raised", 1),
        ("fetchall", FOREIGN, "interrupted", 1),
        ("fetchall", Interrupted(), "interrupted", 0),
        ("close", DRIVERS, "rows", 0),
        ("close", FOREIGN, "done", 0),
        ("close", Interrupted(), "done", 0),
        ("cursor", Interrupted(), "raised", 1),
        ("cursor", FOREIGN, "raised", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_is_raised_ends_as_on_a_connection(
    way: Database, place: str, error: BaseException, ends: str, kept: int
) -> None:
    fresh = type(error)(*error.args)
    found, idle = planned(way, place, fresh)
    notes = getattr(found, "__notes__", [])
    if ends == "rows":
        assert found == [(1,)]
    else:
        assert found is fresh
        assert (INTERRUPTED in notes, DONE in notes) == (ends == "interrupted", ends == "done")
    assert idle == kept
    assert way.execute(KNOWN).fetchall() == [(1,)]


def test_the_statement_is_seen_while_it_runs(db: Database) -> None:
    """Its holder is a connection's like any other: who has it, where, and what it does."""
    seen: list[Any] = []
    raw = db._pool._book.shelves["file"].idle[0].raw
    raw.set_trace_callback(lambda _: seen.extend(db._pool.told()["holders"]))
    line = sys._getframe().f_lineno + 1
    db.execute(KNOWN)
    raw.set_trace_callback(None)
    [holder] = seen
    assert (holder.node, holder.doing, holder.statement) == ("file", "executing", "SELECT ?")
    assert holder.site == f"{__file__}:{line}"
