"""The probe on a real Galera cluster, by a user without privileges, in the states in which a SELECT is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from clustersql.core.view.node import Readiness, Report, Role
from clustersql.drivers import load
from clustersql.drivers.contract import Target


@pytest.fixture
def probe(galera_cluster: Any) -> Any:
    galera_cluster.heal()
    galera_cluster.execute("n2", "CREATE USER IF NOT EXISTS nobody@'%' IDENTIFIED BY 'x'")
    driver = load("pymysql")
    target = Target(host="127.0.0.1", port=galera_cluster.port("n2"), user="nobody", password="x")
    raw = driver.connect(target, 5.0)
    yield lambda: driver.dialect.report(driver.ask(raw, driver.dialect.probe))
    driver.close(raw)
    galera_cluster.heal()


def _until(probe: Callable[[], Report], readiness: Readiness) -> Report:
    deadline = time.monotonic() + 20
    while (report := probe()).readiness is not readiness and time.monotonic() < deadline:
        time.sleep(0.1)
    return report


def test_a_synced_node_is_ready(probe: Callable[[], Report]) -> None:
    report = probe()
    assert (report.role, report.readiness) == (Role.PRIMARY, Readiness.READY)
    assert report.details["wsrep_cluster_size"] == "3"
    assert report.epoch is not None
    assert report.epoch.number >= 3  # each of the three joined in a configuration of its own


def test_rejecting_queries_is_maintenance(probe: Callable[[], Report], galera_cluster: Any) -> None:
    galera_cluster.reject_queries("n2")
    assert (report := probe()).readiness is Readiness.MAINTENANCE, report
    assert report.why == "wsrep_reject_queries is ALL"


def test_desynced_is_a_donor(probe: Callable[[], Report], galera_cluster: Any) -> None:
    galera_cluster.desync("n2")
    assert (report := _until(probe, Readiness.DONOR)).readiness is Readiness.DONOR, report
    assert report.why == "desynced by hand"


def test_outside_the_primary_component_is_not_ready(probe: Callable[[], Report], galera_cluster: Any) -> None:
    galera_cluster.kill("n1")
    galera_cluster.kill("n3")
    report = _until(probe, Readiness.NOT_READY)
    assert report.readiness is Readiness.NOT_READY, report
    assert "not in the Primary component" in report.why
