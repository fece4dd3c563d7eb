"""A synchronous face over `clustersql.aio`, so that a test about behaviour is written once and runs on both APIs.

Every call, and every look at an attribute, is made in an event loop that runs in a thread of its own.  Only tests use
it: the library has no such thing, for a thread per caller is what asyncio is there to avoid.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import clustersql
from clustersql import aio
from clustersql.aio.transaction import Block

ASYNC = ("psycopg-aio", "asyncpg", "aiomysql", "asyncmy", "aiosqlite")
"""The drivers of the asyncio API; "-aio" where both APIs have one of that name."""


class Loop:
    """An event loop in a thread.  `close` ends it, and fails when a task was left in it."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="test-loop", daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.loop.set_default_executor(ThreadPoolExecutor(64))  # as many functions of `run` may wait at once
        self._ready.set()
        await self._stop.wait()

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` in the loop, await what can be awaited, and return or raise what comes of it."""
        assert threading.current_thread() is not self._thread, "a call from within the loop would wait for itself"

        async def called() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result()

    def tasks(self) -> list[str]:
        """The names of the library's tasks that run now."""
        names = self.call(lambda: [task.get_name() for task in asyncio.all_tasks()])
        return [name for name in names if name.startswith("clustersql")]

    def close(self) -> None:
        """End the loop, in which no task may be left.  Twice does no harm."""
        if self._thread.is_alive():
            deadline = time.monotonic() + 15
            while (left := self.tasks()) and time.monotonic() < deadline:
                time.sleep(0.005)
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            assert not left, f"tasks that were left: {left}"


class FaceCluster(clustersql.Cluster):
    """A cluster whose `open`, `connect` and `dial` are the asyncio API's, with this face."""

    def __init__(self, name: str, loop: Loop, driver: str, **knobs: Any) -> None:
        super().__init__(name, async_driver=driver, **knobs)
        self.loop = loop
        self.driver = (
            self._load_async()
        )  # what a test asks of `driver` is the same of both: the error classes, the facts

    def open(self, **use: Any) -> FaceDatabase:  # type: ignore[override]
        database = self.aopen(**use)
        self.loop.call(database._pool)  # a pool of threads begins here, that of a loop with its first use
        return FaceDatabase(database, self.loop)

    def connect(self, *args: Any, **kwargs: Any) -> FaceConnection:
        return FaceConnection(self.loop.call(self.aconnect, *args, **kwargs), self.loop)

    def dial(self, **kwargs: Any) -> Any:
        return self.loop.call(self.adial, **kwargs)

    def metrics(self) -> dict[str, Any]:
        return self.loop.call(super().metrics)

    def close(self) -> None:
        super().close()
        pool = self._async_pools.get(id(self.loop.loop))
        if pool is not None:
            self.loop.call(pool.aclose)


def cluster(name: str, driver: str, loop: Loop | None, **knobs: Any) -> Any:
    """Return a cluster over ``driver``, whose name ends by "-aio" where both APIs have it; with this face when there is
    a loop.
    """
    if loop is None:
        return clustersql.Cluster(name, driver=driver, **knobs)
    return FaceCluster(name, loop, driver.removesuffix("-aio"), **knobs)


@contextmanager
def cluster_of(driver: str, name: str, **knobs: Any) -> Iterator[Any]:
    """`cluster`, with a loop of its own where ``driver`` is one of asyncio; closed at the end, with no task left."""
    loop = Loop() if driver in ASYNC else None
    made = cluster(name, driver, loop, **knobs)
    try:
        yield made
    finally:
        made.close()
        if loop is not None:
            loop.close()


class _Face:
    """What is not named in a class is the asyncio object's own, called and looked at in its loop."""

    def __init__(self, inner: Any, loop: Loop) -> None:
        self.__dict__.update(_inner=inner, _loop=loop)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._seen(self._loop.call(lambda: getattr(self._inner, name)(*args, **kwargs)))

    def _seen(self, value: Any) -> Any:
        """Return ``value`` with this face, if it is one of the library's objects."""
        if value is self._inner:
            return self
        faces = {aio.Database: FaceDatabase, aio.Connection: FaceConnection, aio.Cursor: FaceCursor, Block: FaceBlock}
        face = faces.get(type(value))
        return face(value, self._loop) if face else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return getattr(self._inner, name)
        value = self._loop.call(lambda: (getattr(self._inner, name),))[0]  # in a tuple: it may be awaitable itself
        if callable(value) and not isinstance(value, type) and name != "row_factory":  # a function that is a value
            return lambda *args, **kwargs: self._seen(self._loop.call(value, *args, **kwargs))
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._loop.call(setattr, self._inner, name, value)

    def __enter__(self) -> Any:
        return self._call("__aenter__")

    def __exit__(self, *details: Any) -> None:
        self._call("__aexit__", *details)

    def __repr__(self) -> str:
        return repr(self._inner)


class FaceDatabase(_Face):
    """`aio.Database` for a test's threads."""

    @property
    def _pool(self) -> Any:
        return self._loop.call(self._inner._pool)

    @property
    def bookmark(self) -> str:
        return self._loop.call(lambda: self._inner.bookmark)  # type: ignore[no-any-return]

    def execute(self, operation: Any, *args: Any, **options: Any) -> Any:
        return self._call("execute", own_style(self._inner._cluster._load_async(), operation, args), *args, **options)

    def connection(self, **options: Any) -> FaceConnection:
        return self._seen(self._loop.call(lambda: self._inner.connection(**options)))  # checked out here

    def once(self, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As `run`."""

        async def function_in_a_thread(conn: aio.Connection, *args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(function, FaceConnection(conn, self._loop), *args, **kwargs)

        return self._call("once", key, function_in_a_thread, *args, **kwargs)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The test's function is a plain one: it runs in a thread, from where it calls back into the loop."""

        async def function_in_a_thread(conn: aio.Connection, *args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(function, FaceConnection(conn, self._loop), *args, **kwargs)

        return self._call("run", function_in_a_thread, *args, **kwargs)


class FaceConnection(_Face):
    """`aio.Connection` for a test's threads."""

    def execute(self, operation: Any, *args: Any, **options: Any) -> Any:
        return self._call("execute", own_style(self._inner._pool.driver, operation, args), *args, **options)

    @contextmanager
    def options(self, **values: Any) -> Iterator[FaceConnection]:
        block = self._loop.call(self._inner.options, **values)
        self._loop.call(block.__enter__)
        try:
            yield self
        finally:
            self._loop.call(block.__exit__, None, None, None)


class FaceCursor(_Face):
    """`aio.Cursor` for a test's threads."""

    def execute(self, operation: Any, *args: Any, **options: Any) -> Any:
        return self._call("execute", own_style(self._driver, operation, args), *args, **options)

    def executemany(self, operation: Any, *args: Any, **options: Any) -> Any:
        return self._call("executemany", own_style(self._driver, operation, args), *args, **options)

    @property
    def _driver(self) -> Any:
        return self._inner._connection._pool.driver

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row


class FaceBlock(_Face):
    """`aio`'s block of a transaction for a test's threads."""

    def __exit__(self, *details: Any) -> Any:
        return self._call("__aexit__", *details)


def own_style(driver: Any, operation: Any, args: tuple[Any, ...]) -> Any:
    """Write ``%s``, which the tests use, as ``$1``, ``$2`` for asyncpg."""
    if driver.name != "asyncpg" or not args or not isinstance(operation, str):
        return operation
    numbers = iter(range(1, 1000))
    return re.sub("%s", lambda _: f"${next(numbers)}", operation)
