"""What the recipes' tests share: the code of ``docs/recipes.md``, and the verbs of the story that is told on a real
cluster.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pymysql

from clustersql import Cluster
from clustersql.testing.processes import wait_until

RECIPES = Path(__file__).parents[3] / "docs" / "recipes.md"


def blocks() -> dict[str, str]:
    """The page's fenced blocks of Python by the file's name in their first line."""
    return dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", RECIPES.read_text(), re.MULTILINE | re.DOTALL))


@dataclass
class Stage:
    """A real cluster: n1 takes the writes, until something is done to it and n2 does."""

    driver: str
    servers: Any

    @property
    def postgres(self) -> bool:
        return self.driver in ("psycopg", "asyncpg")

    @property
    def port_sql(self) -> str:
        return "SELECT inet_server_port()" if self.postgres else "SELECT @@port"

    def node(self, port: int) -> str:
        """The name of the node with that port."""
        return str(next(name for name in self.servers.nodes if self.servers.port(name) == port))

    def demote(self) -> None:
        """Make n1 refuse writes, though its sessions stay, and n2 take them."""
        self.servers.set_read_only("n1")
        if self.postgres:
            self.servers.promote("n2")

    def kill(self) -> None:
        """End n1 at once; n2 takes the writes."""
        self.servers.kill("n1")
        if self.postgres:
            self.servers.promote("n2")

    def wait_for(self, rows: int) -> None:
        """Wait until n2 has them: replication is asynchronous, and what n2 has not received is lost with n1."""

        def there() -> bool:
            if (
                self.postgres
            ):  # first all that n1 has written: until then n2 may have the table of the test before, or none
                [(written,)] = self.servers.execute("n1", "SELECT pg_current_wal_lsn()::text")
                caught_up = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
                wait_until(
                    lambda: self.servers.execute("n2", caught_up, (written,)) == [(True,)], "n2 follows", timeout=20
                )
            with suppress(psycopg.Error, pymysql.Error):  # Galera: n2 has the table a moment later
                return self.servers.execute("n2", "SELECT COUNT(*) FROM orders") == [(rows,)]
            return False

        wait_until(there, f"n2 has {rows} orders", timeout=20)


@dataclass
class Story:
    """A stage, our cluster, and the framework's way into it."""

    stage: Stage
    cluster: Cluster
    way_in: Any


def until_it_works(work: Callable[[], object], error: type[Exception], at_most: int) -> None:
    """Call ``work`` as one request after the other would; ``at_most`` of them may fail."""
    for _ in range(at_most):
        try:
            work()
        except error:
            continue
        return
    work()


@contextmanager
def event_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """An event loop that runs in a thread of its own, as a server's does, while the story goes on; gives what runs a
    coroutine in it.
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        ended = asyncio.Event()
        running.set_result((asyncio.get_running_loop(), ended))
        await ended.wait()

    thread = Thread(target=lambda: asyncio.run(live()))
    thread.start()
    loop, ended = running.result()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(60)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
