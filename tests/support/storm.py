"""A thousand callers wait while every node is gone, and the nodes come back: no storm, in order, everybody served.

The nodes are behind proxies that accept and hang up at once while their servers are "gone", so that each attempt is
counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from support.waiting import eventually

import clustersql
from clustersql.testing import FaultProxy
from clustersql.testing.ports import free_ports

CALLERS, SIZE, DIALS, PROBE = 1000, 8, 2, 0.1


class Storm:
    """``dsns`` and ``ports``: of the servers, by node.  ``begin`` is called as the servers come back, ``count`` at the
    end, to look at them.
    """

    def __init__(self, ports: Mapping[str, int], dsn: Callable[[str], str], ways: Mapping[str, FaultProxy]) -> None:
        self.ports, self.ways = ports, ways
        self._dsn = dsn
        self.served: list[int] = []
        self.errors: list[BaseException] = []
        self._nowhere = free_ports(1)[0]
        self._began = 0.0
        self._accepted: dict[str, int] = {}

    def cluster(self, driver: str, asynchronous: bool) -> clustersql.Cluster:
        made = clustersql.Cluster(
            "storm",
            driver=None if asynchronous else driver,
            async_driver=driver if asynchronous else None,
            max_size=SIZE,
            max_dials_per_node=DIALS,
            failover_probe=PROBE,
            timeout=150.0,
        )
        for name, way in self.ways.items():
            made.add_node(name, self._dsn(name).replace(f":{self.ports[name]}", f":{way.port}"))
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
        """One prober asks for all: ten times a second per node, however many wait; and two dials that may just have
        begun.
        """
        elapsed = time.monotonic() - self._began
        for name, way in self.ways.items():
            made = way.accepted - self._accepted[name]
            assert made <= elapsed / (PROBE / 2) + DIALS + 2, f"{made} attempts at {name} in {elapsed:.1f} s"

    def come_back(self) -> None:
        self.begin()
        for name, way in self.ways.items():
            way.target_port = self.ports[name]

    def begin(self) -> None:
        """Look at what the servers have counted so far."""
        raise NotImplementedError

    def check_servers(self) -> None:
        """Compare with what they have counted since: at most `most_opened` connections in all."""
        raise NotImplementedError

    @property
    def most_opened(self) -> int:
        """The pool, and per node the probe and what was lost on the way."""
        return SIZE + 3 * len(self.ways)

    def check(self) -> None:
        assert self.errors == []
        assert sorted(self.served) == list(range(CALLERS))
        self._in_order()
        self.check_servers()

    def _in_order(self) -> None:
        """Whoever is served, of those before it only such may not have said so yet as hold a connection at
        that moment.
        """
        said: set[int] = set()
        first = 0  # the first who has not said so
        for caller in self.served:
            before = sum(1 for earlier in range(first, caller) if earlier not in said)
            assert before < SIZE, f"{caller} was served before {before} who came earlier"
            said.add(caller)
            while first in said:
                first += 1


@contextmanager
def ways(ports: Mapping[str, int]) -> Iterator[dict[str, FaultProxy]]:
    """A proxy before each server."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(FaultProxy(port)) for name, port in ports.items()}


def threads(storm: Storm, driver: str) -> None:
    """The callers are threads."""
    cluster = storm.cluster(driver, False)
    db = cluster.open()

    def call(number: int) -> None:
        try:
            with db.connection(read_only=True) as conn:
                storm.served.append(number)
                with conn.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    assert tuple(cursor.fetchone()) == (1,)
        except BaseException as exc:
            storm.errors.append(exc)

    with db:
        assert eventually(lambda: all(node.usable for node in cluster.view) or db.execute("SELECT 1") is None), (
            "all nodes are known"
        )
        storm.go()
        assert eventually(lambda: _gone(cluster)), "the outage is seen"
        callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for number, caller in enumerate(callers):
            caller.start()
            assert eventually(lambda waiting=number + 1: len(db._pool._book.waiters) == waiting), "it waits"
        storm.watch()
        time.sleep(1.0)
        storm.attempts_are_bounded()
        storm.come_back()
        for caller in callers:
            caller.join(120)
        assert not any(caller.is_alive() for caller in callers)
        assert db.stats()["in_flight"] == db.stats()["waiting"] == 0
    storm.check()


def tasks(storm: Storm, driver: str) -> None:
    """The callers are tasks of one loop."""

    async def main() -> None:
        cluster = storm.cluster(driver, True)

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
            while not _gone(cluster):
                await asyncio.sleep(0.01)
            callers = [asyncio.ensure_future(call(number)) for number in range(CALLERS)]
            while db.stats()["waiting"] < CALLERS:
                await asyncio.sleep(0.01)
            storm.watch()
            await asyncio.sleep(1.0)
            storm.attempts_are_bounded()
            storm.come_back()
            await asyncio.wait_for(asyncio.gather(*callers), 120)
            assert db.stats()["in_flight"] == db.stats()["waiting"] == 0

    asyncio.run(main())
    storm.check()


def _gone(cluster: clustersql.Cluster) -> bool:
    return not any(node.usable for node in cluster.view)
