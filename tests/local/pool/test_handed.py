"""A connection that comes back while somebody waits: who returns it looks at it, by what is known then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.fake import fake_cluster
from support.waiting import eventually

import clustersql
from clustersql.aio.gate import SHORT, Deadlines, Gate
from clustersql.core.view.observations import SessionLost
from clustersql.sync.gate import Gate as ThreadGate

Make = Callable[..., clustersql.Cluster]


def handed(db: Any, meanwhile: Callable[[Any, Any], object]) -> tuple[Any, Any]:
    """Return the driver's connection that one caller gives back, and the one that the next, who waits for it, gets."""
    first, got = db.connection(), []

    def wait() -> None:
        with db.connection() as conn:
            got.append(conn._state.session.raw)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert eventually(lambda: db.stats()["waiting"] == 1)
    raw = first._state.session.raw
    meanwhile(db._pool, first._state.session)
    first.close()
    waiting.join(20)
    assert db.stats()["waiting"] == 0
    return raw, got[0]


def test_it_is_handed_over_without_a_second_look(make: Make) -> None:
    looks: list[object] = []

    def count(pool: Any, session: Any) -> None:
        is_stale = pool._is_stale
        pool._is_stale = lambda raw: bool(looks.append(raw)) or is_stale(raw)

    raw, got = handed(make(max_size=1, nodes="a").open(), count)
    assert got is raw
    assert looks == [raw]


def test_one_whose_end_waits_in_the_socket_is_not_handed_over(make: Make) -> None:
    """A write on it would be in doubt: the end may have been the answer to something."""

    def die(pool: Any, session: Any) -> None:
        pool._is_stale = lambda raw: raw is session.raw

    raw, got = handed(make(max_size=1, nodes="a").open(), die)
    assert got is not raw


def test_news_that_were_published_a_moment_ago_count(make: Make) -> None:
    """The pool was not told yet, as when another thread is about to."""

    def lose(pool: Any, session: Any) -> None:
        pool.topology.listeners.remove(pool._listener)
        pool.topology.tell(SessionLost(session.node, session.generation))
        assert pool._book.view is not pool.topology.view
        pool.topology.listeners.append(pool._listener)

    raw, got = handed(make(max_size=1, nodes="a b").open(), lose)
    assert got is not raw


@pytest.mark.parametrize("lapse", ["generation", "expires"])
def test_what_lapses_on_its_way_to_the_waiter_is_not_used(make: Make, lapse: str) -> None:
    def late(pool: Any, session: Any) -> None:
        served = pool._served

        def serve(waiter: Any, given: Any) -> Any:
            pool._served = served
            if lapse == "expires":
                given.expires = 0.0
            else:
                given.generation -= 1
            return served(waiter, given)

        pool._served = serve

    raw, got = handed(make(max_size=1, nodes="a").open(), late)
    assert got is not raw


def test_what_breaks_into_the_look_loses_nothing(make_sync: Make) -> None:
    def break_in(pool: Any, session: Any) -> None:
        looks = pool._is_stale

        def look(raw: object) -> bool:
            pool._is_stale = looks
            raise KeyboardInterrupt

        pool._is_stale = look

    db = make_sync(max_size=1, nodes="a").open()
    with pytest.raises(KeyboardInterrupt):
        handed(db, break_in)
    assert eventually(lambda: db.stats()["waiting"] == db.stats()["in_flight"] == 0)
    assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_a_gate_that_is_set_twice_lets_one_through() -> None:
    gate = ThreadGate()
    gate.set()
    gate.set()
    assert [gate.wait(0.0), gate.wait(0.0)] == [True, False]
    gate.set()
    gate.clear()
    assert not gate.wait(-1.0)


def test_one_timer_serves_all_who_wait_for_as_long() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, now = Deadlines(loop), loop.time()
        gates = [Gate(loop) for _ in range(5)]
        for number, gate in enumerate(gates[:4]):
            deadlines.add(gate, now + 0.05 + number / 1000)
        deadlines.add(gates[4], now + 0.01)  # who waits for a shorter time has a timer of his own
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) == 2  # type: ignore[attr-defined]
        done = [asyncio.ensure_future(_wait(gate, order)) for order, gate in enumerate(gates)]
        await asyncio.gather(*done)
        assert _order == [4, 0, 1, 2, 3]

    _order.clear()
    asyncio.run(main())


_order: list[int] = []


async def _wait(gate: Gate, number: int) -> None:
    await gate.future
    _order.append(number)


def test_those_who_were_served_are_not_kept_for_their_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        patient = Gate(loop)
        deadlines.add(patient, loop.time() + 3600.0)
        for _ in range(20 * SHORT):
            gate = Gate(loop)
            deadlines.add(gate, loop.time() + 3600.0)
            gate.set()
        assert len(deadlines._line) <= SHORT

    asyncio.run(main())


def test_a_task_that_waits_in_a_full_pool_runs_into_its_own_timeout() -> None:
    async def main() -> list[str]:
        cluster, _ = fake_cluster("a", max_size=1, timeout=30.0)
        async with cluster.aopen() as db:
            async with db.connection():
                tries = [db.options(timeout=seconds).execute("SELECT 1") for seconds in (0.04, 0.02, 0.03)]
                errors = await asyncio.gather(*tries, return_exceptions=True)
            assert (await db.execute("SELECT 1")).fetchall() == [("SELECT 1",)]
            assert db.stats()["waiting"] == 0
        return [type(error).__name__ for error in errors]

    assert asyncio.run(main()) == ["PoolTimeout"] * 3
