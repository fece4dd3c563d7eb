"""All drivers at work at the same time on clusters of their own, so that one fault of the servers is played once for
all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.load import Load, load
from support.stage import INSERT, MARIADB, execute
from support.waiting import eventually

from clustersql import Cluster, OutcomeUnknown
from clustersql.dialects import by_name
from clustersql.testing import MySQLCluster

TUNED = {"probe_interval": 0.2, "stall_after": 1.0, "connect_timeout": 3.0, "breaker_base": 0.2, "breaker_cap": 0.5}
TUNED |= {"slow_start": 0.5, "timeout": 60.0}
PAUSE = 0.02
"""Seconds before each operation: without it a dozen threads take all that probes need, and nodes are late that live."""

GUARDED = MARIADB[::2]
"""Drivers whose COMMITs carry a token: to these no outcome is unknown."""


class Work:
    """One writer in `run` and one reader for each driver, and the proof that what each was told is what the database
    holds.
    """

    def __init__(self, servers: MySQLCluster, client: Callable[..., Cluster], **knobs: Any) -> None:
        self.servers = servers
        servers.execute("n1", "TRUNCATE events")
        guard = by_name("mysql").guard
        assert guard is not None
        for statement in guard.create("clustersql_commit", "clustersql_key"):
            servers.execute("n1", statement)
        tuned = {driver: TUNED | {"commit_guard": driver in GUARDED} | knobs for driver in MARIADB}
        self.clusters = {driver: client(servers, driver, **tuned[driver]) for driver in MARIADB}
        self.dbs = {driver: cluster.open() for driver, cluster in self.clusters.items()}
        self.acknowledged: dict[str, set[str]] = {driver: set() for driver in MARIADB}
        self.unknown: set[str] = set()
        assert eventually(self.all_usable), self.views()
        assert eventually(self.in_step)

    def all_usable(self) -> bool:
        return all(node.usable for cluster in self.clusters.values() for node in cluster.view)

    def in_step(self) -> bool:
        return all(
            self.servers._glimpse(name, "SELECT count(*) FROM app.events") == [(0,)] for name in self.servers.nodes
        )

    def views(self) -> dict[str, Any]:
        return {driver: cluster.view for driver, cluster in self.clusters.items()}

    def write(self, thread: int, serial: int) -> None:
        time.sleep(PAUSE)
        driver = MARIADB[thread]
        key = f"{driver}-{serial}"
        try:
            self.dbs[driver].run(lambda conn: execute(conn, INSERT, (key,)))
        except OutcomeUnknown:
            self.unknown.add(key)
        else:
            self.acknowledged[driver].add(key)

    def read(self, thread: int, serial: int) -> None:
        time.sleep(PAUSE)
        self.dbs[MARIADB[thread]].options(read_only=True).execute("SELECT 1 FROM events LIMIT 1").fetchall()

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Both loads; no read may have failed, nor a write that was not in doubt."""
        with load(self.read, threads=len(MARIADB)) as reads, load(self.write, threads=len(MARIADB)) as writes:
            self.progress()
            yield writes
            self.progress()
        assert (writes.failed, reads.failed) == ([], [])

    def progress(self, runs: int = 3) -> None:
        """Wait until every driver has written so many more."""
        before = {driver: len(done) for driver, done in self.acknowledged.items()}
        more = lambda: all(len(self.acknowledged[d]) >= n + runs for d, n in before.items())  # noqa: E731
        assert eventually(more, timeout=60), ({d: len(k) for d, k in self.acknowledged.items()}, before, self.views())

    def check(self, node: str) -> None:
        """What was acknowledged is there once, what is unknown once or not at all, and nothing else; with the commit
        guard nothing is unknown, and every COMMIT had its token.
        """
        present = Counter(name for (name,) in self.servers.execute(node, "SELECT name FROM events"))
        acknowledged = set().union(*self.acknowledged.values())
        assert max(present.values()) == 1
        assert acknowledged <= present.keys() <= acknowledged | self.unknown, acknowledged - present.keys()
        assert [key for key in self.unknown if key.rpartition("-")[0] in GUARDED] == []
        for driver in GUARDED:
            assert self.clusters[driver].metrics()["CommitGuard"]["inactive"] == {}

    def writers(self) -> set[str | None]:
        """The nodes that serve work that may write."""
        found = set()
        for db in self.dbs.values():
            with db.connection() as conn:
                execute(conn, "SELECT 1").fetchall()
                found.add(conn.node)
        return found
