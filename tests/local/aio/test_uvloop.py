"""The same on uvloop: its suspensions, its futures and its end are others."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from local.aio.test_cancellation import OPERATIONS, cancel_everywhere
from support.fake import fake_cluster


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_cancelled_at_every_await(operation: str) -> None:
    """From the dial to the return."""
    assert run(cancel_everywhere(OPERATIONS[operation], warm=False, prepare=lambda driver: None)) >= 4


@pytest.mark.parametrize("end", ["runner", "loop.close"])
def test_loop_that_ends_with_the_pool_open(end: str) -> None:
    """A warning that names the cluster, and nothing stays open."""
    cluster, driver = fake_cluster()

    async def use() -> None:
        await cluster.aopen().execute("SELECT 1")

    def work() -> None:
        if end == "runner":
            run(use())
        else:
            loop = uvloop.new_event_loop()
            loop.run_until_complete(use())
            loop.close()
            del loop
        gc.collect()

    with pytest.warns(ResourceWarning, match="database of cluster 'fake' was open"):
        work()
    assert not driver.open
