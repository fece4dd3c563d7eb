"""A signal's handler that raises at any place of our own bookkeeping: no room of the pool is lost, and no session is
handed out twice.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest
from support.interrupter import Breaker, BreakIn, ending

import clustersql
from clustersql.sync.database import Database
from clustersql.sync.pool import Pool

SIZE = 2


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    # What is raised in a `__del__` nobody sees; pytest would keep it, and with it the connection.
    with ending(120.0), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda _: None)
        yield


def use_connection(db: Database) -> None:
    with db.connection() as conn:
        conn.execute("SELECT 1").fetchone()


def touch_nothing(db: Database) -> None:
    with db.connection():
        pass


def close(db: Database) -> None:
    conn = db.connection()
    conn.execute("PRAGMA cache_size = 100")
    conn.close()


def forget(db: Database) -> None:
    conn = db.connection(read_only=True)
    conn.execute("SELECT 1")
    del conn


def execute(db: Database) -> None:
    db.execute("SELECT 1").fetchall()


def run(db: Database) -> None:
    db.run(lambda conn: conn.execute("SELECT 1").fetchone())


PATHS = [use_connection, touch_nothing, close, forget, execute, run]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Database]]:
    made: list[clustersql.Cluster] = []

    def database() -> Database:
        made.append(clustersql.Cluster(f"broken{len(made)}", driver="sqlite3", max_size=SIZE, probe_interval=60.0))
        made[-1].add_node("file", f"sqlite:///{tmp_path}/broken.db")
        return made[-1].open()

    yield database
    for one in made:
        one.close()


def broken_off(path: Callable[[Database], None], db: Database, met: set[tuple[CodeType, int]]) -> str:
    """Call ``path`` with a break at a place that was not met yet.  Returns which that was; "": there is none."""
    breaker = Breaker(met)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a connection that was broken off is never closed
        with contextlib.suppress(BreakIn), breaker:
            path(db)
    return breaker.place


def require_whole(pool: Pool, place: str) -> None:
    """Every room of the pool is there, and each session has one owner."""
    pool.take_in_orphans()
    pool.take_in_lost()
    book = pool._book
    shelf = book.shelves["file"]
    assert (shelf.in_flight, shelf.dials) == (0, 0), place
    assert (len(shelf.open), book.total, len(set(shelf.idle))) == (book.total, len(shelf.idle), len(shelf.idle)), place
    assert not book.waiters, place
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(Database.connection(_database[pool], timeout=5.0)) for _ in range(SIZE)]
        assert len({id(conn._state.session) for conn in taken}) == SIZE, place


_database: dict[Pool, Database] = {}


@pytest.mark.parametrize("path", PATHS)
def test_a_handler_that_raises_anywhere_loses_no_room(
    path: Callable[[Database], None], make: Callable[[], Database]
) -> None:
    db = make()
    _database[db._pool] = db
    path(db)
    met: set[tuple[CodeType, int]] = set()
    while place := broken_off(path, db, met):
        require_whole(db._pool, place)
    assert len(met) > 30
