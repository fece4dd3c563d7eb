"""The commit guard's tables: there on every node, of the right form, ours to work with, and no trap to others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.guard.commit_id import BYTES
from ...core.guard.table import KEYS, Table
from ...core.words import first_line
from ...nodes.guard import CommitGuard
from ...nodes.topology import Topology
from .result import ClusterResult
from .wire import Wire

if TYPE_CHECKING:
    from ...dialects.guarding import Guarding

SEE = "see `clustersql commit-guard`"
TRIED = "clustersql check"
"""The key of `once` that is written and rolled back."""


def guarded(topology: Topology, wires: Sequence[Wire], writers: Sequence[str], result: ClusterResult) -> None:
    """Check the guard's tables on every node, and on ``writers`` that they can be worked with; nothing, where the
    cluster has no guard.
    """
    guard = topology.guard
    if guard is None:
        return
    for wire in wires:
        named = topology.addresses[wire.node].database
        commits = guard.named(named if isinstance(named, str) else None)
        tables = (commits, commits.beside(KEYS))
        try:
            _look(guard.sql, wire, tables, result)
            if wire.node in writers:
                _write(guard, wire, tables)
        except Exception as exc:
            result.find(wire.node, f"the commit guard's tables cannot be worked with ({first_line(exc)}): {SEE}")


def _look(sql: Guarding, wire: Wire, tables: Sequence[Table], result: ClusterResult) -> None:
    """Find tables that are missing, or would not outlive a crash; note who else would meet their rows."""
    warnings = set()
    for table in tables:
        [(lasting, warning)] = wire.execute(sql.persistent(table))
        warnings.add(str(warning))
        if not lasting:
            result.find(wire.node, f"the commit guard's table {table} is missing, or a crash empties it: {SEE}")
    for warning in sorted(warnings - {""}):
        result.note(wire.node, f"the commit guard: {warning}")


def _write(guard: CommitGuard, wire: Wire, tables: Sequence[Table]) -> None:
    """Write what a guarded COMMIT, a fence and `Database.once` write, and undo it: a privilege that lacks, or another
    form of a table, is the server's error.
    """
    quote, sql, token = wire.dialect.quote, guard.sql, os.urandom(BYTES)
    commits, keys = (table.quoted(quote) for table in tables)
    fence = sql.fence(commits, token)
    # A fence's statements between the first ones, which begin, and its COMMIT are those that read and write the table.
    asking = [statement for statement in fence.statements if commits in statement]
    try:
        for statement in (sql.insert(commits, token), *asking, *sql.claim(keys, TRIED, token, 1.0)):
            wire.execute(statement, keep=True)
    finally:
        with contextlib.suppress(Exception):
            wire.rollback()
    for statement in sql.delete(commits, [token]):
        wire.execute(statement)
