"""One statement by many callers through few connections, beside the peers' pools: CPU, rate, wake-ups, latency and
fairness.

The base is a *bare hand-off pool*: raw connections of the driver, the one given back last first, and who waits is
served in the order of coming.  All contenders are in one process, and their rounds are interleaved in an order that is
shuffled.
"""

from __future__ import annotations

import asyncio
import random
import resource
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

from clustersql.testing import MariaDBServer, PostgresCluster

from . import asyncpools, pools
from .measure import Call, Group, row

THREADS = ((1, 10), (16, 10), (64, 10), (64, 60))
TASKS = ((10, 10), (1000, 10), (1000, 60))
NODES = (1, 3)
BARE = "bare pool"


@dataclass(frozen=True)
class Sample:
    """What one round of one contender gave."""

    cpu: float
    """Microseconds of this process's CPU per operation."""
    rate: float
    """Operations per second."""
    switches: float
    """Context switches of this process per operation."""
    p50: float
    """Milliseconds, as `p99`."""
    p99: float
    fairness: float
    """The fewest operations of a caller over the most."""


FIGURES = (
    ("CPU of the client per operation", "us", lambda sample: sample.cpu),
    ("Operations per second", "1/s", lambda sample: sample.rate),
    ("Context switches per operation", "switches", lambda sample: sample.switches),
    ("Latency, p50", "ms", lambda sample: sample.p50),
    ("Latency, p99", "ms", lambda sample: sample.p99),
    ("Fairness: fewest operations of a caller over the most", "share", lambda sample: sample.fairness),
)


class Meter:
    """Takes the time of each operation of each caller, between its begin and its end."""

    def __init__(self, callers: int) -> None:
        self.seconds: list[list[float]] = [[] for _ in range(callers)]
        self._began = time.monotonic()
        self._cpu = time.process_time()
        self._switches = _switches()

    def sample(self) -> Sample:
        """Return what was measured since its making."""
        cpu, elapsed = time.process_time() - self._cpu, time.monotonic() - self._began
        switches = _switches() - self._switches
        counts = [len(each) for each in self.seconds]
        total = max(1, sum(counts))
        every = sorted(one for each in self.seconds for one in each) or [0.0]
        p50, p99 = (every[int(share * (len(every) - 1))] * 1e3 for share in (0.5, 0.99))
        return Sample(cpu / total * 1e6, total / elapsed, switches / total, p50, p99, min(counts) / max(1, *counts))


def _switches() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw + used.ru_nivcsw


def run(quick: bool) -> Iterator[Group]:
    """Yield the tables: threads, then tasks; of each figure one, and the CPU over the bare pool's."""
    threads = THREADS[1:3] if quick else THREADS
    tasks = ((50, 10),) if quick else TASKS
    with PostgresCluster(max(NODES), max_connections=600) as postgres, MariaDBServer(max_connections=400) as mariadb:
        places = pools.Places([postgres.dsn(name) for name in postgres.nodes], mariadb.port())
        yield from tables("psycopg, threads/connections", _threads(places, threads, quick))
        for driver in asyncpools.DRIVERS:
            yield from tables(f"{driver}, tasks/connections", asyncio.run(_tasks(driver, places, tasks, quick)))


def tables(title: str, found: Mapping[str, Mapping[str, Sequence[Sample]]]) -> Iterator[Group]:
    """Yield a table per figure; ``found``: the samples of each contender under each load."""
    ratio = Group(f"{title}: CPU per operation over the bare pool", "x", [])
    for load, contenders in found.items():
        base = [sample.cpu for sample in contenders[BARE]]
        for name, samples in contenders.items():
            values = [sample.cpu / bare for sample, bare in zip(samples, base, strict=True)]
            ratio.rows.append(row(f"{load}: {name}", values))
    yield ratio
    for figure, unit, value in FIGURES:
        rows = [
            row(f"{load}: {name}", [value(sample) for sample in samples])
            for load, contenders in found.items()
            for name, samples in contenders.items()
        ]
        yield Group(f"{title}: {figure}", unit, rows)


def _rounds(quick: bool) -> tuple[int, float]:
    """Return how many rounds there are, and the seconds of each."""
    return (2, 0.15) if quick else (9, 0.7)


# -- threads -----------------------------------------------------------------------------------------------------------


def _threads(places: pools.Places, loads: Sequence[tuple[int, int]], quick: bool) -> dict[str, dict[str, list[Sample]]]:
    found: dict[str, dict[str, list[Sample]]] = {}
    count, seconds = _rounds(quick)
    for callers, connections in loads:
        with ExitStack() as stack:
            ways = pools.contenders(places, connections, NODES, stack)
            samples: dict[str, list[Sample]] = {name: [] for name in ways}
            for _ in range(count):
                for name in random.sample(list(ways), len(ways)):
                    samples[name].append(by_threads(ways[name], callers, seconds))
        found[f"{callers}/{connections}"] = samples
    return found


def by_threads(call: Call, callers: int, seconds: float) -> Sample:
    """Let so many threads do ``call`` over and over for so long."""
    barrier, over = threading.Barrier(callers + 1), threading.Event()
    measured: list[Meter] = []

    def work(number: int) -> None:
        call()
        barrier.wait()
        barrier.wait()
        took = measured[0].seconds[number]
        while not over.is_set():
            began = time.perf_counter()
            call()
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    measured.append(Meter(callers))
    barrier.wait()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return measured[0].sample()


# -- tasks -------------------------------------------------------------------------------------------------------------

Task = Callable[[], Awaitable[object]]


async def _tasks(
    driver: str, places: pools.Places, loads: Sequence[tuple[int, int]], quick: bool
) -> dict[str, dict[str, list[Sample]]]:
    found: dict[str, dict[str, list[Sample]]] = {}
    count, seconds = _rounds(quick)
    for callers, connections in loads:
        async with AsyncExitStack() as stack:
            ways = await asyncpools.contenders(driver, places, connections, NODES, stack)
            samples: dict[str, list[Sample]] = {name: [] for name in ways}
            for _ in range(count):
                for name in random.sample(list(ways), len(ways)):
                    samples[name].append(await by_tasks(ways[name], callers, seconds))
        found[f"{callers}/{connections}"] = samples
    return found


async def by_tasks(call: Task, callers: int, seconds: float) -> Sample:
    """Let so many tasks do ``call`` over and over for so long."""
    await asyncio.gather(*(call() for _ in range(callers)))  # connections are opened before it counts
    meter, over = Meter(callers), False

    async def work(took: list[float]) -> None:
        while not over:
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)

    working = [asyncio.ensure_future(work(each)) for each in meter.seconds]
    await asyncio.sleep(seconds)
    over = True
    await asyncio.gather(*working)
    return meter.sample()
