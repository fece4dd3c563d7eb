"""The hot path, pinned by counting calls: unlike nanoseconds, these are the same on every machine.

A count that grows is a cost for every statement of every user.  Lower a number when the path gets shorter; raise one
only with a reason.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import clustersql
from clustersql.sync.database import Database

TAKEN = 1 if sys.version_info >= (3, 14) else 0
"""From Python 3.14 on, `Lock.__enter__` is a C call that counts, as `Lock.__exit__` has always been."""


def calls(function: Callable[[], object]) -> Counter[str]:
    """Return how often Python functions ("python") and C functions ("c") are called by ``function``, itself not
    counted.

    The least of five runs: the first one works out what is kept, and the monitor may publish a new view in between.
    """
    function()
    return min((_counted(function) for _ in range(5)), key=Counter.total)


def _counted(function: Callable[[], object]) -> Counter[str]:
    counted: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, argument: counted.update([event]))
    try:
        function()
    finally:
        sys.setprofile(None)
    return Counter(
        {"python": counted["call"] - 1, "c": counted["c_call"] - 1}
    )  # less the function, and setprofile(None)


@pytest.fixture
def cluster(tmp_path: Path) -> clustersql.Cluster:
    cluster = clustersql.Cluster("counted", driver="sqlite3")
    cluster.add_node("file", f"sqlite:///{tmp_path}/counted.db")
    return cluster


@pytest.fixture
def db(cluster: clustersql.Cluster) -> Iterator[Database]:
    with cluster.open() as database:
        yield database


def test_execute_is_one_python_frame_around_the_driver(db: Database) -> None:
    """One frame, two readings of the clock, and the driver's own method."""
    with db.connection() as conn:
        cursor = conn.cursor()
        assert calls(lambda: cursor.execute("SELECT 1")) == {"python": 1, "c": 3}


def test_parameters_cost_nothing_more(db: Database) -> None:
    with db.connection() as conn:
        cursor = conn.cursor()
        assert calls(lambda: cursor.execute("SELECT ?", (1,))) == {"python": 1, "c": 3}


@pytest.mark.parametrize("method", ["fetchone", "fetchall", "fetchmany"])
def test_fetching_is_the_drivers_own_method(db: Database, method: str) -> None:
    with db.connection() as conn:
        cursor = conn.cursor()
        cursor.execute("SELECT 1")
        assert (
            calls(getattr(cursor, method))["python"] == -1
        )  # not even a frame of ours: the function itself is a C function


def test_checkout_and_return(db: Database) -> None:
    """Choice, look at the socket, and the mode's comparison; one lock each way and no round trip."""
    pool, want = db._pool, db._want
    counted = calls(lambda: pool.give_back(pool.checkout(want, 1.0)))
    assert (counted["python"], counted["c"] <= 9) == (7, True), counted


def test_with_connection(db: Database) -> None:
    def block() -> None:
        with db.connection():
            pass

    counted = calls(block)
    assert (counted["python"], counted["c"] <= 9) == (13, True), counted


def test_with_connection_and_keywords(db: Database) -> None:
    """One call more, which looks up what they lead to."""

    def block() -> None:
        with db.connection(read_only=True, max_lag=None, role="any"):
            pass

    counted = calls(block)
    assert (counted["python"], counted["c"] <= 10) == (14, True), counted


def test_with_connection_and_one_statement(db: Database) -> None:
    def block() -> None:
        with db.connection() as conn:
            conn.cursor().execute("SELECT 1")

    counted = calls(block)
    assert (counted["python"] <= 32, counted["c"] <= 19 + TAKEN) == (True, True), counted


def test_execute_of_the_database(db: Database) -> None:
    """The lock is taken twice: for the checkout, and for the return."""
    counted = calls(lambda: db.execute("SELECT 1"))
    assert (counted["python"] <= 13, counted["c"] <= 16 + 2 * TAKEN) == (True, True), counted


def test_who_measures_pays_one_frame_per_checkout_and_two_per_statement(
    cluster: clustersql.Cluster, db: Database
) -> None:
    """A statement alone is both.  Nothing is left of it when nobody asks any more."""
    pool, want = db._pool, db._want
    with db.connection() as conn:
        cursor = conn.cursor()
        ways = {
            "checkout": lambda: pool.give_back(pool.checkout(want, 1.0)),
            "statement": lambda: cursor.execute("SELECT 1"),
            "alone": lambda: db.execute("SELECT 1"),
        }
        before = {name: calls(way)["python"] for name, way in ways.items()}
        end = cluster.measure()
        more = {name: calls(way)["python"] - before[name] for name, way in ways.items()}
        end()
        assert more == {"checkout": 1, "statement": 2, "alone": 4}
        assert {name: calls(way)["python"] for name, way in ways.items()} == before


def test_run(db: Database) -> None:
    """What it is given, and what that returns, is looked at without the abstract classes; its hooks only where there
    are some.
    """
    counted = calls(lambda: db.run(lambda conn: conn.cursor().execute("SELECT 1").fetchone()))
    assert (counted["python"] <= 43, counted["c"] <= 30 + TAKEN) == (True, True), counted


def test_what_was_used_is_freed_without_the_garbage_collector(db: Database) -> None:
    """A cursor that outlives its connection's return is in no cycle: those of a busy server would be the collector's
    main work.
    """
    gc.disable()
    try:
        with db.connection() as conn:
            cursor = conn.cursor()
            cursor.execute("SELECT 1")
        gone = weakref.ref(cursor), weakref.ref(conn)
        del cursor, conn
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_an_operation_leaves_nothing_to_the_collector(db: Database) -> None:
    def transaction() -> None:
        with db.connection() as conn:
            conn.cursor().execute("SELECT 1").fetchall()

    operations = (lambda: db.execute("SELECT 1"), transaction, lambda: db.run(lambda conn: conn.execute("SELECT 1")))
    assert [left_behind(operation) for operation in operations] == [0, 0, 0]


def left_behind(operation: Callable[[], object]) -> int:
    """How many objects only the collector frees after ``operation``: the least of five runs, for the monitor
    works too.
    """
    operation()
    counted = []
    gc.disable()
    try:
        for _ in range(5):
            gc.collect()
            operation()
            counted.append(gc.collect())
    finally:
        gc.enable()
    return min(counted)


def test_a_longer_path_is_noticed(db: Database) -> None:
    """The counter sees one frame more."""
    with db.connection() as conn:
        cursor = conn.cursor()

        def wrapped() -> object:
            return cursor.execute("SELECT 1")

        assert calls(lambda: wrapped())["python"] == 2
