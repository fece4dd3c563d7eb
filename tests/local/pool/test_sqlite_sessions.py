"""SQLite's connections are brought back at their return, never closed for what can be undone: an in-memory database is
its connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import face

Change = Callable[[Any], Any]


def executed(text: str) -> Change:
    """Execute a statement."""
    return lambda conn: conn.cursor().execute(text)


CHANGES: dict[str, Change] = {
    "row_factory": lambda conn: setattr(conn, "row_factory", sqlite3.Row),
    "text_factory": lambda conn: setattr(conn, "text_factory", bytes),
    "isolation_level": lambda conn: setattr(conn, "isolation_level", "IMMEDIATE"),
    "autocommit": lambda conn: setattr(conn, "isolation_level", None),
    "foreign_keys": executed("PRAGMA foreign_keys = ON"),
    "busy_timeout": executed("PRAGMA busy_timeout(17)"),
    "synchronous": executed("PRAGMA main.synchronous = OFF"),
    "case_sensitive_like": executed("PRAGMA case_sensitive_like = ON"),
    "journal_mode": executed("PRAGMA journal_mode = OFF"),
    "user_version": executed("PRAGMA user_version = 3"),
    "temporary": executed("CREATE TEMP TABLE mine (n INTEGER PRIMARY KEY AUTOINCREMENT)"),
    "attached": executed("ATTACH ':memory:' AS mine"),
    "collation": lambda conn: getattr(conn, "create_collation", print)("mine", lambda one, other: 0),
    "trace": lambda conn: conn.set_trace_callback(print),
    "authorizer": lambda conn: conn.set_authorizer(lambda *_: sqlite3.SQLITE_OK),
    "progress": lambda conn: conn.set_progress_handler(lambda: 0, 1000),
    "script": lambda conn: conn.executescript(
        "CREATE TABLE IF NOT EXISTS scripted (n); CREATE TEMP TABLE mine_too (n)"
    ),
}
"""What a caller leaves."""
BOTH = pytest.mark.parametrize("driver", ["sqlite3", "aiosqlite"])


@pytest.fixture(params=[":memory:", "file"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """In memory, and in a file."""
    return ":memory:" if request.param == ":memory:" else str(tmp_path / "database")


@pytest.fixture(params=["sqlite3", "aiosqlite"])
def db(request: pytest.FixtureRequest, database: str) -> Iterator[Any]:
    """A pool of one connection, with a table."""
    with face.cluster_of(request.param, "sessions", max_size=1) as cluster:
        cluster.add_node("a", database=database)
        with cluster.open() as db:
            db.execute("CREATE TABLE t (n int)")
            db.execute("INSERT INTO t VALUES (1)")
            yield db


def kept(conn: Any) -> list[Any]:
    """What is left of changes, as the next user sees it."""
    cursor = conn.cursor()

    def rows(text: str) -> list[tuple[Any, ...]]:
        cursor.execute(text)
        return [tuple(row) for row in cursor.fetchall()]

    asked = [rows(f"PRAGMA {name}") for name in ("foreign_keys", "busy_timeout", "synchronous", "journal_mode")]
    asked.append([row for row in rows("PRAGMA database_list") if row[1] != "temp"])
    asked += [rows("SELECT 'a' LIKE 'A', 'text'"), rows("SELECT name FROM sqlite_temp_master WHERE name LIKE 'mine%'")]
    return [asked, conn.isolation_level, conn.row_factory, conn.text_factory, rows("SELECT n FROM t")]


def session(conn: Any) -> Any:
    """The driver's connection, taken without our knowing."""
    return conn._state.session.raw


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_undone_and_the_connection_stays(db: Any, change: Change) -> None:
    """The tables of an in-memory database too."""
    with db.connection() as conn:
        raw, before = session(conn), kept(conn)
        change(conn)
    with db.connection() as conn:
        assert session(conn) is raw
        assert kept(conn) == before
        assert conn.pins == ()


def test_all_of_it_at_once(db: Any) -> None:
    """With a transaction that is rolled back."""
    with db.connection() as conn:
        raw, before = session(conn), kept(conn)
        for change in CHANGES.values():
            change(conn)
        conn.cursor().execute("INSERT INTO t VALUES (2)")
        conn.rollback()
    with db.connection() as conn:
        assert session(conn) is raw
        after = kept(conn)
        assert after[:-1] == before[:-1]
        assert (1,) in after[-1]


