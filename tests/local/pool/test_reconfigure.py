"""`Cluster.reconfigure` while traffic runs, in both APIs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from clustersql import Cluster, ConfigError, PoolTimeout


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", async_driver="aiosqlite", max_size=3)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    cluster.close()


def test_a_smaller_pool_closes_what_is_idle_now_and_the_rest_at_its_return(cluster: Cluster) -> None:
    db = cluster.open()
    first, second, third = (db.connection() for _ in range(3))
    third.close()
    cluster.reconfigure(max_size=1)
    assert (db.stats()["size"], db.stats()["idle"], db.stats()["max_size"]) == (2, 0, 1)
    with pytest.raises(PoolTimeout, match="2 of 1 in use"):
        db.connection(timeout=0.01)
    first.close()
    assert (db.stats()["size"], db.stats()["idle"]) == (1, 0)
    second.close()
    assert (db.stats()["size"], db.stats()["idle"]) == (1, 1)


def test_of_a_smaller_pool_nothing_is_handed_on_to_who_waits(cluster: Cluster) -> None:
    db = cluster.open()
    first, second = db.connection(), db.connection()
    cluster.reconfigure(max_size=1)
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(db.connection()))
    waiter.start()
    assert eventually(lambda: db.stats()["waiting"])
    first.close()
    assert (db.stats()["size"], db.stats()["waiting"], got) == (1, 1, [])
    second.close()
    waiter.join(30)
    got[0].close()
    assert db.stats()["size"] == 1


def test_a_larger_pool_serves_those_who_wait(cluster: Cluster) -> None:
    cluster.reconfigure(max_size=1)
    db = cluster.open()
    with db.connection():
        got: list[Any] = []
        waiters = [threading.Thread(target=lambda: got.append(db.connection())) for _ in range(2)]
        for waiter in waiters:
            waiter.start()
        assert eventually(lambda: db.stats()["waiting"] == 2)
        cluster.reconfigure(max_size=3)
        for waiter in waiters:
            waiter.join(30)
        assert len(got) == 2
        for conn in got:
            conn.close()


def test_views_take_over_what_their_maker_did_not_set(cluster: Cluster) -> None:
    db = cluster.open()
    quick, writing = db.options(timeout=0.5), db.options(read_only=False)
    with db.connection(), db.connection(), db.connection():
        pass  # so that none has to be dialled in the 10 ms
    cluster.reconfigure(read_only=True, timeout=0.01)
    with db.connection() as one, quick.connection() as two, writing.connection() as three:
        assert [conn._state.want.read_only for conn in (one, two, three)] == [True, True, False]
        with pytest.raises(PoolTimeout, match=r"within 0\.\d s"):
            db.connection()
    assert (db._options.timeout, quick._options.timeout) == (None, 0.5)


def test_the_writer_the_policy_and_the_budget_change(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_node("b", database=str(tmp_path / "b.db"))
    db = cluster.open()
    assert eventually(lambda: db.execute("SELECT 1") and all(node.usable for node in cluster.view))
    version = cluster.view.version
    cluster.reconfigure(
        writer="any", policy="round-robin", retry_ratio=0.5, retry_reserve=3, slow_start=1, max_dials_per_node=4
    )
    book = db._pool._book
    assert (cluster.view.writer, cluster.view.version > version) == ("any", True)
    assert (book.policy.name, book.slow_start, book.max_dials) == ("round-robin", 1.0, 4)
    assert cluster.snapshot().knobs["retry_ratio"] == 0.5
    assert 3.0 <= cluster.snapshot().budget.left < 5.0  # of 10 before; and what the operations have earned
    with db.connection() as one, db.connection() as two, db.connection() as three:
        assert {one.node, two.node, three.node} == {"a", "b"}
    [event] = [event for event in cluster.events() if event.kind == "reconfigured"]
    assert "writer: single -> any" in event.text


def test_one_mistake_and_nothing_changes(cluster: Cluster) -> None:
    before, view = cluster.snapshot().knobs, cluster.view
    with pytest.raises(ConfigError, match="4 mistakes in the settings") as caught:
        cluster.reconfigure(max_size=1, discover=True, timeout=-1, polcy="race", max_lag=1)
    for name in ("discover", "timeout", "polcy", "max_lag"):
        assert f"{name}: " in str(caught.value)
    assert (cluster.snapshot().knobs, cluster.view) == (before, view)
    assert cluster.view is view


def test_a_weight_that_the_new_policy_ignores_is_a_mistake(tmp_path: Path) -> None:
    cluster = Cluster("books", driver="sqlite3", policy="weighted")
    cluster.add_node("a", database=str(tmp_path / "a.db"), weight=2)
    with pytest.raises(ConfigError, match="node 'a' has weight, but only policy \"weighted\" uses it"):
        cluster.reconfigure(policy="race")
    assert cluster.snapshot().knobs["policy"] == "weighted"


def test_a_loop_s_pool_and_its_views_take_over_too(cluster: Cluster) -> None:
    async def main() -> None:
        db = cluster.aopen()
        writing = db.options(read_only=False)
        first, second = await db.connection(), await db.connection()
        await asyncio.to_thread(cluster.reconfigure, max_size=1, timeout=0.01, read_only=True)
        while db.stats()["max_size"] != 1:
            await asyncio.sleep(0)
        with pytest.raises(PoolTimeout, match="2 of 1 in use"):
            await db.connection()
        await first.close()
        await second.close()
        assert (db.stats()["size"], db.stats()["idle"]) == (1, 1)
        async with db.connection() as conn:
            assert conn._state.want.read_only
        async with writing.connection() as conn:
            assert not conn._state.want.read_only
        await db.close()

    asyncio.run(main())
