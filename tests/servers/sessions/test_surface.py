"""Each driver's public names have one effect each, in its adapter's table: a new name of a new version makes
this fail.
"""

from __future__ import annotations

from typing import Any

import pytest
from support import face
from support.stage import Stage

from clustersql.drivers import load, load_async
from clustersql.drivers.base.surface import ERRORS, Effect, Surface, surface


def unknown(table: Surface, raw: Any) -> list[str]:
    """The public names of an object that stand in no place of its table."""
    return sorted(name for name in dir(raw) if not name.startswith("_") and name not in table.effects)


def stale(table: Surface, raw: Any) -> list[str]:
    """The names of a table that the object does not have; of PEP 249's exceptions pg8000 forgets one."""
    ours = {name for name, effect in table.effects.items() if effect is Effect.OURS}
    return sorted(table.effects.keys() - set(dir(raw)) - ours - set(ERRORS.split()))


def test_every_public_name_has_one_effect(stage: Stage) -> None:
    """Of the connection and of the cursor, with what only their objects have."""
    driver = stage.cluster.driver
    with stage.db.connection() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        raw, raw_cursor = stage.raw(conn), cursor._raw
        assert unknown(driver.connection_names, raw) == []
        assert unknown(driver.cursor_names, raw_cursor) == []
        assert stale(driver.connection_names, raw) == []


@pytest.mark.parametrize("name", ["sqlite3", "aiosqlite"])
def test_sqlite_has_its_tables_too(name: str) -> None:
    """Of both drivers; newer versions of Python know more names."""
    with face.cluster_of(name, "memory") as cluster:
        cluster.add_node("a", database=":memory:")
        driver = load("sqlite3") if name == "sqlite3" else load_async(name)
        with cluster.open().connection() as conn, conn.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert unknown(driver.connection_names, conn._state.session.raw) == []
            assert unknown(driver.cursor_names, cursor._raw) == []


def test_aiosqlite_s_executemany_is_as_execute() -> None:
    """Noted and recovered, so that it pins nothing; the cursor is ours."""
    with face.cluster_of("aiosqlite", "memory") as cluster:
        cluster.add_node("a", database=":memory:")
        with cluster.open().connection() as conn:
            conn.execute("CREATE TABLE t (n int)")
            cursor = conn.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
            assert cursor.rowcount == 2
            assert conn.pins == ()
            assert [tuple(row) for row in conn.execute_fetchall("SELECT n FROM t ORDER BY n")] == [(1,), (2,)]
            assert conn.pins == ()


def test_no_name_stands_twice() -> None:
    """A table in which one does is refused."""
    with pytest.raises(ValueError, match="stands in the table twice"):
        surface(tells="info", replaces="reset info")
