"""A thousand callers wait while every node is gone, and the nodes come back: no storm, in order, everybody served.  Counted at the servers."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import clustersql
from clustersql.testing import FaultProxy, PostgresCluster
from clustersql.testing.ports import free_ports

CALLERS, SIZE, DIALS, PROBE = 1000, 8, 2, 0.1


class Storm:
    """Three nodes behind proxies that accept and hang up at once while the servers are "gone", so that each attempt is counted."""

    def __init__(self, postgres: PostgresCluster, ways: dict[str, FaultProxy]) -> None:
        self.postgres, self.ways = postgres, ways
        self.served: list[int] = []
        self.errors: list[BaseException] = []
        self._nowhere = free_ports(1)[0]
        self._began = 0.0
        self._accepted: dict[str, int] = {}
        self._read: dict[str, int] = {}

    def cluster(self, driver: str) -> clustersql.Cluster:
        made = clustersql.Cluster(
            "storm",
            driver=None if driver == "asyncpg" else driver,
            async_driver=driver if driver == "asyncpg" else None,
            max_size=SIZE,
            max_dials_per_node=DIALS,
            failover_probe=PROBE,
            timeout=150.0,
        )
        for name, way in self.ways.items():
            made.add_node(name, host="127.0.0.1", port=way.port, user="app", password="secret", database="app")
        return made

    def go(self) -> None:
        """Every node is gone."""
        for way in self.ways.values():
            way.target_port = self._nowhere
            way.reset()

    def watch(self) -> None:
        """From now on attempts are counted."""
        self._began, self._accepted = time.monotonic(), {name: way.accepted for name, way in self.ways.items()}

    def attempts_are_bounded(self) -> None:
        """One prober asks for all: ten times a second per node, however many wait; and two dials that may just have begun."""
        elapsed = time.monotonic() - self._began
        for name, way in self.ways.items():
            made = way.accepted - self._accepted[name]
            assert made <= elapsed / (PROBE / 2) + DIALS + 2, f"{made} attempts at {name} in {elapsed:.1f} s"

    def come_back(self) -> None:
        for name, way in self.ways.items():
            self._read[name] = self.postgres._log(name).stat().st_size
            self._accepted[name] = way.accepted
        for name, way in self.ways.items():
            way.target_port = self.postgres.port(name)

    def check(self) -> None:
        assert self.errors == []
        assert sorted(self.served) == list(range(CALLERS))
        self._in_order()
        opened = 0
        for name in self.ways:
            begun, at_once = self._logins(name)
            assert at_once <= DIALS + 1, f"{at_once} logins at once on {name}"  # and the probe
            opened += begun
        assert opened <= SIZE + 3 * len(self.ways), f"{opened} connections for a pool of {SIZE}"

    def _in_order(self) -> None:
        """Whoever is served, of those before it only such may not have said so yet as hold a connection at that moment."""
        said: set[int] = set()
        first = 0  # the first who has not said so
        for caller in self.served:
            before = sum(1 for earlier in range(first, caller) if earlier not in said)
            assert before < SIZE, f"{caller} was served before {before} who came earlier"
            said.add(caller)
            while first in said:
                first += 1

    def _logins(self, name: str) -> tuple[int, int]:
        """How many logins the server's log has since `come_back`, and how many were under way at once at most."""
        with self.postgres._log(name).open() as log:
            log.seek(self._read[name])
            lines = log.read().splitlines()
        begun, at_once, under_way = 0, 0, set()
        for line in lines:
            found = re.search(r"\[(\d+)\]", line)
            if found is None:
                continue
            if "connection received" in line:
                begun += 1
                under_way.add(found[1])
                at_once = max(at_once, len(under_way))
            elif "connection authorized" in line or "FATAL" in line:
                under_way.discard(found[1])
        return begun, at_once


@pytest.fixture
def storm(postgres: PostgresCluster) -> Iterator[Storm]:
    with ExitStack() as stack:
        ways = {name: stack.enter_context(FaultProxy(postgres.port(name))) for name in postgres.nodes}
        for name in ways:
            postgres._alter(name, "log_connections", "on")
            stack.callback(postgres._alter, name, "log_connections", None)
        yield Storm(postgres, ways)


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def gone(cluster: clustersql.Cluster) -> bool:
    return not any(node.usable for node in cluster.view)


def test_a_thousand_threads(storm: Storm) -> None:
    cluster = storm.cluster("psycopg")
    db = cluster.open()

    def call(number: int) -> None:
        try:
            with db.connection(read_only=True) as conn:
                storm.served.append(number)
                assert conn.execute("SELECT 1").fetchone() == (1,)
        except BaseException as exc:
            storm.errors.append(exc)

    with db:
        until(
            lambda: all(node.usable for node in cluster.view) or db.execute("SELECT 1") is None, "all nodes are known"
        )
        storm.go()
        until(lambda: gone(cluster), "the outage is seen")
        threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda waiting=number + 1: len(db._pool._book.waiters) == waiting, "it waits")
        storm.watch()
        time.sleep(1.0)
        storm.attempts_are_bounded()
        storm.come_back()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        assert db.stats()["in_flight"] == db.stats()["waiting"] == 0
    storm.check()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_thousand_tasks(storm: Storm, driver: str) -> None:
    async def main() -> None:
        cluster = storm.cluster(driver)

        async def call(number: int) -> None:
            try:
                async with db.connection(read_only=True) as conn:
                    storm.served.append(number)
                    await conn.execute("SELECT 1")
            except BaseException as exc:
                storm.errors.append(exc)

        async with cluster.aopen() as db:
            while not all(node.usable for node in cluster.view):
                await db.execute("SELECT 1")
                await asyncio.sleep(0.01)
            storm.go()
            while not gone(cluster):
                await asyncio.sleep(0.01)
            tasks = [asyncio.ensure_future(call(number)) for number in range(CALLERS)]
            while db.stats()["waiting"] < CALLERS:
                await asyncio.sleep(0.01)
            storm.watch()
            await asyncio.sleep(1.0)
            storm.attempts_are_bounded()
            storm.come_back()
            await asyncio.wait_for(asyncio.gather(*tasks), 120)
            assert db.stats()["in_flight"] == db.stats()["waiting"] == 0

    asyncio.run(main())
    storm.check()
