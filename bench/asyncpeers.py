"""The asyncio peers among the contenders for faults: asyncpg's own pool, and hasql over it.

Each has an event loop of its own in a thread, so that what it does in the background (hasql asks its nodes once a
second) goes on between two operations.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from .peers import missing

Operation = Callable[[], object]
DEADLINE = 2.0
"""Seconds, where a peer lets a time be set at all: to connect, and in the rows that say so for a statement."""
ENDS = 3.0
"""Seconds that a peer may take to close at the end; one that hangs on a frozen node is left behind."""


class Background:
    """An event loop that runs in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine there, and return its result; raises TimeoutError after ``timeout`` seconds."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def end(self, close: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Close the peer, if it lets itself be closed, and stop the loop."""
        with contextlib.suppress(Exception):  # it hangs, or has broken: that is not what is measured here
            self.call(close(), ENDS)
        self.call(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=ENDS) if tasks else None


def asyncpg_pool(hosts: str, sql: str, attributes: str, stack: ExitStack) -> dict[str, Operation]:
    """Return asyncpg's pool on all nodes: as it is, and with a deadline for each statement."""
    dsn = f"postgresql://app:secret@{hosts}/app"
    return {
        "asyncpg's pool, several hosts": _pool(dsn, sql, attributes, stack),
        "asyncpg's pool, several hosts, command_timeout=2": _pool(
            dsn, sql, attributes, stack, command_timeout=DEADLINE
        ),
    }


def _pool(dsn: str, sql: str, attributes: str, stack: ExitStack, **more: Any) -> Operation:
    import asyncpg

    background = Background()

    async def create() -> Any:
        return await asyncpg.create_pool(
            dsn, min_size=1, max_size=4, timeout=DEADLINE, target_session_attrs=attributes, **more
        )

    pool = background.call(create())
    stack.callback(background.end, pool.close)

    async def operation() -> None:
        async with pool.acquire() as connection:
            await connection.execute(sql)

    return lambda: background.call(operation())


def hasql(hosts: str, sql: str, attributes: str, stack: ExitStack) -> dict[str, Operation]:
    """Return hasql over asyncpg's pools, one per node: as it is, and with a deadline for each statement."""
    try:
        from hasql.driver.asyncpg import PoolManager
    except ImportError:
        return missing("hasql")  # type: ignore[return-value]
    found: dict[str, Operation] = {}
    for name, more in {"hasql": {}, "hasql, command_timeout=2": {"command_timeout": DEADLINE}}.items():
        background = Background()

        async def create(more: dict[str, Any] = more) -> Any:
            pools = {"min_size": 1, "max_size": 4, "timeout": DEADLINE, **more}
            manager = PoolManager(f"postgresql://app:secret@{hosts}/app", pool_factory_kwargs=pools)
            await manager.ready()
            return manager

        manager = background.call(create())
        stack.callback(background.end, manager.close)
        acquire = manager.acquire_replica if attributes == "any" else manager.acquire_master

        async def operation(acquire: Any = acquire) -> None:
            async with acquire() as connection:
                await connection.execute(sql)

        found[name] = lambda background=background, operation=operation: background.call(operation())
    return found
