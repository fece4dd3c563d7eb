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
            lasting = _look(guard.sql, wire, tables, result)
            unfit = _write(guard, wire, tables) if wire.node in writers else ""
            if unfit and lasting:
                result.find(wire.node, f"the commit guard's table {commits} has another form, {unfit}: {SEE}")
        except Exception as exc:
            result.find(wire.node, f"the commit guard's tables cannot be worked with ({first_line(exc)}): {SEE}")


def _look(sql: Guarding, wire: Wire, tables: Sequence[Table], result: ClusterResult) -> bool:
    """Find tables that are missing, or would not outlive a crash; note who else would meet their rows.  Returns whether
    both are there and outlive one.
    """
    warnings, found = set(), True
    for table in tables:
        [(lasting, warning)] = wire.execute(sql.persistent(table))
        warnings.add(str(warning))
        if not lasting:
            found = False
            result.find(wire.node, f"the commit guard's table {table} is missing, or a crash empties it: {SEE}")
    for warning in sorted(warnings - {""}):
        result.note(wire.node, f"the commit guard: {warning}")
    return found


def _write(guard: CommitGuard, wire: Wire, tables: Sequence[Table]) -> str:
    """Write what a guarded COMMIT, a fence and `Database.once` write, and undo it: a privilege that lacks, or a column,
    is the server's error.  Returns what else is wrong with the form of the table, so that it proves nothing.
    """
    quote, sql, token = wire.dialect.quote, guard.sql, os.urandom(BYTES)
    commits, keys = (table.quoted(quote) for table in tables)
    fence = sql.fence(commits, token)
    try:
        wire.execute(sql.insert(commits, token), keep=True)
        # Those that begin and end a transaction of its own are left out: this one is undone.
        asked = [wire.execute(each, keep=True) if commits in each else [] for each in fence.statements]
        for statement in sql.claim(keys, TRIED, token, 1.0):
            wire.execute(statement, keep=True)
    finally:
        with contextlib.suppress(Exception):
            wire.rollback()
    for statement in sql.delete(commits, [token]):
        wire.execute(statement)
    return fence.answer(asked).unfit
