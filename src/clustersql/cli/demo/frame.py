"""From the cluster's figures and the workload's samples to the rows of the table.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .tally import Fault, Phase, Sample

__all__ = ["HEADINGS", "Row", "cells", "duration", "line", "rows", "summary", "through"]

WINDOW = 5.0
"""Seconds that shares and percentiles look back."""
HEADINGS = ("node", "role", "state", "share", "p50 ms", "p99 ms", "busy", "last error")


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of one node."""

    node: str
    """The node's name."""
    role: str
    """What is believed of it."""
    state: str
    """Whether it serves, in a word."""
    share: float
    """Its part of the latest operations, from 0 to 1."""
    p50: float | None
    """The median of their times, in seconds; None: it served nothing of late."""
    p99: float | None
    """The same for the slowest of a hundred."""
    in_flight: int
    """Statements that are on their way to it."""
    last_error: str
    """The latest one, shortened."""


def rows(metrics: Mapping[str, Any], samples: Iterable[Sample], now: float) -> list[Row]:
    """Return a row for each node of ``metrics`` (`Cluster.metrics`), from the samples of the last `WINDOW` seconds."""
    recent: dict[str, list[float]] = {}
    for sample in samples:
        if now - sample.ended <= WINDOW:
            recent.setdefault(sample.node, []).append(sample.seconds)
    total = sum(map(len, recent.values()))
    return [_row(name, node, sorted(recent.get(name, ())), total) for name, node in metrics["Nodes"].items()]


def _row(name: str, node: Mapping[str, Any], seconds: Sequence[float], total: int) -> Row:
    state, readiness = node.get("State", "unknown"), node.get("Readiness", "ready")
    return Row(
        node=name,
        role=node.get("Role", "unknown"),
        state=readiness if state == "up" and readiness != "ready" else state,
        share=len(seconds) / total if total else 0.0,
        p50=_quantile(seconds, 0.50),
        p99=_quantile(seconds, 0.99),
        in_flight=node.get("InFlight", 0),
        last_error=_one_line(node.get("LastErrorMessage", "")),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def _one_line(text: str) -> str:
    """The first line without its class and address: of a long message the end says why, and the table is narrow."""
    first = text.strip().partition("\n")[0]
    why = re.search(r".*(?:failed: |\[Errno \d+\] )([^)]+)", first)
    return why[1] if why else first.partition(": ")[2] or first


def cells(row: Row) -> tuple[str, ...]:
    """Return the row's texts, one for each of `HEADINGS`."""
    times = ("-" if value is None else f"{value * 1e3:.1f}" for value in (row.p50, row.p99))
    return (row.node, row.role, row.state, f"{row.share:.0%}", *times, str(row.in_flight), row.last_error)


def line(shown: Sequence[Row]) -> str:
    """Return the table as one line, for where there is no terminal."""
    return " | ".join(_words(row) for row in shown)


def _words(row: Row) -> str:
    if row.state != "up":
        return f"{row.node} {row.state}"
    latency = "" if row.p50 is None or row.p99 is None else f" {row.p50 * 1e3:.1f}/{row.p99 * 1e3:.1f} ms"
    return f"{row.node} {row.role} {row.share:.0%}{latency}"


def summary(
    phases: Iterable[Phase], faults: Iterable[Fault], errors: Mapping[str, int], examples: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines of the summary: operations and the slowest of each phase, the recoveries, the errors."""
    phases = tuple(phases)
    yield f"{sum(phase.operations for phase in phases)} operations ended well"
    for phase in phases:
        if (slowest := phase.slowest) is not None:
            worst = f"slowest {duration(slowest.seconds)} ({slowest.kind}, {slowest.node})"
            yield f"  {phase.name:<24}{phase.operations:>8} operations, {worst}"
    for fault in faults:
        yield f"{fault.name}:"
        yield from (f"  {text}" for text in _recoveries(fault))
    seen = {kind: count for kind, count in errors.items() if kind != "OutcomeUnknown"}
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    yield f"errors that the program saw: {said or 'none'}"
    yield from (f"  {kind} at {examples[kind]}" for kind in sorted(seen) if kind in examples)
    if count := errors.get("OutcomeUnknown", 0):
        yield f"outcomes unknown: {count} (a COMMIT was sent to a node that died before it answered)"


def through(faults: Iterable[Fault]) -> str:
    """Return the line that says what the writes of the proof went through."""
    return f"        through: {', '.join(fault.name for fault in faults) or 'no fault'}"


def _recoveries(fault: Fault) -> Iterator[str]:
    for kind in ("read", "write"):
        seconds = fault.recovery(kind)
        again = "not within the demo" if seconds is None else f"after {duration(seconds)}"
        yield f"{kind}s good again {again}{_promotion(fault, seconds) if kind == 'write' else ''}"


def _promotion(fault: Fault, seconds: float | None) -> str:
    if fault.mended is None or seconds is None:
        return ""
    promoted = fault.mended - fault.at
    return f", the promotion took until {duration(promoted)} after the kill"


def duration(seconds: float) -> str:
    """Return ``0.0123`` as ``12 ms``, ``1.5`` as ``1.50 s``."""
    return (
        f"{seconds:.2f} s"
        if seconds >= 1
        else f"{seconds * 1e3:.0f} ms"
        if seconds >= 0.01
        else f"{seconds * 1e3:.1f} ms"
    )
