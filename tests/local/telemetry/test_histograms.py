"""How long things take: counted in both APIs while somebody asks, and exported as histograms."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import opentelemetry.sdk.metrics
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.waiting import eventually

from clustersql import Cluster
from clustersql.core.booking.durations import MeasuredSession
from clustersql.telemetry.histograms import HISTOGRAMS
from clustersql.telemetry.opentelemetry import observe
from clustersql.telemetry.opentelemetry_sdk import with_histograms
from clustersql.telemetry.prometheus import register, spelled

SELECT, WRITE = "SELECT 1", "INSERT INTO books VALUES (?)"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with sqlite3.connect(tmp_path / "books.db") as raw:
        raw.execute("CREATE TABLE books (a)")
    raw.close()
    cluster = Cluster("books", driver="sqlite3", async_driver="aiosqlite", failover_probe=0.02)
    cluster.add_node("a", database=str(tmp_path / "books.db"))
    yield cluster
    cluster.close()


def told(cluster: Cluster) -> dict[str, int]:
    """How many durations of each kind were counted on the node."""
    durations = cluster.metrics()["Durations"]
    kinds = durations.keys() - {"Bounds"}
    return {kind: sum(durations[kind].get("a", {"Counts": []})["Counts"]) for kind in kinds}


def test_each_statement_is_counted_however_it_is_run(cluster: Cluster) -> None:
    db = cluster.open()
    db.execute(SELECT)  # the connection is there before anybody asks
    assert "Durations" not in cluster.metrics()
    end = cluster.measure()
    for _ in range(2):
        db.execute(SELECT)
    with db.connection() as conn:
        cursor = conn.cursor()
        for _ in range(3):
            cursor.execute(SELECT)
        cursor.executemany(WRITE, [(1,), (2,)])
        with pytest.raises(sqlite3.OperationalError):
            cursor.execute("SELECT nonsense")
    db.run(lambda conn: conn.execute(SELECT))
    assert told(cluster) == {"Create": 0, "Wait": 0, "Use": 4, "Operation": 7}
    end()
    end()
    assert "Durations" not in cluster.metrics()
    db.execute(SELECT)


def test_so_it_is_under_asyncio(cluster: Cluster) -> None:
    end = cluster.measure()

    async def main() -> None:
        async with cluster.aopen() as db:
            for _ in range(3):
                await db.execute(SELECT)
            async with db.connection() as conn:
                cursor = conn.cursor()
                await cursor.execute(SELECT)
                await cursor.executemany(WRITE, [(1,), (2,)])
            await db.run(lambda conn: conn.execute(SELECT))
            assert told(cluster) == {"Create": 1, "Wait": 1, "Use": 5, "Operation": 6}

    asyncio.run(main())
    end()


def test_a_checkout_that_waits_is_counted_with_its_time(cluster: Cluster) -> None:
    cluster.reconfigure(max_size=1)
    db = cluster.open()
    end = cluster.measure()
    held = db.connection()
    waiting = threading.Thread(target=lambda: db.execute(SELECT))
    waiting.start()
    assert eventually(lambda: db.stats()["waiting"] == 1)
    held.close()
    waiting.join()
    assert told(cluster) == {"Create": 1, "Wait": 2, "Use": 2, "Operation": 1}
    assert cluster.metrics()["Durations"]["Wait"]["a"]["Sum"] > 0
    end()


def test_two_who_ask_do_not_end_each_other_and_a_child_begins_anew(cluster: Cluster) -> None:
    first, second = cluster.measure(), cluster.measure()
    db = cluster.open()
    db.execute(SELECT)
    first()
    db.execute(SELECT)
    assert told(cluster)["Operation"] == 2
    cluster._topology.after_fork()
    assert told(cluster)["Operation"] == 0
    second()
    assert "Durations" not in cluster.metrics()


def test_off_a_session_is_the_plain_one(cluster: Cluster) -> None:
    """So the hot path costs what it did: an attribute of a session is a slot, and no property."""
    db = cluster.open()
    with db.connection() as conn:
        session = conn._state.session
        assert type(session) is not MeasuredSession
        end = cluster.measure()
        assert type(session) is MeasuredSession
        end()
        assert type(session) is not MeasuredSession


def test_prometheus_reads_them(cluster: Cluster) -> None:
    registry = CollectorRegistry()
    register([cluster], registry)
    generate_latest(registry)  # they are counted from the first look on
    db = cluster.open()
    for _ in range(3):
        db.execute(SELECT)
    text = generate_latest(registry).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    for histogram in HISTOGRAMS:
        family = families[spelled(histogram)]
        assert (family.type, family.documentation) == ("histogram", histogram.text)
    duration = families["db_client_operation_duration_seconds"].samples
    labels = {"db_client_connection_pool_name": "books", "db_system_name": "sqlite", "node": "a"}
    buckets = [each.value for each in duration if each.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert [each.labels for each in duration if each.name.endswith("_count")] == [labels]
    assert [each.value for each in duration if each.labels.get("le") == "+Inf" or each.name.endswith("_count")] == [
        3,
        3,
    ]
    assert 0 < next(each.value for each in duration if each.name.endswith("_sum")) < 60


class Sent(MetricExporter):
    """Keeps what it is given."""

    def __init__(self, preferred: Any = None) -> None:
        super().__init__(preferred)
        self.found: list[MetricsData] = []
        self.ended = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self.found.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.ended = True

    def counts(self, name: str) -> list[int]:
        """How many durations each export has told."""
        return [
            sum(point.count for point in metric.data.data_points)
            for data in self.found
            for scope in data.resource_metrics[0].scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]


DELTA = {opentelemetry.sdk.metrics.Histogram: AggregationTemporality.DELTA}


@pytest.mark.parametrize(("preferred", "counts"), [(None, [0, 2, 3]), (DELTA, [0, 2, 1])], ids=["cumulative", "delta"])
def test_opentelemetry_s_exporter_sends_them(cluster: Cluster, preferred: Any, counts: list[int]) -> None:
    sent = Sent(preferred)
    reader = PeriodicExportingMetricReader(with_histograms(sent, [cluster]), export_interval_millis=float("inf"))
    provider = MeterProvider([reader])
    observe([cluster], provider.get_meter("test"))
    try:
        provider.force_flush()
        db = cluster.open()
        for _ in range(2):
            db.execute(SELECT)
        provider.force_flush()
        db.execute(SELECT)
        provider.force_flush()
        assert sent.counts("db.client.operation.duration") == counts
        names = {metric.name for scope in sent.found[0].resource_metrics[0].scope_metrics for metric in scope.metrics}
        assert {each.name for each in HISTOGRAMS} | {"clustersql.retries"} <= names
        assert '"db.system.name": "sqlite"' in sent.found[-1].to_json()
    finally:
        provider.shutdown()
    assert sent.ended
