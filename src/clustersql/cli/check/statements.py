"""The statements on a scratch table: each on one node, and seen on every other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

from ...nodes.topology import Topology
from .node import first_line
from .result import ClusterResult, Step
from .wire import Rows, Wire, gather

__all__ = ["Scratch", "statements"]

POLL = 0.003
"""Seconds between two looks whether a node shows a change yet."""
SETTLE = 0.3
"""Seconds for a server to end what Ctrl-C interrupted: a table whose CREATE is about to be committed cannot be dropped
yet."""


class Scratch:
    """A table that did not exist before.  Made by `create`; `drop` takes it away again, from another node if need
    be.
    """

    def __init__(self, topology: Topology, wires: Sequence[Wire], seconds: float) -> None:
        self.name = f"clustersql_check_{uuid4().hex[:12]}"
        self._topology = topology
        self._wires = wires
        self._seconds = seconds
        self._made = False

    def create(self, wire: Wire) -> None:
        """Make it."""
        self._made = True  # before: an answer that is lost does not mean that the table was not made
        wire.execute(f"CREATE TABLE {self.name} (id INTEGER NOT NULL PRIMARY KEY, note VARCHAR(20))")

    def drop(self) -> str:
        """Drop it if it may be there; return "" or why that failed."""
        why = ""
        interrupted = [wire for wire in self._wires if wire.abandon()]
        if interrupted:
            time.sleep(SETTLE)
        for wire in self._wires if self._made else ():
            fresh = Wire(self._topology, wire.node, self._seconds)  # the other one may be in any state
            try:
                fresh.open()
                fresh.execute(f"DROP TABLE IF EXISTS {self.name}")
            except Exception as exc:
                why = first_line(self._topology, wire.node, exc)
            else:
                self._made = False
                return ""
            finally:
                fresh.close()
        return why


def statements(
    topology: Topology,
    writer: Wire,
    wires: Sequence[Wire],
    scratch: Scratch,
    seconds: float,
    cluster: ClusterResult,
) -> bool:
    """Run the sequence with ``writer`` as the node that is written to; return whether it may create tables there.

    ``seconds`` bounds each statement, and the wait until the others show it.
    """
    table = scratch.name
    others = [wire for wire in wires if wire is not writer]
    try:
        step = _timed("create", writer.node, lambda: scratch.create(writer))
    except Exception as exc:
        why = first_line(topology, writer.node, exc)
        cluster.find(writer.node, f"a table cannot be created in its database (are the grants enough?): {why}")
        return False
    everything = f"SELECT id, note FROM {table}"
    others = _watch(step, others, f"SELECT COUNT(*) FROM {table}", [(0,)], seconds, cluster)
    for what, sql, expected in (
        ("empty select", "", []),
        ("insert", f"INSERT INTO {table} (id, note) VALUES (1, 'one')", [(1, "one")]),
        ("select", "", [(1, "one")]),
        ("update", f"UPDATE {table} SET note = 'two' WHERE id = 1", [(1, "two")]),
        ("delete", f"DELETE FROM {table} WHERE id = 1", []),
    ):
        try:
            step = _timed(what, writer.node, lambda sql=sql: writer.execute(sql or everything))  # type: ignore[misc]
        except Exception as exc:
            cluster.find(writer.node, f"{what} on the scratch table: {first_line(topology, writer.node, exc)}")
            break
        others = _watch(step, others, everything, expected, seconds, cluster)
    return True


def _timed(what: str, on: str, work: Callable[[], object]) -> Step:
    began = time.perf_counter()
    work()
    return Step(what, on, time.perf_counter() - began)


def _watch(
    step: Step, others: Sequence[Wire], sql: str, expected: Rows, seconds: float, cluster: ClusterResult
) -> list[Wire]:
    """Wait until every other node answers ``expected``; note the delays, counted from the end of the statement.

    Return those that did: a node that replicates nothing is one finding and one wait, not one for each statement.
    """
    began = time.perf_counter()
    # The wire's own deadline ends a call that hangs; this one is only for a node that answers and does not show it.
    found = gather([partial(_seen, wire, sql, expected, began, seconds) for wire in others], 2 * seconds + 1)
    for wire, outcome in zip(others, found, strict=True):
        delay = outcome if isinstance(outcome, float) else None
        step.seen[wire.node] = delay
        if delay is None:
            cluster.find(wire.node, f"{step.what} on {step.on} was not seen here within {seconds:g} s")
    cluster.steps.append(step)
    return [wire for wire in others if step.seen[wire.node] is not None]


def _seen(wire: Wire, sql: str, expected: Rows, began: float, seconds: float) -> float | None:
    while True:
        with contextlib.suppress(Exception):  # the table is not there yet
            if _plain(wire.execute(sql)) == expected:
                return time.perf_counter() - began
        if time.perf_counter() - began > seconds:
            return None
        time.sleep(POLL)


def _plain(rows: Rows) -> Rows:
    return [tuple(value.decode() if isinstance(value, bytes) else value for value in row) for row in rows]
