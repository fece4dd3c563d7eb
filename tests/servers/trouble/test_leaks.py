"""Hundreds of failovers later: threads, sockets and memory as before."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import threading

import pytest
from support.stage import POSTGRES, Stage, failure
from support.waiting import eventually

import clustersql
import clustersql.aio
from clustersql.nodes.events import KEPT
from clustersql.testing import FaultProxy, PostgresCluster

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
LEFT = "SELECT pid, state, wait_event, query, clock_timestamp() - backend_start FROM pg_stat_activity WHERE usename = 'app'"
"""The same, for whoever must find out why."""
FAILOVERS = 300
"""So many that what settles late is no leak: each takes 50 ms of work, here and on the server."""


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _settled(stage: Stage) -> bool:
    """No dial is under way."""
    return eventually(lambda: not any(stage.dials(cluster) for cluster in stage.clusters))


def _failovers(stage: Stage, count: int) -> None:
    """So many lost connections, each recovered: cut before, cut after, reset, and once in a while in a transaction."""
    db = stage.db.options(idempotent=True)
    rng = random.Random(count)
    for _ in range(count):
        with db.connection() as conn:
            proxy = stage.a if conn.node == "a" else stage.b
            if rng.random() < 0.5:
                proxy.reset()
            else:
                proxy.cut_on(stage.key_bytes, before=rng.random() < 0.5)
            conn.execute("SELECT %s::text", (stage.key,))
            if rng.random() < 0.1:
                stage.a.reset()
                stage.b.reset()
                failure(conn.execute, "SELECT 2")
                conn.rollback()


def _fresh(stage: Stage) -> None:
    """A cluster that heals fast and remembers nothing for the test: a list of all connections ever made would be the
    leak.
    """
    stage.close()
    stage.raws.clear()
    knobs = {"retry_ratio": 1.0, "retry_reserve": 1000, "breaker_base": 0.01, "breaker_cap": 0.05}
    stage.cluster = stage.make(on_connect=None, **knobs)
    stage.db = stage.cluster.open()
    for _ in range(KEPT):  # they are objects too: what is full does not grow
        stage.cluster._topology.events.note("held", "", "before the test")


def _measure() -> tuple[int, int, int, int]:
    """Threads, open files, objects, and bytes of memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return threading.active_count(), _open_files(), len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE")


def test_hundreds_of_failovers(psycopg_stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Neither threads nor sockets nor objects nor memory grow; the server's sessions do not either."""
    stage = psycopg_stage
    caplog.set_level(logging.CRITICAL, logger="clustersql")  # pytest keeps every line
    _fresh(stage)
    _failovers(stage, 100)  # caches fill, the clusters settle
    assert _settled(stage)
    before = _measure()
    _failovers(stage, FAILOVERS)
    assert _settled(stage)
    after = _measure()
    print(f"threads, files, objects, bytes: {before} before, {after} after")
    assert after[0] <= before[0] + 1
    assert after[1] <= before[1] + 3  # a connection or two more or less
    assert after[2] <= before[2] + 0.9 * FAILOVERS  # not one object per failover
    assert after[3] <= before[3] + 15_000 * FAILOVERS
    assert stage.recoveries >= FAILOVERS
    assert stage.db.stats()["size"] <= 10
    stage.close()
    assert eventually(lambda: stage.ask(SESSIONS) == [(0,)]), stage.ask(LEFT)


def test_nodes_that_flap(psycopg_stage: Stage) -> None:
    """Up and down some dozens of times, in turns: no error, and no thread, socket or session stays behind."""
    stage = psycopg_stage
    _fresh(stage)
    cluster, db = stage.cluster, stage.db.options(idempotent=True)
    for _ in range(5):
        db.execute("SELECT 1")
    gc.collect()
    threads, files = threading.active_count(), _open_files()
    for round_ in range(40):
        down = stage.a if round_ % 2 else stage.b
        down.stop()
        for _ in range(5):
            db.execute(
                "INSERT INTO counters (name, n) VALUES (%s, 1) ON CONFLICT DO NOTHING", (f"{stage.key}-{round_}",)
            )
        down.restart()
        name = "a" if down is stage.a else "b"
        assert eventually(lambda name=name: cluster.view.by_name[name].usable)
    assert stage.ask("SELECT count(*) FROM counters WHERE name LIKE %s", f"{stage.key}-%") == [(40,)]
    assert _settled(stage)
    gc.collect()
    assert threading.active_count() <= threads + 1
    assert _open_files() <= files + 4  # two pools and their probes
    stage.close()
    assert eventually(lambda: stage.ask(SESSIONS) == [(0,)]), stage.ask(LEFT)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("moment", [0.15, 0.45, 0.65, 0.75])
def test_a_dial_that_is_under_way_at_the_close_leaves_no_session(
    postgres: PostgresCluster, driver: str, moment: float
) -> None:
    """Also without the collector: psycopg's half open connection hung on the task that was cancelled."""

    async def main(proxy: FaultProxy) -> None:
        cluster = clustersql.Cluster("closing", async_driver=driver)
        cluster.add_node("a", postgres.dsn("n1").replace(str(postgres.port("n1")), str(proxy.port)))
        db = cluster.aopen()
        callers = [asyncio.ensure_future(db.execute("SELECT 1")) for _ in range(3)]
        await asyncio.sleep(moment)  # of a login of several answers, each of which takes 0.2 s
        await db.close()
        await asyncio.gather(*callers, return_exceptions=True)
        assert await asyncio.to_thread(eventually, lambda: postgres.execute("n1", SESSIONS) == [(0,)])

    with FaultProxy(postgres.port("n1")) as proxy:
        proxy.delay(0.2)
        gc.collect()
        gc.disable()
        try:
            asyncio.run(main(proxy))
        finally:
            gc.enable()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "aiomysql", "asyncmy"])
def test_a_statement_leaves_nothing_to_the_collector(driver: str, request: pytest.FixtureRequest) -> None:
    """Each had left its cursor, its connection and its rows in a cycle: 13 to 29 objects per statement."""
    postgres = driver in POSTGRES
    server = request.getfixturevalue("postgres" if postgres else "mariadb_server")

    async def main() -> list[int]:
        cluster = clustersql.Cluster("tidy", async_driver=driver)
        cluster.add_node("a", host="127.0.0.1", port=server.port("n1"), user="app", password="secret", database="app")
        async with cluster.aopen() as db:
            return [await left(db) for _ in range(5)]

    async def left(db: clustersql.aio.Database) -> int:
        gc.collect()
        for _ in range(2):
            await db.execute("SELECT 1")
        return gc.collect()

    gc.disable()
    try:
        counted = asyncio.run(main())  # the first one dials, and the monitor asks the node in between
    finally:
        gc.enable()
    assert min(counted) == 0, counted
