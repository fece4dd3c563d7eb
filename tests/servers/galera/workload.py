"""Readers and counting writers in threads, and the proof that what each was told is what the database holds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from clustersql import OutcomeUnknown
from clustersql.sync.connection import Connection
from clustersql.sync.database import Database
from clustersql.testing import GaleraCluster

READERS = WRITERS = 4
PAUSE = 0.03
"""Seconds between two operations of a thread: without it eight of them take all that the nodes need to come back."""
CAUSAL = "SET STATEMENT wsrep_sync_wait = 1 FOR"
"""Before a SELECT: the node first applies what any node has committed.

What is acknowledged is certain to come everywhere, yet on a busy machine other nodes apply it tens of milliseconds later.
"""


def in_step(galera: GaleraCluster) -> None:
    """Wait until every node has applied what was committed: a table made on one is else not there yet, or empty, on another."""
    for name in galera.nodes:
        galera.execute(name, f"{CAUSAL} SELECT 1")


class Workload:
    """Eight threads on ``db``, a client of ``galera``.  A writer counts its row up and leaves a tag per increment, both in one transaction."""

    def __init__(self, galera: GaleraCluster, db: Database) -> None:
        self.galera = galera
        self.db = db
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.errors: list[BaseException] = []
        self.reads = 0
        self.slowest_read = self.slowest_run = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]
        self._threads += [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]

    def prepare(self) -> None:
        """Make the tables anew, on every node."""
        for sql in (
            "CREATE OR REPLACE TABLE counters (id INT PRIMARY KEY, n INT NOT NULL)",
            "CREATE OR REPLACE TABLE tags (id INT AUTO_INCREMENT PRIMARY KEY, tag VARCHAR(40), writer INT, KEY (tag))",
        ):
            self.db.execute(sql)
        self.db.run(
            lambda conn: conn.cursor().executemany(
                "INSERT INTO counters VALUES (%s, 0)", [(i,) for i in range(WRITERS)]
            )
        )
        in_step(self.galera)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the threads while the body breaks something."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _read(self) -> None:
        reading = self.db.options(read_only=True)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                rows = reading.execute("SELECT id, n FROM counters").fetchall()
                assert len(rows) == WRITERS, f"read {self.reads} sees {rows}"
                self.reads += 1
            except Exception as exc:
                self.errors.append(exc)
            self.slowest_read = max(self.slowest_read, time.monotonic() - began)
            time.sleep(PAUSE)

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            tag = f"{writer}-{number}"
            began = time.monotonic()
            try:
                self.db.run(_count, writer, tag)
                self.acknowledged.add(tag)
            except OutcomeUnknown:
                self.unknown.add(tag)
            except Exception as exc:
                self.errors.append(exc)
            self.slowest_run = max(self.slowest_run, time.monotonic() - began)
            time.sleep(PAUSE)

    def check(self) -> None:
        """Every acknowledged increment is there once, an unknown one once or not at all, and nothing else."""
        assert self.errors == [], self.errors
        with self.db.connection() as conn:
            cursor = conn.cursor()
            cursor.execute(f"{CAUSAL} SELECT tag, COUNT(*) FROM tags GROUP BY tag")
            present: dict[str, Any] = dict(cursor.fetchall())
            cursor.execute("SELECT SUM(n) FROM counters")
            [(total,)] = cursor.fetchall()
        assert set(present.values()) <= {1}, "nothing happened twice"
        assert self.acknowledged <= present.keys() <= self.acknowledged | self.unknown
        assert total == len(present)
        assert len(self.acknowledged) > WRITERS
        assert self.reads > READERS


def _count(conn: Connection, writer: int, tag: str) -> None:
    cursor = conn.cursor()
    cursor.execute("INSERT INTO tags (tag, writer) VALUES (%s, %s)", (tag, writer))
    cursor.execute("UPDATE counters SET n = n + 1 WHERE id = %s", (writer,))
