"""A hook that leaves a transaction open, as a driver without autocommit does at its first statement: what it has set
holds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from support.stage import Stage, execute, failure, rows
from support.waiting import eventually

from clustersql import ConfigError, NoNodeAvailable


def saying(stage: Stage, *statements: str) -> Callable[[Any], Any]:
    """A hook that executes ``statements`` by a cursor of the driver, in the driver's own way."""

    def hook(raw: Any) -> None:
        cursor = raw.cursor()
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
        cursor.close()

    async def asynchronous(raw: Any) -> None:
        if stage.driver == "asyncpg":
            for statement in ("BEGIN", *statements):
                await raw.execute(statement)
            return
        cursor = raw.cursor()
        if not hasattr(cursor, "execute"):
            cursor = await cursor
        for statement in statements:
            await cursor.execute(statement)
            if cursor.description:
                await cursor.fetchall()
        await cursor.close()

    return hook if stage.loop is None else asynchronous


SETTING = ("SET application_name = 'by the hook'", "SHOW application_name")
VARIABLE = ("SET @hook = 'by the hook'", "SELECT @hook")


def test_what_it_sets_holds_and_nothing_is_left_open(stage: Stage) -> None:
    """For each kind of connection, for who rolls back, and after a reset; the first user has no old snapshot."""
    setting, ask = SETTING if stage.postgres else VARIABLE
    hook = saying(stage, setting, "SELECT count(*) FROM events")
    cluster = stage.make(max_size=1, on_connect=hook)
    db = cluster.open()
    assert rows(db.execute(ask)) == [("by the hook",)]
    with suppress(KeyError), db.connection() as conn:
        execute(conn, "SELECT 1")
        raise KeyError
    with db.connection() as conn:
        assert rows(execute(conn, ask)) == [("by the hook",)]
        execute(conn, "LISTEN hooked" if stage.postgres else "CREATE TEMPORARY TABLE hooked (n int)")
        conn.commit()
    fresh = stage.make(max_size=1, on_connect=hook).open()
    with fresh.connection() as conn:
        stage.ask("INSERT INTO events (name) VALUES (%s) RETURNING id", stage.key)
        assert stage.read(conn) == [(stage.key,)]
        assert rows(execute(conn, ask)) == [("by the hook",)]
    with db.connection() as conn:
        assert rows(execute(conn, ask)) == [("by the hook",)], "set again after the reset"
    outside = cluster.connect()
    outside.rollback()
    assert rows(execute(outside, ask)) == [("by the hook",)]
    outside.close()
    raw = cluster.dial()
    if stage.driver != "asyncpg":
        stage.call(raw.rollback)
    told = stage.call(cluster.driver.ask, raw, (ask,))
    assert told == [[("by the hook",)]]
    assert cluster.driver.in_transaction(raw) is not True
    stage.call(cluster.driver.close, raw)
    if stage.postgres:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in transaction%'"
        assert stage.ask(idle) == [(0,)]


def test_what_it_writes_is_committed(stage: Stage) -> None:
    """Once for each new connection."""
    hook = saying(stage, f"INSERT INTO events (name) VALUES ('{stage.key}')")
    db = stage.make(max_size=1, on_connect=hook, probe_interval=1000.0).open()
    db.execute("SELECT 1")
    assert stage.count() >= 1


def test_a_hook_that_raises(stage: Stage) -> None:
    """Its error is the cause, and no connection is left behind."""

    def hook(raw: Any) -> None:
        opened.append(raw)
        raise KeyError("of the hook")

    opened: list[Any] = []
    cluster = stage.make(on_connect=hook, timeout=1.0)

    def told() -> bool:  # under load no node may have answered in the time
        error = failure(cluster.dial)
        assert isinstance(error, NoNodeAvailable)
        return isinstance(error.__cause__, KeyError)

    assert eventually(told)
    assert opened
    cluster.close()
    assert all(stage.call(cluster.driver.is_closed, raw) for raw in opened)


def test_a_hook_whose_transaction_has_failed(postgres_stage: Stage) -> None:
    """It went on, but the server forgets what it has set: so it is told, and nobody gets such a connection."""
    stage = postgres_stage
    says = saying(stage, "SET application_name = 'by the hook'", "SELECT nonsense FROM nowhere")

    def hook(raw: Any) -> None:
        failure(says, raw)

    async def asynchronous(raw: Any) -> None:
        try:
            await says(raw)
        except Exception:
            return

    cluster = stage.make(on_connect=hook if stage.loop is None else asynchronous, timeout=5.0)
    error = failure(cluster.dial)
    assert isinstance(error, NoNodeAvailable)
    assert isinstance(error.__cause__, ConfigError), error
