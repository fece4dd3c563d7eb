"""OpenTelemetry's instrumentation of the drivers, and of SQLAlchemy, through a cluster: each statement of the program's
has the one span that it has without us, and what we ask for our own sake has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.pymysql import PyMySQLInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from servers.conftest import _stage
from servers.guarantees.test_guard import KNOBS, Guarded
from sqlalchemy import create_engine, text
from support.face import cluster_of
from support.waiting import eventually

import clustersql

INSTRUMENTORS = {
    "psycopg": PsycopgInstrumentor,
    "psycopg-aio": PsycopgInstrumentor,
    "asyncpg": AsyncPGInstrumentor,
    "pymysql": PyMySQLInstrumentor,
}


class Spans:
    """A tracer whose spans are kept."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def statements(self) -> list[str]:
        """The texts of the statements that have a span."""
        return [str(each.attributes.get("db.statement")) for each in self._exporter.get_finished_spans()]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@contextmanager
def instrumented(driver: str, spans: Spans, **options: Any) -> Iterator[None]:
    instrumentor = INSTRUMENTORS[driver]()
    instrumentor.instrument(tracer_provider=spans.provider, skip_dep_check=True, **options)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def address(driver: str, request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    server: Any = request.getfixturevalue("_mariadb" if driver == "pymysql" else "postgres")
    fields = {"host": "127.0.0.1", "port": server.port("n1"), "user": "app", "password": "secret", "database": "app"}
    return server, fields


@pytest.mark.parametrize("driver", INSTRUMENTORS)
def test_each_statement_of_the_program_has_one_span_and_ours_have_none(
    driver: str, spans: Spans, request: pytest.FixtureRequest
) -> None:
    _, fields = address(driver, request)
    with instrumented(driver, spans), cluster_of(driver, "shop", probe_interval=0.05, failover_probe=0.02) as shop:
        shop.add_node("a", **fields)
        db = shop.open()
        for number in range(3):
            assert len(db.execute(f"SELECT {number}").fetchall()) == 1
        with db.connection(read_only=True) as conn:  # another mode is set, and taken back
            conn.cursor().execute("SELECT 3")
        with db.connection() as conn:
            conn.cursor().execute("SET lock_timeout = 5" if driver != "pymysql" else "SET lock_wait_timeout = 5")
        probed = time.monotonic()
        assert eventually(lambda: shop._topology.records["a"].last_success > 0 and time.monotonic() > probed + 0.2)
        db.execute("SELECT 4")  # on a session that was reset
    # A transaction's beginning and end have spans where the driver sends them as statements: asyncpg's.
    found = [each for each in spans.statements() if each.split()[0] not in ("BEGIN", "COMMIT", "ROLLBACK")]
    assert [each for each in found if not each.startswith("SET lock")] == [f"SELECT {n}" for n in range(5)]
    assert len(found) == 6


@pytest.mark.parametrize("driver", INSTRUMENTORS)
def test_what_the_driver_raises_through_it_is_recovered(
    driver: str, spans: Spans, request: pytest.FixtureRequest
) -> None:
    server, fields = address(driver, request)
    number, end = "SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"
    if driver == "pymysql":
        number, end = "SELECT CONNECTION_ID()", "KILL %s"
    with instrumented(driver, spans), cluster_of(driver, "shop") as shop:
        shop.add_node("a", **fields)
        with shop.open().connection(read_only=True) as conn:
            cursor = conn.cursor()
            cursor.execute(number)
            [[first]] = cursor.fetchall()
            conn.commit()
            server.execute("n1", end, (first,))
            cursor.execute(number)
            [[second]] = cursor.fetchall()
            assert second != first
            with pytest.raises(shop.driver.error):
                cursor.execute("SELECT nonsense")
            conn.rollback()
        assert shop.metrics()["Nodes"]["a"]["Recoveries"] == 1
    # The one that failed has a span too: with asyncpg that may have been the BEGIN before it.
    assert spans.statements().count(number) in ((2, 3) if driver == "asyncpg" else (3,))


def test_a_comment_that_is_another_one_each_time_is_sent_and_fills_no_cache(
    spans: Spans, request: pytest.FixtureRequest
) -> None:
    """By the instrumentation with sqlcommenter."""
    _, fields = address("psycopg", request)
    options = {"enable_commenter": True, "enable_attribute_commenter": True}
    with instrumented("psycopg", spans, **options), cluster_of("psycopg", "shop") as shop:
        shop.add_node("a", **fields)
        db = shop.open()
        before = set(shop._notes._known)
        tracer = spans.provider.get_tracer("test")
        for _ in range(3):
            with tracer.start_as_current_span("request"):
                db.execute("SELECT 1 AS commented")
        assert set(shop._notes._known) - before == {"SELECT 1 AS commented"}
    sent = [each for each in spans.statements() if each.startswith("SELECT 1")]
    assert len({each for each in sent if "traceparent=" in each}) == 3


def test_sqlalchemy_s_instrumentation_sees_an_engine_of_ours(spans: Spans, request: pytest.FixtureRequest) -> None:
    _, fields = address("psycopg", request)
    shop = clustersql.register(clustersql.Cluster("instrumented", driver=psycopg))
    shop.add_node("a", **fields)
    engine = create_engine("postgresql+psycopg:///?plugin=clustersql&clustersql_cluster=instrumented")
    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, tracer_provider=spans.provider, skip_dep_check=True)
    try:
        with engine.connect() as conn:
            assert conn.execute(text("SELECT 5")).scalar_one() == 5
        engine.dispose()
    finally:
        instrumentor.uninstrument()
        clustersql.unregister("instrumented")
    assert spans.statements().count("SELECT 5") == 1
    assert not any("pg_is_in_recovery" in each for each in spans.statements())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_token_of_the_commit_guard_is_on_no_trace(driver: str, spans: Spans, request: pytest.FixtureRequest) -> None:
    for stage in _stage(driver, request):
        guarded = Guarded(stage)
        with instrumented(driver, spans):
            db = stage.make(**KNOBS).open()
            assert db.run(guarded.work) == "its value"
        assert guarded.tokens() == 1
    assert sum("INTO events" in each for each in spans.statements()) == 1
    assert not any("clustersql" in each for each in spans.statements())
