"""PEP 249's own test suite (`dbapi-compliance`), for every driver as it is and through a cluster: the same result of
each test case.

A cluster is a PEP 249 module object, so it stands where the driver's module stood.  What differs on purpose is named in
`DIFFERENT`.
"""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dbapi20
import pytest

from clustersql import Cluster
from clustersql.testing import MariaDBServer, PostgresCluster

CLOSED_TWICE = {"test_non_idempotent_close": ("passes", "fails: Error not raised by close")}
"""These drivers raise when a closed connection is closed again, others do not, and PEP 249 leaves it open.  Ours may
always be closed again: ``close`` gives the connection back, and a ``finally`` after a ``with`` must not turn a success
into an error.
"""

DIFFERENT: dict[str, dict[str, tuple[str, str]]] = {
    "sqlite3": {},
    "psycopg": {},
    "psycopg2": {},
    "pg8000": CLOSED_TWICE,
    "pymysql": CLOSED_TWICE,
    "mysqlclient": CLOSED_TWICE,
    "mysql-connector": {},
    "mariadb": CLOSED_TWICE,
}
"""Driver -> test case -> (the driver's own result, the one through us)."""


@pytest.fixture(params=list(DIFFERENT))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where the driver's database is, in our neutral words."""
    if driver == "sqlite3":
        return {"database": str(tmp_path / "compliance.db")}
    server: PostgresCluster | MariaDBServer = request.getfixturevalue(
        "postgres_cluster" if driver in ("psycopg", "psycopg2", "pg8000") else "mariadb_server"
    )
    server.heal()
    return {"host": "127.0.0.1", "port": server.port("n1"), "user": "app", "password": "secret", "database": "app"}


@pytest.fixture
def cluster(driver: str, address: dict[str, Any]) -> Iterator[Cluster]:
    cluster = Cluster("compliance", driver=driver)
    if driver == "pymysql":
        address["ssl_disabled"] = True  # it reads the system's whole store of authorities for each connection otherwise
    cluster.add_node("n1", **address)
    yield cluster
    cluster.close()


def results(module: Any, arguments: dict[str, Any]) -> dict[str, str]:
    """Each test case of the suite, and how it ended."""

    class Compliance(dbapi20.DatabaseAPI20Test):  # type: ignore[misc]
        driver = module
        connect_kw_args = arguments

        def setUp(self) -> None:
            self.tearDown()

        def test_nextset(self) -> None:
            """The suite leaves this one to the driver, and it would need a stored procedure in six dialects."""

        def test_setoutputsize(self) -> None:
            """Left to the driver too."""

    return {case: _result(Compliance(case)) for case in unittest.TestLoader().getTestCaseNames(Compliance)}


def _result(case: unittest.TestCase) -> str:
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # test_rollback of the suite never closes its connection
        case.run(result)
    for _, trace in [*result.failures, *result.errors]:
        # What we say of an exception that is not the driver's is a note beside it.
        last = [line for line in trace.strip().splitlines() if not line.startswith("clustersql: ")][-1]
        return f"fails: {last.partition(': ')[2] or last}"
    return "passes"


def keywords(cluster: Cluster, address: dict[str, Any]) -> dict[str, Any]:
    """The address in the driver's own words."""
    if cluster.driver.family == "postgresql" and cluster.driver.name != "pg8000":
        return {("dbname" if name == "database" else name): value for name, value in address.items()}
    return address


def test_the_suite_ends_the_same_through_a_cluster(cluster: Cluster, address: dict[str, Any]) -> None:
    raw = results(cluster.driver.module, keywords(cluster, address))
    ours = results(cluster, {})
    different = {case: (raw[case], ours[case]) for case in raw if raw[case] != ours[case]}
    assert different == DIFFERENT[cluster.driver.name]
    assert len(raw) > 30
    assert sum(result == "passes" for result in ours.values()) > 25
