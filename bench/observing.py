"""What it costs to be observed: a checkout and a statement while nobody asks, while Prometheus does, and while
OpenTelemetry does.

The bars: nothing while nobody asks (``tests/local/perf`` counts the calls of the hot path), 0.3 us more per checkout
with Prometheus, 2 us more per operation with OpenTelemetry.
"""

from __future__ import annotations

import io
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from prometheus_client import CollectorRegistry, generate_latest

import clustersql
from clustersql.telemetry.opentelemetry import observe
from clustersql.telemetry.opentelemetry_sdk import with_histograms
from clustersql.telemetry.prometheus import register

from .measure import Call, Cpu, Group, pin, table, timer

NOBODY = "nobody asks"


def run(quick: bool) -> Iterator[Group]:
    """Yield a table for a checkout, a statement on a cursor, and a statement alone."""
    pin()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        databases = {
            name: _opened(stack, Path(folder) / "bench.db", begin)
            for name, begin in ((NOBODY, _nothing), ("Prometheus", _prometheus), ("OpenTelemetry", _opentelemetry))
        }
        for title, made in (
            ("Observed: checkout + return", _checkout),
            ("Observed: execute + fetchone on a cursor", _statement),
            ("Observed: db.execute", _single),
        ):
            calls = {name: timer(made(stack, db), Cpu()) for name, db in databases.items()}
            yield table(title, calls, {name: NOBODY for name in calls if name != NOBODY}, quick)


def _opened(stack: ExitStack, file: Path, begin: Callable[[ExitStack, Any], None]) -> Any:
    """Return a database whose figures were asked for once, as they are every 15 s in a program's life."""
    cluster = clustersql.Cluster("bench", driver=sqlite3)
    cluster.add_node("n1", database=str(file))
    db = stack.enter_context(cluster.open())
    db.execute("SELECT 1")
    begin(stack, cluster)
    return db


def _nothing(stack: ExitStack, cluster: Any) -> None:
    pass


def _prometheus(stack: ExitStack, cluster: Any) -> None:
    registry = CollectorRegistry()
    register([cluster], registry)
    generate_latest(registry)


def _opentelemetry(stack: ExitStack, cluster: Any) -> None:
    exporter = ConsoleMetricExporter(out=io.StringIO())
    reader = PeriodicExportingMetricReader(with_histograms(exporter, [cluster]), export_interval_millis=float("inf"))
    provider = MeterProvider([reader])
    stack.callback(provider.shutdown)
    observe([cluster], provider.get_meter("bench"))
    provider.force_flush()


def _checkout(stack: ExitStack, db: Any) -> Call:
    pool, want = db._pool, db._want
    return lambda: pool.give_back(pool.checkout(want, 1.0))


def _statement(stack: ExitStack, db: Any) -> Call:
    cursor = stack.enter_context(db.connection()).cursor()

    def call() -> object:
        cursor.execute("SELECT 1")
        return cursor.fetchone()

    return call


def _single(stack: ExitStack, db: Any) -> Call:
    return lambda: db.execute("SELECT 1")
