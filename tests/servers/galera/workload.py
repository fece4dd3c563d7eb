"""Readers and counting writers in threads on a Galera cluster, and the proof that what each was told is what the
database holds.
"""

from __future__ import annotations

from clustersql.sync.database import Database
from clustersql.testing import GaleraCluster, workload

PAUSE = 0.03
"""Seconds between two operations of a thread: without it eight of them take all that the nodes need to come back."""
CAUSAL = "SET STATEMENT wsrep_sync_wait = 1 FOR"
"""Before a SELECT: the node first applies what any node has committed.

What is acknowledged is certain to come everywhere, yet on a busy machine other nodes apply it tens of milliseconds
later.
"""


def in_step(galera: GaleraCluster) -> None:
    """Wait until every node has applied what was committed: a table made on one is else not there yet, or empty, on
    another.
    """
    for name in galera.nodes:
        galera.execute(name, f"{CAUSAL} SELECT 1")


class Workload(workload.Workload):
    """Eight threads on ``db``, a client of ``galera``."""

    def __init__(self, galera: GaleraCluster, db: Database) -> None:
        super().__init__(db, pause=PAUSE)
        self.galera = galera

    def prepare(self) -> None:
        """Make the tables anew, on every node."""
        self.create()
        in_step(self.galera)

    def check(self) -> None:
        """Every acknowledged write is there once, an unknown one once or not at all, nothing else, and no operation
        failed.
        """
        assert self.told.raised == [], self.told.raised
        proof = self.prove(lambda query: self.db.execute(f"{CAUSAL} {query}").fetchall())
        assert proof.holds, proof
        assert proof.acknowledged > self.writers
        assert self.told.ended["read"] > self.readers
