"""What is exported: to Prometheus, as text and through a registry, and to OpenTelemetry's SDK."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.waiting import eventually

import clustersql
from clustersql import Cluster, PoolTimeout
from clustersql.telemetry import opentelemetry
from clustersql.telemetry.families import COUNTER, FAMILIES
from clustersql.telemetry.histograms import HISTOGRAMS
from clustersql.telemetry.http import serve
from clustersql.telemetry.opentelemetry import annotate, observe
from clustersql.telemetry.prometheus import register, spelled

REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", failover_probe=0.02, max_size=7)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    cluster.close()


def scraped(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return each sample of a page in Prometheus' format by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_a_scrape_tells_pool_nodes_and_events(cluster: Cluster) -> None:
    registry = CollectorRegistry()
    collector = register([cluster], registry)
    generate_latest(registry)  # events are counted from the first look on
    db = cluster.open()
    with db.connection():
        found = scraped(generate_latest(registry).decode())
    pool = {"db_client_connection_pool_name": "books"}
    node = {"cluster": "books", "node": "a"}
    assert found[key("db_client_connection_max", **pool)] == 7
    assert found[key("db_client_connection_count", node="a", db_client_connection_state="used", **pool)] == 1
    assert found[key("db_client_connection_pending_requests", **pool)] == 0
    assert found[key("clustersql_node_state", state="up", **node)] == 1
    assert found[key("clustersql_node_role", role="primary", **node)] == 1
    assert found[key("clustersql_node_checkouts_total", **node)] == 1
    assert found[key("clustersql_serving", cluster="books", service="primary")] == 1
    assert found[key("clustersql_events_total", cluster="books", kind="node")] >= 1
    assert not any(name == "clustersql_node_lag_seconds" for name, _ in found)  # SQLite cannot tell: 0 would be a claim
    registry.unregister(collector)
    assert scraped(generate_latest(registry).decode()) == {}


def test_the_commit_guard_says_where_it_is_active() -> None:
    shop = Cluster("shop", driver="psycopg", commit_guard=True)
    for name in "ab":
        shop.add_node(name, host="localhost", port=1)
    guard = shop._topology.guard
    assert guard is not None
    guard.refused("b", RuntimeError("no such table"))
    guard.acknowledged(b"token", exported=False)
    registry = CollectorRegistry()
    register([shop], registry)
    found = scraped(generate_latest(registry).decode())
    active = {node: found[key("clustersql_commit_guard_active", cluster="shop", node=node)] for node in "ab"}
    assert active == {"a": 1, "b": 0}
    assert found[key("clustersql_commit_guard_commits_total", cluster="shop", outcome="guarded")] == 1
    assert found[key("clustersql_commit_guard_commits_total", cluster="shop", outcome="unknown")] == 0
    shop.close()


def test_what_leaves_the_zone_is_counted(tmp_path: Path) -> None:
    with_zone = Cluster("books", driver="sqlite3", zone="a", read_only=True)
    for zone in "ab":
        with_zone.add_node(f"n{zone}", database=str(tmp_path / "zones.db"), zone=zone)
    db = with_zone.open()
    with db.connection(node="na"), db.connection(node="nb"), db.connection(node="nb"):
        figures = with_zone.metrics()
    registry = CollectorRegistry()
    register([with_zone], registry)
    found = scraped(generate_latest(registry).decode())
    served = "clustersql_zone_checkouts_total"
    assert found[key(served, cluster="books", node="na", zone="a", crossing="no")] == 1
    assert found[key(served, cluster="books", node="nb", zone="b", crossing="yes")] == 2
    assert (figures["Zone"], figures["Zones"], figures["Nodes"]["nb"]["Zone"]) == ("a", {"a": 1, "b": 2}, "b")
    assert [node.zone for node in with_zone.snapshot().nodes] == ["a", "b"]
    with_zone.close()


def test_every_family_is_exported_with_its_type_and_help(cluster: Cluster) -> None:
    registry = CollectorRegistry()
    register([cluster], registry)
    cluster.open().execute("SELECT 1")
    text = generate_latest(registry).decode()
    for family in FAMILIES:
        name = spelled(family) + ("_total" if family.kind == COUNTER else "")
        assert f"# HELP {name} {family.text}\n# TYPE {name} {family.kind}\n" in text


def test_the_reference_lists_what_is_exported() -> None:
    rows = re.compile(r"^\| `([a-z_.]+)` \| (gauge|counter|histogram) \| `([^`]+)` \| (.+) \|$", re.MULTILINE)
    exported = [(family.name, family.kind, family.unit, family.text) for family in FAMILIES]
    exported += [(each.name, "histogram", each.unit, each.text) for each in HISTOGRAMS]
    assert rows.findall(REFERENCE.read_text()) == exported


def test_the_server_answers_a_scrape_with_the_registered_clusters(cluster: Cluster) -> None:
    clustersql.register(cluster)
    try:
        with serve() as server, urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert key("clustersql_retries_total", cluster="books", outcome="run") in scraped(answer.read().decode())
    finally:
        clustersql.unregister("books")


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clustersql.telemetry.prometheus", None)
    monkeypatch.delattr("clustersql.telemetry.prometheus", raising=False)
    with serve(clusters=[]) as server, pytest.raises(HTTPError) as caught:
        urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10)
    with caught.value as answer:
        assert answer.code == 501
        assert b'pip install \\"clustersql[prometheus]\\"' in answer.read()


def test_opentelemetry_reads_the_same(cluster: Cluster) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe([cluster], provider.get_meter("test"))
    try:
        db = cluster.open()
        db.execute("SELECT 1")
        assert eventually(lambda: cluster.snapshot().nodes[0].state == "up")
        data = reader.get_metrics_data()
        assert data is not None
        found = {
            (metric.name, metric.unit, tuple(sorted(point.attributes.items()))): point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }
        pool = ("db.client.connection.pool.name", "books")
        assert found["db.client.connection.max", "{connection}", (pool,)] == 7
        idle = (("db.client.connection.state", "idle"), ("node", "a"))
        assert found["db.client.connection.count", "{connection}", (pool, *idle)] == 1
        node = (("cluster", "books"), ("node", "a"))
        assert found["clustersql.node.checkouts", "{checkout}", node] == 1
        assert found["clustersql.node.state", "1", (*node, ("state", "up"))] == 1
    finally:
        provider.shutdown()


def test_one_export_is_one_snapshot(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe([cluster], provider.get_meter("test"))
    monkeypatch.setattr(opentelemetry, "TOGETHER", 3600.0)  # an export may take its time here
    asked: list[int] = []
    snapshot = cluster.snapshot
    monkeypatch.setattr(cluster, "snapshot", lambda: asked.append(1) or snapshot())
    try:
        for _ in range(3):
            assert reader.get_metrics_data() is not None
        assert len(asked) == 3
        monkeypatch.setattr(opentelemetry, "TOGETHER", 0.0)  # as two readers that ask at the same time
        assert reader.get_metrics_data() is not None
        assert len(asked) > 4
    finally:
        provider.shutdown()


def test_a_cluster_that_takes_the_name_of_another_is_counted_anew(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    register(None, registry)
    counts = []
    for _ in range(2):
        cluster = clustersql.register(Cluster("books", driver="sqlite3", failover_probe=0.02))
        cluster.add_node("a", database=str(tmp_path / "a.db"))
        try:
            generate_latest(registry)
            cluster.open().execute("SELECT 1")
            cluster.drain("a")
            found = scraped(generate_latest(registry).decode())
            counts.append(found[key("clustersql_events_total", cluster="books", kind="drain")])
        finally:
            clustersql.unregister("books")
    assert counts == [1, 1]


def test_a_cluster_that_is_shown_no_more_is_let_go(tmp_path: Path) -> None:
    """Neither its events nor the cluster itself are kept by an exporter that outlives it."""
    registry = CollectorRegistry()
    register(None, registry)
    cluster = clustersql.register(Cluster("books", driver="sqlite3"))
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    generate_latest(registry)
    gone = weakref.ref(cluster)
    clustersql.unregister("books")
    generate_latest(registry)
    del cluster
    gc.collect()
    assert gone() is None


def test_no_password_is_exported() -> None:
    cluster = Cluster("shop", driver="pymysql", connect_timeout=1.0)
    cluster.add_node("a", "mysql://app:s3cr3t@127.0.0.1:1/shop")
    registry = CollectorRegistry()
    register([cluster], registry)
    try:
        cluster.open()
        assert eventually(lambda: "clustersql_node_errors_total" in generate_latest(registry).decode())
        assert "s3cr3t" not in generate_latest(registry).decode()
    finally:
        cluster.close()


def test_what_befalls_an_operation_is_on_the_span_of_its_caller(cluster: Cluster) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    end = annotate([cluster])
    db = cluster.open()
    held = [db.connection() for _ in range(7)]
    with provider.get_tracer("test").start_as_current_span("order"):
        cluster.drain("a")  # of a node, and nobody's operation
        cluster.undrain("a")
        with pytest.raises(PoolTimeout):
            db.connection(timeout=0.01)
    end()
    with provider.get_tracer("test").start_as_current_span("later"), pytest.raises(PoolTimeout):
        db.connection(timeout=0.01)
    for each in held:
        each.close()
    order, later = exporter.get_finished_spans()
    [event] = order.events
    assert event.name == "clustersql.timeout"
    assert event.attributes["clustersql.cluster"] == "books"
    assert "7 of 7 in use" in event.attributes["clustersql.text"]
    assert later.events == ()
    provider.shutdown()
