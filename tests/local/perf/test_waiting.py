"""What a caller costs who waits in a full pool: calls of Python, wake-ups, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local.perf.test_async_call_counts import InstantDriver, finish, in_loop, left_behind
from local.perf.test_call_counts import calls
from support.fake import fake_cluster

import clustersql
from clustersql.sync.database import Database
from clustersql.sync.gate import Gate

LATE = 1e9


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    cluster = clustersql.Cluster("waiting", driver="sqlite3", max_size=1)
    cluster.add_node("file", f"sqlite:///{tmp_path}/waiting.db")
    with cluster.open() as database:
        yield database


def test_a_thread_that_waits_and_is_served(db: Database) -> None:
    """To look for an idle one, to line up, to give back with a look at the socket, and to wait: no event, no step, no
    list.
    """
    pool, want = db._pool, db._want
    held = pool.checkout(want, 1.0)

    def cycle() -> None:
        assert pool._book.take(want, 1.0) is None
        waiter = pool._book.plain(want, 1.0)
        assert waiter is not None
        waiter.signal = Gate()
        pool._book.line_up(waiter)
        pool.give_back(held)
        assert pool._wait(waiter, LATE) is held

    counted = calls(cycle)
    pool.give_back(held)
    assert (counted["python"] <= 23, counted["c"] <= 13) == (True, True), counted


def test_a_task_that_waits_and_is_served() -> None:
    async def held() -> Any:
        cluster, _ = fake_cluster("a", driver=InstantDriver(), max_size=1)
        db = cluster.aopen()
        pool = db._pool()
        return db, pool, await pool.checkout(db._want, 1.0)

    with asyncio.Runner() as runner:
        db, pool, session = runner.run(held())

        def cycle() -> None:
            assert pool._book.take(db._want, 1.0) is None
            waiter = pool._book.plain(db._want, 1.0)
            pool._book.line_up(waiter)
            waiting = pool._wait(waiter, LATE)
            waiting.send(None)  # it waits
            pool.give_back(session)
            assert finish(waiting) is session

        counted = in_loop(runner, lambda: calls(cycle))
        in_loop(runner, lambda: pool.give_back(session))
        runner.run(db.close())
    assert (counted["python"] <= 29, counted["c"] <= 17) == (True, True), counted


def test_each_thread_that_waits_is_woken_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one caller more than connections nearly each operation waits: then each has one wake-up, and nobody looks at
    the nodes.
    """
    counted: Counter[str] = Counter()
    pool = db._pool
    waits, look = Gate.wait, pool._look
    monkeypatch.setattr(Gate, "wait", lambda gate, seconds: counted.update(["woken"]) or waits(gate, seconds))
    monkeypatch.setattr(pool, "_look", lambda waiter: counted.update(["look"]) or look(waiter))
    db.execute("SELECT 1")
    counted.clear()

    def work() -> None:
        for _ in range(100):
            with db.connection():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted["woken"] <= 400
    assert counted["look"] == 0


def test_tasks_that_wait_leave_nothing_to_the_collector() -> None:
    async def main() -> int:
        cluster, _ = fake_cluster("a", driver=InstantDriver(), max_size=2)
        async with cluster.aopen() as db:

            async def crowd() -> None:
                await asyncio.gather(*(db.execute("SELECT 1") for _ in range(20)))

            return await left_behind(crowd)

    assert asyncio.run(main()) == 0
