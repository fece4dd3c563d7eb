"""Two hundred tasks on one asyncio database while something happens to it, and the proof that each was told
the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

from clustersql.aio import Database
from clustersql.testing.workload import AsyncWorkload
from clustersql.testing.workload.tables import PER_WORKER

READERS = WRITERS = 100


def check_lost(acknowledged: Iterable[str], there: Collection[str], lost: bool) -> None:
    """What is missing of ``acknowledged``, whose names are ``worker-serial``, is nothing, or with ``lost`` one run per
    worker.

    A primary that dies takes with it what it had not sent to the standby: of each worker the latest until then, how
    much depends on how busy the machine is.  What was acknowledged after it must be there, and what came before.
    """
    acknowledged = list(acknowledged)
    missing = set(acknowledged) - set(there)
    assert lost or not missing, missing
    workers: dict[str, list[tuple[int, bool]]] = {}
    for name in acknowledged:
        worker, serial = name.split("-")
        workers.setdefault(worker, []).append((int(serial), name in missing))
    for worker, serials in workers.items():
        runs = [is_missing for is_missing, _ in groupby(is_missing for _, is_missing in sorted(serials))]
        assert runs.count(True) <= 1, (worker, sorted(serials))
    assert 2 * len(missing) < sum(map(len, workers.values())), "by far the most is there"


class Crowd(AsyncWorkload):
    """A hundred tasks read; the other hundred write."""

    def __init__(self, db: Database, paramstyle: str = "format") -> None:
        super().__init__(db, readers=READERS, writers=WRITERS, pause=0.02, name="crowd", paramstyle=paramstyle)

    async def progress(self, reads: int = 200, writes: int = 200, timeout: float = 60.0) -> None:
        """Wait until both kinds of work went on by so much."""
        await super().progress(reads, writes, timeout)

    async def check(self, execute: Callable[[str], list[tuple[Any, ...]]], lost: bool = False) -> None:
        """Acknowledged: there once.  Unknown: at most once.  Nothing else.  ``lost``: asynchronous replication may have
        lost the latest.

        ``execute`` asks the node that has all of it.
        """

        async def fetch(query: str) -> list[tuple[Any, ...]]:
            return await asyncio.to_thread(execute, query)

        assert self.told.raised == [], self.told.raised
        proof = await self.prove(fetch)
        check_lost(map(_name, self.told.acknowledged), set(map(_name, self.told.acknowledged - proof.missing)), lost)
        assert replace(proof, missing=frozenset()).holds, proof
        assert proof.acknowledged > WRITERS
        assert self.told.ended["read"] > READERS


def _name(number: int) -> str:
    """The worker's number, and that of its write."""
    return "{}-{}".format(*divmod(number, PER_WORKER))
