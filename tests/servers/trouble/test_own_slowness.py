"""An answer that has come, and that this process has not come to heed: too many busy threads, a blocked loop.  It
condemns nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pg8000.core import CoreConnection
from support.stage import Stage
from support.waiting import eventually

import clustersql
from clustersql.aio import dial as aio_dial
from clustersql.pool.upkeep import Upkeep
from clustersql.sync import dial as sync_dial
from clustersql.testing import PostgresCluster


def test_a_node_whose_answer_we_do_not_heed_is_not_down(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each answer is held back until the probe is late, and has been given more time."""
    cluster = stage.make(stall_after=0.6, probe_interval=0.1, connect_timeout=20.0)
    cluster.open().execute("SELECT 1")
    assert eventually(lambda: all(node.usable for node in cluster.view))
    given: list[bool] = []
    over = threading.Event()
    for kind in (sync_dial.Attempt, aio_dial.Attempt):
        monkeypatch.setattr(kind, "heed", _noted(kind.heed, given))
    driver, ask = cluster.driver, cluster.driver.ask

    def slow(raw: Any, statements: Any) -> Any:
        rows = ask(raw, statements)
        for seconds in _until_judged(given, over):
            time.sleep(seconds)
        return rows

    async def slow_in_the_loop(raw: Any, statements: Any) -> Any:
        rows = await ask(raw, statements)
        for seconds in _until_judged(given, over):
            await asyncio.sleep(seconds)
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(driver, "ask", slow if stage.loop is None else slow_in_the_loop)
        try:
            assert eventually(lambda: len(given) >= 4)
        finally:
            over.set()
    assert all(given)
    assert not [line for line in caplog.messages if "did not answer" in line]


def _noted(heed: Any, given: list[bool]) -> Any:
    def noted(attempt: Any, now: float, most: float) -> None:
        heed(attempt, now, most)
        given.append(attempt.deadline > now or attempt._settled)  # it has ended just now, and is not judged any more

    return noted


def _until_judged(given: list[bool], over: threading.Event) -> Iterator[float]:
    before = len(given)
    while len(given) == before and not over.is_set():
        yield 0.01


def test_an_answer_that_no_thread_has_read_yet_is_no_lost_path(
    postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not work on it any more, for it has answered: seen where a process went on after a standstill,
    with more threads than cores.
    """
    heard, read = threading.Event(), threading.Event()
    handle, hear = CoreConnection.handle_messages, Upkeep.heard

    def read_late(raw: Any, context: Any) -> Any:
        if threading.current_thread() is caller:
            assert read.wait(30)
        return handle(raw, context)

    def hear_of(upkeep: Upkeep, owed: Any, running: Any, identity: str = "") -> None:
        hear(upkeep, owed, running, identity)
        if owed and not running:
            heard.set()

    monkeypatch.setattr(Upkeep, "heard", hear_of)
    cluster = clustersql.Cluster("unread", driver="pg8000", stall_after=0.3, probe_interval=0.1)
    cluster.add_node("n1", postgres.dsn("n1"))
    with cluster.open() as db:
        db.execute("SELECT 1")
        rows: list[Any] = []
        caller = threading.Thread(target=lambda: rows.extend(db.execute("SELECT 2").fetchall()))
        monkeypatch.setattr(CoreConnection, "handle_messages", read_late)
        caller.start()
        assert heard.wait(30)
        read.set()
        caller.join(30)
        assert [tuple(row) for row in rows] == [(2,)]
        assert cluster.metrics()["Pool"]["Hung"] == 0
    cluster.close()
