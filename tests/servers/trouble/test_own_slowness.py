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
from support.stage import Stage
from support.waiting import eventually

from clustersql.aio import dial as aio_dial
from clustersql.sync import dial as sync_dial


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
