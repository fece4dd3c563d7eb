"""The waiting for what must happen, in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .background import PATIENCE


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it holds; fail after `PATIENCE` seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


async def answer(value: bool) -> bool:
    """Return ``value``, awaited: for `until`."""
    return value


async def cancelled(call: Coroutine[Any, Any, Any], after: float) -> Any:
    """Cancel the call after so many seconds; return its result if it was quicker."""
    task = asyncio.create_task(call)
    await asyncio.wait([task], timeout=after)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/dev/fd"))
