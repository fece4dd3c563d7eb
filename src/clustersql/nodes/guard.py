"""The commit guard of one cluster: where it is active, what is to be deleted, and what it has found out.

Rules
-----
1. A node that refuses the token (no table, no privilege) is guarded no more, after one warning: else `run` would meet
   the same refusal until its deadline.  What the node was asked in vain is asked again when it comes back as another
   incarnation.
2. A token whose COMMIT was acknowledged is deleted, some at a time, in the background.  One whose id was handed out
   before is left alone: its row is the only proof there is.
3. Counters are written without a lock by whoever commits; a lost count is no lost COMMIT.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..core.guard.commit_id import BYTES, CommitId
from ..core.guard.fate import Stage
from ..core.guard.retention import BATCH, KEPT, SWEEP
from ..core.guard.table import KEYS, Table
from ..core.words import first_line
from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.knobs import Knobs
    from ..core.guard.resolve import Birth
    from ..core.view.node import Epoch
    from ..core.view.view import View
    from ..dialects import Dialect
    from ..dialects.guarding import Guarding

log = logging.getLogger("clustersql")

REST = 5.0
"""Seconds between two deletions, unless a batch is full: each opens a connection."""
WAITING = 50 * BATCH
"""Acknowledged tokens that are remembered at most; what is forgotten beyond that stays in the table until `KEPT`."""


class CommitGuard:
    """What is known of the guard, for all pools of a cluster."""

    def __init__(self, cluster: str, sql: Guarding, quote: str, table: str) -> None:
        self.cluster = cluster
        self.sql = sql
        self.table = table
        self.offset = 0.0
        """What the server's clock is ahead of ours, in seconds, as it was asked last."""
        self.refusals: dict[str, str] = {}
        """The nodes that refuse the token, by name, and why."""
        self.counts: dict[str, int] = dict.fromkeys(("guarded", "committed", "void", "unknown"), 0)
        """How many COMMITs carried a token, and what became of those that were in doubt."""
        self.texts: dict[tuple[str, str], tuple[str, str]] = {}
        """What writes a token, and what writes it and commits, by the node and its version."""
        self._quote = quote
        self._named = Table.parse(table)
        self._spent: deque[bytes] = deque(maxlen=WAITING)
        self.rest = REST
        """Seconds between two deletions, unless a batch is full."""
        self._begun = self._swept = float("-inf")
        self.deleting = False
        """A deletion is under way."""

    @classmethod
    def of(cls, cluster: str, knobs: Knobs, dialect: Dialect) -> CommitGuard | None:
        """Return the guard that the knobs ask for; None: none.  Raises `ConfigError` where the database has none."""
        if not knobs.commit_guard:
            return None
        if dialect.guard is None:
            raise ConfigError(
                f"cluster {cluster!r}: commit_guard: a {dialect.name} database cannot be guarded, only PostgreSQL,"
                " MariaDB and MySQL; leave it out"
            )
        return cls(cluster, dialect.guard, dialect.quote, knobs.commit_guard_table)

    # -- names and tokens ----------------------------------------------------------------------------------------------

    def named(self, database: str | None) -> Table:
        """Return the table of the tokens on a node with that database."""
        return self.sql.table(self._named, database)

    def commits(self, database: str | None) -> str:
        """Return it as it stands in a statement."""
        return self.named(database).quoted(self._quote)

    def keys(self, database: str | None) -> str:
        """Return the table of the keys of ``once`` likewise."""
        return self.named(database).beside(KEYS).quoted(self._quote)

    @staticmethod
    def token() -> bytes:
        """Return a new token."""
        return os.urandom(BYTES)

    def commit_id(self, token: bytes, newest: Epoch | None) -> CommitId:
        """Return what a program gets to settle the token's COMMIT by."""
        now = int(time.time() + self.offset)
        if newest is None:
            return CommitId(token, self.table, at=now)
        return CommitId(token, self.table, newest.lineage, 0 if newest.shared else newest.number, now)

    def met(self, birth: Birth) -> None:
        """A session has told its birth, and with it the server's clock."""
        if birth.clock:
            self.offset = birth.clock - time.time()

    # -- where it is active --------------------------------------------------------------------------------------------

    def is_active(self, node: str) -> bool:
        """Whether COMMITs on ``node`` carry a token."""
        return node not in self.refusals

    def refused(self, node: str, error: BaseException) -> None:
        """``node`` has refused the token."""
        if node not in self.refusals:
            why = first_line(error)
            self.refusals[node] = why
            log.warning(
                "cluster %s: node %s: the commit guard is inactive there, its token was refused (%s): see `clustersql"
                " commit-guard`",
                self.cluster,
                node,
                why,
            )

    def forgive(self, before: View, after: View) -> None:
        """Try the nodes again that are another incarnation since: somebody may have made the table."""
        for name in tuple(self.refusals):
            old, new = before.by_name.get(name), after.by_name.get(name)
            if new is None or old is None or (new.identity, new.role) != (old.identity, old.role):
                self.refusals.pop(name, None)

    # -- what has become of COMMITs ------------------------------------------------------------------------------------

    def acknowledged(self, token: bytes, exported: bool) -> None:
        """The COMMIT of ``token`` was acknowledged; ``exported``: its id was handed out before, so that its
        row stays.
        """
        self.counts["guarded"] += 1
        if not exported:
            self._spent.append(token)

    def settled(self, stage: Stage) -> None:
        """Count what a COMMIT in doubt has turned out to be."""
        self.counts[stage.value] += 1

    def due(self, now: float) -> bool:
        """Whether a deletion is to begin, one at a time; then `deletions` says what it sends.  ``now`` is monotonic, in
        seconds.
        """
        if self.deleting or not self._spent or (len(self._spent) < BATCH and now - self._begun < self.rest):
            return False
        self.deleting, self._begun = True, now
        return True

    def deletions(self, database: str | None, now: float) -> Iterator[tuple[str, ...]]:
        """Yield the statements of one batch after the other, and now and then those that delete what is too old."""
        table, spent = self.commits(database), self._spent
        while spent:
            yield self.sql.delete(table, [spent.popleft() for _ in range(min(len(spent), BATCH))])
        if now - self._swept >= SWEEP:
            self._swept = now
            yield self.sql.sweep(table, KEPT)
            yield self.sql.lapse(self.keys(database))

    def after_fork(self) -> None:
        """In a forked child: what is to be deleted is the parent's."""
        self._spent = deque(maxlen=WAITING)
        self.deleting = False

    def figures(self) -> dict[str, Any]:
        """Return the counters, and where it is inactive, for the metrics."""
        return {**self.counts, "inactive": dict(self.refusals)}
