"""What a program says at construction or connect, and who wins."""

from __future__ import annotations

import sqlite3
import types
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Session
from clustersql.core.policies.named import policy
from clustersql.core.view.node import Node, Role
from clustersql.core.view.view import View


def unknown_module() -> types.ModuleType:
    """A PEP 249 module that nobody has heard of."""
    module = types.ModuleType("somedb")
    vars(module).update({name: value for name, value in vars(sqlite3).items() if not name.startswith("__")})
    return module


@pytest.mark.parametrize(("knobs", "dialect"), [({}, "generic"), ({"dialect": "sqlite"}, "sqlite")])
def test_the_dialect_of_an_unknown_driver_can_be_told(knobs: dict[str, str], dialect: str, tmp_path: Path) -> None:
    cluster = clustersql.Cluster("told", driver=unknown_module(), **knobs)
    cluster.add_node("file", database=str(tmp_path / "a.db"), arguments={})
    assert cluster.driver.dialect.name == dialect


def test_a_dialect_that_is_told_is_used(tmp_path: Path) -> None:
    """Without it the generic dialect knows no way to make a session read-only, so a write would pass."""
    cluster = clustersql.Cluster("told", driver=unknown_module(), dialect="sqlite")
    cluster.add_node("file", database=str(tmp_path / "a.db"), check_same_thread=False)
    with cluster.open() as db:
        assert cluster.view.by_name["file"].role is Role.UNKNOWN
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.options(read_only=True).execute("CREATE TABLE t (a)")


def test_sqlite_s_address_is_its_database(tmp_path: Path) -> None:
    cluster = clustersql.Cluster("lite", driver=sqlite3)
    cluster.add_node("file", database=str(tmp_path / "a.db"))
    conn = cluster.connect(database=str(tmp_path / "b.db"))
    try:
        assert conn.execute("PRAGMA database_list").fetchone()[2] == str(tmp_path / "a.db")
    finally:
        conn.close()
        cluster.close()


@pytest.mark.parametrize(("jitter", "closed"), [(0.9, 1), (1.0, 0)])
def test_idle_connections_of_one_burst_do_not_end_in_one_second(jitter: float, closed: int) -> None:
    book = Book(2, 2, policy("random"), lambda: 0.5)
    book.adopt(View((Node("a", 0),), version=1))
    book.begin_dial("a")
    session = Session(object(), book.shelves["a"], 0)
    session.jitter = jitter
    book.dialled(session, 0.01, now=100.0)
    assert len(book.reap(109.5, max_idle_time=10.0).close) == closed


@pytest.mark.parametrize("values", [{"read_only": True}, {"node": "file"}, {"role": "primary"}, {"timeuot": 1}])
def test_a_connection_s_options_refuse_what_they_cannot_change(values: dict[str, Any], tmp_path: Path) -> None:
    cluster = clustersql.Cluster("lite", driver=sqlite3)
    cluster.add_node("file", database=str(tmp_path / "a.db"))
    with cluster.open() as db, db.connection() as conn:
        with pytest.raises(clustersql.ConfigError, match=next(iter(values))), conn.options(**values):
            pass
        with conn.options(timeout=1.0, idempotent=True, move=False):
            assert conn.execute("SELECT 1").fetchone() == (1,)