@pytest.mark.parametrize(
    "question",
    [
        "foreign_keys",
        "user_version",
        "table_info(t)",
        "main.table_info('t')",
        "integrity_check",
        "database_list",
        "journal_mode;",
    ],
)
def test_questions_cost_nothing(db: Any, question: str) -> None:
    """A PRAGMA that reads leaves nothing, and says so."""
    with db.connection() as conn:
        conn.cursor().execute(f"PRAGMA {question}")
        assert conn.pins == ()


def test_a_function_of_the_user_s_own(db: Any, database: str) -> None:
    """A file's connection is closed for it; an in-memory database keeps its name, with nothing of the caller's behind
    it.
    """
    with db.connection() as conn:
        raw = session(conn)
        conn.create_function("mine", 1, lambda value: "secret")
        cursor = conn.cursor()
        cursor.execute("SELECT mine(1)")
        assert [tuple(row) for row in cursor.fetchall()] == [("secret",)]
    with db.connection() as conn:
        assert (session(conn) is raw) is (database == ":memory:")
        with pytest.raises(sqlite3.OperationalError):
            conn.cursor().execute("SELECT mine(1)")
        conn.rollback()
    assert [tuple(row) for row in db.execute("SELECT n FROM t").fetchall()] == [(1,)]


@BOTH
def test_what_the_hook_has_set_comes_back(driver: str) -> None:
    """Its settings, its function and its trace, not SQLite's; it is not called again, for its tables are there."""
    calls: list[Any] = []
    traced: list[str] = []

    def greet(raw: Any) -> None:
        calls.append(raw)
        raw.create_function("ours", 1, lambda value: "ours")
        raw.set_trace_callback(traced.append)
        for text in ("CREATE TABLE hooked (n)", "CREATE TEMP TABLE ours (n)", "PRAGMA foreign_keys = ON"):
            raw.execute(text)

    async def greet_async(raw: Any) -> None:
        await raw.create_function("ours", 1, lambda value: "ours")
        await raw.set_trace_callback(traced.append)
        for text in ("CREATE TABLE hooked (n)", "CREATE TEMP TABLE ours (n)", "PRAGMA foreign_keys = ON"):
            await raw.execute(text)
        calls.append(raw)

    hook = greet if driver == "sqlite3" else greet_async
    with face.cluster_of(driver, "hooked", max_size=1, on_connect=hook) as cluster:
        cluster.add_node("a", database=":memory:")
        with cluster.open() as db:
            with db.connection() as conn:
                conn.create_function("ours", 1, lambda value: "mine")
                conn.set_trace_callback(None)
                conn.cursor().execute("PRAGMA foreign_keys = OFF")
                conn.cursor().execute("CREATE TEMP TABLE mine (n)")
            traced.clear()
            with db.connection() as conn:
                cursor = conn.cursor()
                for text, told in (
                    ("PRAGMA foreign_keys", 1),
                    ("SELECT ours(1)", "ours"),
                    ("SELECT count(*) FROM ours", 0),
                ):
                    cursor.execute(text)
                    assert [tuple(row) for row in cursor.fetchall()] == [(told,)]
            assert "SELECT ours(1)" in traced
    assert len({id(raw) for raw in calls}) == len(calls)  # the probes have a connection of their own


def test_read_only_holds_after_query_only_was_taken_back(db: Any) -> None:
    """The caller's PRAGMA is his alone, and nothing he runs then counts as a read."""
    with db.connection(read_only=True) as conn:
        conn.cursor().execute("PRAGMA query_only = OFF")
        assert conn._state.session.read_only is None
    with db.connection(read_only=True) as conn, pytest.raises(sqlite3.OperationalError, match="readonly"):
        conn.cursor().execute("INSERT INTO t VALUES (2)")
    with db.connection() as conn:
        conn.cursor().execute("INSERT INTO t VALUES (2)")


def test_an_authorizer_that_forbids_to_look_closes(db: Any) -> None:
    """The caller's statement is not disturbed."""
    with db.connection() as conn:
        raw = session(conn)
        conn.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_PRAGMA else sqlite3.SQLITE_OK
        )
        conn.cursor().execute("ATTACH ':memory:' AS mine")
    with db.connection() as conn:
        assert session(conn) is not raw
