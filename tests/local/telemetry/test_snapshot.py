"""The snapshot and the events of a cluster on SQLite, in both APIs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

import clustersql
from clustersql import Cluster, PoolTimeout
from clustersql.nodes.events import ClusterEvent

HERE = Path(__file__).name


def line() -> int:
    """The caller's next line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno + 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", async_driver="aiosqlite", max_size=1)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    cluster.close()


def test_a_node_is_told_on_each_axis_with_since_and_why(cluster: Cluster) -> None:
    cluster.open().execute("SELECT 1")
    cluster.drain("a")
    [node] = cluster.snapshot().nodes
    axes = {axis.axis: axis for axis in node.axes}
    assert set(axes) == {"reachability", "role", "readiness", "drain", "epoch"}
    assert (axes["reachability"].value, axes["role"].value, axes["drain"].value) == ("up", "primary", "draining")
    assert axes["drain"].why == "drained by the operator"
    assert axes["drain"].since >= axes["reachability"].since > ""
    assert [(out.axis, out.value) for out in node.kept_out] == [("drain", "draining")]
    assert node.serves == ()


def test_knobs_budget_and_what_it_is_wanted_for(tmp_path: Path) -> None:
    cluster = Cluster("read", driver="sqlite3", read_only=True, policy=min, on_connect=print)
    told = cluster.snapshot()
    assert (told.cluster, told.wanted, told.discovery, told.pools) == ("read", "any", None, ())
    assert (told.knobs["policy"], told.knobs["on_connect"], told.knobs["max_size"]) == ("min", "print", 10)
    assert (told.budget.left, told.budget.spent, told.budget.refused) == (10.0, 0, 0)


def test_who_holds_the_pool_and_who_waits_for_threads(cluster: Cluster) -> None:
    db = cluster.open()
    db.execute("SELECT 1")
    done, held, at = threading.Event(), threading.Event(), [0]

    def hold() -> None:
        at[0] = line()
        with db.connection() as conn:
            conn.execute("SELECT 1")
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold, name="holder")
    waiter = threading.Thread(target=lambda: db.execute("SELECT 2"))
    holder.start()
    assert held.wait(30)
    waiter.start()
    try:
        assert eventually(lambda: cluster.snapshot().pools[0].waiters)
        [pool] = cluster.snapshot().pools
        [one] = pool.holders
        assert (one.site.rpartition("/")[2], one.thread, one.node) == (f"{HERE}:{at[0]}", "holder", "a")
        assert (one.executing, one.outside) == (None, False)
        assert 0 <= one.seconds < 60
        assert [(each.wants, each.node) for each in pool.waiters] == [("primary", "")]
        assert (pool.api, pool.sizes["in_flight"], pool.sizes["waiting"]) == ("threads", 1, 1)
    finally:
        done.set()
        holder.join()
        waiter.join()
    assert cluster.snapshot().holders == ()


def test_a_checkout_without_a_wait_is_dated_too(cluster: Cluster) -> None:
    db = cluster.open()
    db.execute("SELECT 1")
    [session] = db._pool._book.shelves["a"].open
    before = session.lent_at
    with db.connection():
        assert session.lent_at > before
        assert len(cluster.snapshot().holders) == 1


def test_a_connection_outside_the_pool_is_held_too(cluster: Cluster) -> None:
    conn = cluster.connect()
    [one] = cluster.snapshot().holders
    assert (one.outside, one.node) == (True, "a")
    conn.close()
    assert cluster.snapshot().holders == ()


def test_who_holds_the_pool_and_who_waits_for_tasks(cluster: Cluster) -> None:
    asyncio.run(_held_by_a_task(cluster))


async def _held_by_a_task(cluster: Cluster) -> None:
    db = cluster.aopen()
    at = line()
    async with db.connection() as conn:
        await conn.execute("SELECT 1")
        waiter = asyncio.create_task(db.execute("SELECT 2"))
        while not db.stats()["waiting"]:
            await asyncio.sleep(0)
        [pool] = cluster.snapshot().pools
        [one] = pool.holders
        assert (pool.api, one.site.rpartition("/")[2], one.node) == ("asyncio", f"{HERE}:{at}", "a")
        assert [each.wants for each in pool.waiters] == ["primary"]
    await waiter
    assert cluster.snapshot().holders == ()
    await db.close()


def kinds(cluster: Cluster) -> list[tuple[str, str]]:
    return [(event.kind, event.node) for event in cluster.events()]


def test_events_of_nodes_drains_and_callers_who_got_none(cluster: Cluster) -> None:
    told: list[ClusterEvent] = []
    end = cluster.on_event(told.append)
    db = cluster.open()
    db.execute("SELECT 1")
    with db.connection(), pytest.raises(PoolTimeout):
        db.connection(timeout=0.01)
    cluster.drain("a")
    cluster.undrain("a")
    end()
    cluster.remove_node("a")
    assert kinds(cluster) == [
        ("node", "a"),
        ("node", "a"),
        ("timeout", ""),
        ("drain", "a"),
        ("drain", "a"),
        ("node", "a"),
    ]
    texts = [event.text for event in cluster.events()]
    assert (texts[0], texts[1], texts[-1]) == ("was added", "is up, primary, ready", "was removed")
    assert told == list(cluster.events())[1:-1]


def test_a_checkout_that_waited_for_long_and_a_dial_that_failed(cluster: Cluster, tmp_path: Path) -> None:
    db = cluster.open()
    with db.connection():
        waiter = threading.Thread(target=lambda: db.execute("SELECT 2"))
        waiter.start()
        assert eventually(lambda: any(each.seconds > 0.15 for each in cluster.snapshot().pools[0].waiters))
    waiter.join()
    assert ("wait", "a") in kinds(cluster)
    broken = Cluster("broken", driver="sqlite3")
    broken.add_node("b", database=str(tmp_path / "no" / "such" / "folder.db"))
    with pytest.raises(clustersql.NoNodeAvailable):
        broken.open().connection(timeout=0.2)
    assert {("dial", "b"), ("timeout", "")} <= set(kinds(broken))
    broken.close()


def test_events_come_from_an_event_loop_too(cluster: Cluster) -> None:
    asyncio.run(_events_of_a_loop(cluster))


async def _events_of_a_loop(cluster: Cluster) -> None:
    told: list[ClusterEvent] = []
    cluster.on_event(told.append)
    db = cluster.aopen()
    async with db.connection():
        with pytest.raises(PoolTimeout):
            await db.connection(timeout=0.01)
    assert [event.kind for event in told] == ["node", "timeout"]
    await db.close()
