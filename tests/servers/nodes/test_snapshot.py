"""The snapshot and the events of a real cluster: a node that is killed, and the statement that goes on elsewhere."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import face
from support.waiting import eventually

from clustersql import TransactionLost
from clustersql.telemetry.opentelemetry import annotate
from clustersql.testing import PostgresCluster


@pytest.mark.parametrize("driver", ["psycopg", "psycopg-aio"])
def test_a_kill_is_an_event_and_so_is_the_recovery(postgres: PostgresCluster, driver: str) -> None:
    with face.cluster_of(driver, "seen", probe_interval=0.2, breaker_base=0.2, breaker_cap=0.5) as cluster:
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        db = cluster.open().options(read_only=True)
        assert eventually(lambda: db.execute("SELECT 1") and all(node.usable for node in cluster.view))
        with db.connection(node="n1") as conn:
            conn.execute("SELECT 1")
            [held] = cluster.snapshot().holders
            assert (held.node, held.outside) == ("n1", False)
        told: list[Any] = []
        cluster.on_event(told.append)
        spans, tracing = InMemorySpanExporter(), TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        annotate([cluster])
        with db.connection() as conn:
            conn.execute("SELECT 1").fetchone()
            number = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
            conn.rollback()
            postgres.execute(conn.node, f"SELECT pg_terminate_backend({number})")
            assert eventually(
                lambda: not postgres.execute("n1", f"SELECT 1 FROM pg_stat_activity WHERE pid = {number}")
            )
            with tracing.get_tracer("test").start_as_current_span("read"):
                assert conn.execute("SELECT 42").fetchone()[0] == 42
        [span] = spans.get_finished_spans()
        assert [event.name for event in span.events] == ["clustersql.recovery"]
        assert span.events[0].attributes["clustersql.node"] in postgres.nodes
        assert {"node", "recovery"} <= {event.kind for event in told}
        with db.connection(node="n1") as conn:
            number = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
            conn.execute("SELECT 'v4lue'")
            postgres.execute("n1", f"SELECT pg_terminate_backend({number})")
            with pytest.raises(psycopg.Error):
                conn.execute("SELECT 'v4lue'")
            with pytest.raises(TransactionLost):
                conn.execute("SELECT 'v4lue'")
            conn.rollback()
        [outcome, *_] = [event for event in told if event.kind == "outcome"]
        assert outcome.text.startswith("TransactionLost on the connection from ")
        shown = cluster.snapshot().as_dict()
        assert json.loads(json.dumps(shown)) == shown
        [primary] = [node for node in shown["nodes"] if node["role"] == "primary"]
        assert primary["epoch"].startswith("timeline ")
        assert shown["epoch"] == primary["epoch"]
        assert primary["peers"]
        text = json.dumps(shown) + "".join(event.text for event in cluster.events())
        assert "password" not in text
        assert "v4lue" not in text
