"""What the adapter adds to asyncpg: a transaction mode, a cursor, libpq's arguments."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import asyncpg
import pytest

from clustersql import Cluster, aio
from clustersql.drivers import asyncpg as adapter
from clustersql.drivers import load_async
from clustersql.drivers.contract import Target
from clustersql.errors import ConfigError

DRIVER: Any = load_async("asyncpg")
With = Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def target(postgres_cluster: Any) -> Target:
    port = postgres_cluster.port(postgres_cluster.primary)
    return Target(host="127.0.0.1", port=port, user="app", password="secret", database="app")


@pytest.fixture
def connected(target: Target) -> With:
    """A function that runs a coroutine function with a connection."""

    async def use(body: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        raw = await DRIVER.connect(target, 5.0)
        try:
            return await body(raw)
        finally:
            DRIVER.terminate(raw)

    return lambda body: asyncio.run(use(body))


def test_its_connection_is_asyncpgs(connected: With) -> None:
    async def body(raw: Any) -> None:
        assert isinstance(raw, asyncpg.Connection)
        assert repr(raw).startswith("<asyncpg.connection.Connection object")

    connected(body)


def test_a_connection_class_of_the_user_is_kept(target: Target) -> None:
    class Mine(asyncpg.Connection):
        pass

    async def body() -> None:
        raw = await DRIVER.connect(dataclasses.replace(target, arguments={"connection_class": Mine}), 5.0)
        assert isinstance(raw, Mine)
        await DRIVER.close(raw)

    asyncio.run(body())


def test_arguments_of_libpq_are_understood(target: Target) -> None:
    """One URL may serve psycopg and asyncpg alike; what we set by ourselves is no setting of the server."""
    arguments = {"sslmode": "disable", "application_name": "a b&c", "command_timeout": "7", "connect_timeout": "3"}

    async def body(target: Target) -> None:
        raw = await DRIVER.connect(target, 5.0)
        assert await raw.fetchval("SHOW application_name") == "a b&c"
        await DRIVER.close(raw)

    asyncio.run(body(dataclasses.replace(target, arguments=arguments)))
    dsn = f"postgresql://app:secret@127.0.0.1:{target.port}/app?sslmode=disable"
    asyncio.run(body(Target(dsn=dsn, arguments={"application_name": "a b&c"})))


def test_a_wrong_dsn_is_a_mistake_that_tells_no_password() -> None:
    with pytest.raises(ConfigError) as failed:
        asyncio.run(DRIVER.connect(Target(dsn="nosql://app:secret@x/app"), 1.0))
    assert "secret" not in str(failed.value)


def test_what_a_copy_wrote_goes_with_its_transaction(postgres_cluster: Any) -> None:
    """COPY passes by us, but not by the transaction of its block."""

    async def body() -> None:
        cluster = Cluster("copied", async_driver=asyncpg)
        for name in postgres_cluster.nodes:
            cluster.add_node(name, postgres_cluster.dsn(name))
        async with cluster.aopen() as db:
            await db.execute("DROP TABLE IF EXISTS copied")
            await db.execute("CREATE TABLE copied (id int)")
            with pytest.raises(ZeroDivisionError):
                await copy_and(db, lambda: 1 // 0)
            assert (await db.execute("SELECT count(*) FROM copied")).fetchone() == (0,)
            await copy_and(db, lambda: 1)
            assert (await db.execute("SELECT count(*) FROM copied")).fetchone() == (2,)

    async def copy_and(db: aio.Database, then: Callable[[], int]) -> None:
        async with db.connection() as conn, conn.transaction():
            await conn.copy_records_to_table("copied", records=[(1,), (2,)])
            then()

    asyncio.run(body())


def test_its_methods_keep_their_results(connected: With) -> None:
    async def body(raw: Any) -> None:
        own = DRIVER.methods
        assert [dict(row) for row in await own["fetch"](raw, "SELECT $1::int AS n", 7)] == [{"n": 7}]
        assert (await own["fetchrow"](raw, "SELECT $1::int AS n", 7))["n"] == 7
        assert await own["fetchval"](raw, "SELECT 1, $1::int", 7, column=1) == 7
        assert await own["execute"](raw, "CREATE TEMP TABLE t (n int)") == "CREATE TABLE"
        assert await own["executemany"](raw, "INSERT INTO t VALUES ($1)", [(1,), (2,)]) is None
        assert raw.is_in_transaction()
        with pytest.raises(TimeoutError):
            await own["fetch"](raw, "SELECT pg_sleep(30)", timeout=0.1)

    connected(body)


def test_in_its_own_transaction_nothing_is_begun(connected: With) -> None:
    async def body(raw: Any) -> None:
        async with raw.transaction():
            assert await DRIVER.methods["fetchval"](raw, "SELECT 1") == 1
        assert not raw.is_in_transaction()

    connected(body)


def test_its_cursor_describes_and_counts(connected: With) -> None:
    async def body(raw: Any) -> None:
        cursor = await DRIVER.cursor(raw, (), {})
        await cursor.execute("CREATE TEMP TABLE t (n int, s text)")
        assert (cursor.description, cursor.rowcount, cursor.statusmessage) == (None, -1, "CREATE TABLE")
        await cursor.execute("INSERT INTO t VALUES ($1, $2), (2, 'b'), (3, 'c')", (1, "a"))
        assert (cursor.rowcount, cursor.statusmessage) == (3, "INSERT 0 3")
        await cursor.executemany("INSERT INTO t VALUES ($1, $2)", [(4, "d"), (5, "e")])
        assert (cursor.rowcount, await cursor.fetchall()) == (-1, [])
        await cursor.execute("SELECT n, s FROM t ORDER BY n")
        assert cursor.description == [("n", 23, *[None] * 5), ("s", 25, *[None] * 5)]
        assert (cursor.rowcount, (await cursor.fetchone())["s"]) == (5, "a")
        assert [row["n"] for row in await cursor.fetchmany()] == [2]
        assert [row["n"] for row in await cursor.fetchmany(2)] == [3, 4]
        assert [row["n"] async for row in cursor] == [5]
        assert (await cursor.fetchone(), await cursor.fetchmany(2), await cursor.fetchall()) == (None, [], [])

    connected(body)


def test_what_was_prepared_is_forgotten_when_asked_for(connected: With) -> None:
    async def body(raw: Any) -> None:
        cursor = await DRIVER.cursor(raw, (), {})
        await DRIVER.set_autocommit(raw, True)
        await cursor.execute("CREATE TEMP TABLE t (n int)")
        await cursor.execute("SELECT * FROM t")
        await raw.execute("ALTER TABLE t ADD COLUMN s text")
        with pytest.raises(asyncpg.InvalidCachedStatementError):
            await cursor.execute("SELECT * FROM t")
        DRIVER.forget_plans(raw)
        await cursor.execute("SELECT * FROM t")
        assert [column[0] for column in cursor.description] == ["n", "s"]
        await DRIVER.set_autocommit(raw, False)
        await raw.execute("ALTER TABLE t DROP COLUMN s")
        with pytest.raises(asyncpg.InvalidCachedStatementError):
            await cursor.execute("SELECT * FROM t")  # the transaction has failed by it
        DRIVER.forget_plans(raw)
        await DRIVER.rollback(raw)
        await cursor.execute("SELECT * FROM t")
        assert [column[0] for column in cursor.description] == ["n"]

    connected(body)


def test_prepared_statements_are_few(connected: With) -> None:
    async def body(raw: Any) -> None:
        cursor = await DRIVER.cursor(raw, (), {})
        for number in range(adapter.PREPARED + 5):
            await cursor.execute(f"SELECT {number}")
        await cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        [kept] = await cursor.fetchone()
        assert kept <= adapter.PREPARED + 2

    connected(body)


def test_what_the_server_forgot_is_not_used(connected: With) -> None:
    """DISCARD ALL by the user himself: our statements and asyncpg's own are gone."""

    async def body(raw: Any) -> None:
        await DRIVER.set_autocommit(raw, True)
        cursor = await DRIVER.cursor(raw, (), {})
        for _ in range(2):
            await cursor.execute("SELECT 1")
            assert await raw.fetchval("SELECT 2") == 2
            await cursor.execute("DISCARD ALL")

    connected(body)


@pytest.mark.parametrize("of", ["the connection", "our cursor"])
def test_a_cancelled_executemany_with_more_to_send(connected: With, of: str) -> None:
    """The driver drops a cancellation that comes while it waits for the network, and would wait for ever."""
    rows = [("x" * 2_000_000,)] * 20
    sql = "INSERT INTO many SELECT $1 FROM pg_sleep(0.2)"

    async def body(raw: Any) -> None:
        await raw.execute("CREATE TEMPORARY TABLE many (text text)")
        raw.session.autocommit = True
        cursor = await DRIVER.cursor(raw, (), {})
        many = cursor.executemany if of == "our cursor" else partial(DRIVER.methods["executemany"], raw)
        working = asyncio.ensure_future(many(sql, rows))
        while not raw._transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working], timeout=30.0)
        assert working.cancelled()
        assert DRIVER.is_closed(raw)

    connected(body)
