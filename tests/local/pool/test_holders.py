"""Who holds the pool: where, by whom, since when, with which statement; and one log line for what is held for long."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from clustersql import Cluster, PoolTimeout

HERE = Path(__file__).name


def line() -> int:
    """The caller's next line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno + 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", async_driver="aiosqlite", max_size=2, probe_interval=0.05)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    cluster.open().execute("CREATE TABLE book (id INTEGER, title TEXT)")
    yield cluster
    cluster.close()


def test_each_of_two_threads_in_one_function_is_named(cluster: Cluster) -> None:
    db, done, held = cluster.open(), threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with db.connection():
            held.release()
            done.wait(30)

    threads = [threading.Thread(target=hold, name=name) for name in ("first", "second")]
    for thread in threads:
        thread.start()
        held.acquire(timeout=30)
    told = cluster.snapshot().holders
    done.set()
    for thread in threads:
        thread.join()
    assert [(one.thread, one.task) for one in told] == [("first", ""), ("second", "")]


def test_a_connection_that_is_kept_elsewhere_has_its_thread_until_that_ends(cluster: Cluster) -> None:
    kept = []
    thread = threading.Thread(target=lambda: kept.append(cluster.open().connection()), name="gone")
    thread.start()
    thread.join()
    kept.append(cluster.open().connection())
    assert [one.thread for one in cluster.snapshot().holders] == ["", threading.current_thread().name]
    for conn in kept:
        conn.close()


def test_each_of_two_tasks_in_one_function_is_named(cluster: Cluster) -> None:
    async def main() -> None:
        db, done = cluster.aopen(), asyncio.Event()

        async def hold() -> None:
            async with db.connection() as conn:
                await conn.execute("SELECT 1")
                await done.wait()

        tasks = [asyncio.create_task(hold(), name=name) for name in ("first", "second")]
        while len(cluster.snapshot().holders) < 2:
            await asyncio.sleep(0)
        told = await asyncio.to_thread(cluster.snapshot)
        done.set()
        await asyncio.gather(*tasks)
        assert sorted((one.task, one.thread) for one in told.holders) == [("first", ""), ("second", "")]
        await db.close()

    asyncio.run(main())


def test_what_it_does_and_its_statement_without_a_value(cluster: Cluster) -> None:
    seen: list[tuple[str, str]] = []

    def look() -> int:
        [one] = cluster.snapshot().holders
        assert (one.executing is None) == (one.doing != "executing")
        seen.append((one.doing, one.statement))
        return 1

    with cluster.open().connection() as conn:
        look()
        conn.execute("SELECT 1")
        look()
        conn.execute("INSERT INTO book VALUES (42, 'secret')")
        look()
        conn.commit()
        look()
        conn.driver_connection.create_function("look", 0, look)
        conn.execute("SELECT look(), 4711 /* secret */")
    assert seen == [
        ("idle", ""),
        ("idle in transaction", "SELECT ?"),
        ("idle in transaction", "INSERT INTO book VALUES (?, ?)"),
        ("idle", "INSERT INTO book VALUES (?, ?)"),
        ("executing", "SELECT look(), ?"),
    ]
    with cluster.open().connection():
        look()
    assert seen[-1] == ("idle", "")


def test_tasks_statements_are_told_too(cluster: Cluster) -> None:
    async def main() -> None:
        db = cluster.aopen()
        async with db.connection() as conn:
            await conn.execute("SELECT title FROM book WHERE id = ?", (1,))
            await conn.execute("SELECT title FROM book WHERE id = ?", (1,))
            [one] = cluster.snapshot().holders
            assert (one.doing, one.statement) == ("idle in transaction", "SELECT title FROM book WHERE id = ?")
            await conn.execute("DELETE FROM book WHERE id = 7")
            await conn.commit()
            [one] = cluster.snapshot().holders
            assert (one.doing, one.statement) == ("idle", "DELETE FROM book WHERE id = ?")
        await db.close()

    asyncio.run(main())


def test_a_timeout_names_the_oldest(cluster: Cluster) -> None:
    db, at = cluster.open(), line()
    with db.connection() as first, db.connection():
        first.execute("DELETE FROM book")
        with pytest.raises(PoolTimeout) as caught:
            db.connection(timeout=0.01)
        assert isinstance(caught.value, sqlite3.OperationalError)
        where = f"{Path(__file__).parent.name}/{HERE}:{at}"
        assert str(caught.value).endswith(f"2 of 2 in use; oldest: {where} for 0 s, idle in transaction on a")


def test_a_timeout_of_a_loop_s_pool_names_the_oldest(cluster: Cluster) -> None:
    async def main() -> None:
        db, at = cluster.aopen(), line()
        async with db.connection(), db.connection():
            with pytest.raises(PoolTimeout, match=rf"2 of 2 in use; oldest: pool/{HERE}:{at} for 0 s, idle on a"):
                await db.connection(timeout=0.01)
        await db.close()

    asyncio.run(main())


def leaks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if " is held for " in record.getMessage()]


def test_what_is_held_for_long_is_logged_once_per_checkout(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "clustersql")
    db = cluster.open()
    outside = cluster.connect()
    at = line()
    with db.connection() as conn:
        conn.execute("SELECT 'secret' FROM book WHERE id = 5")
        cluster.reconfigure(leak_after=0.01)
        assert eventually(lambda: leaks(caplog))
        probes = db._pool._prober.ran
        assert eventually(lambda: db._pool._prober.ran > probes + 2)
    [text] = leaks(caplog)
    start = f"cluster books: a connection to a is held for 0 s by thread {threading.current_thread().name}, "
    assert text == start + (
        f"checked out at {__file__}:{at}, idle in transaction, its latest statement SELECT ? FROM book WHERE id = ?"
    )
    assert [event.node for event in cluster.events() if event.kind == "held"] == ["a"]
    with db.connection():
        assert eventually(lambda: len(leaks(caplog)) == 2)
    outside.close()


def test_a_task_s_is_logged_too(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "clustersql")

    async def main() -> None:
        db = cluster.aopen()
        async with db.connection():
            cluster.reconfigure(leak_after=0.01)
            while not leaks(caplog):
                await asyncio.sleep(0.01)
        await db.close()

    asyncio.run(main())
    assert [" by task Task-" in text for text in leaks(caplog)] == [True]
