"""MySQL's replication and its group, with the tables of tests/servers; each is started once for this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pymysql
import pytest
from servers.conftest import _MARIADB_SCHEMA
from support import face
from support.stage import MARIADB, Stage

from clustersql import Cluster
from clustersql.testing import FaultProxy, MySQLCluster


def prepared(servers: MySQLCluster) -> MySQLCluster:
    servers.heal()
    for statement in _MARIADB_SCHEMA:
        servers.execute("n1", statement)
    return servers


@pytest.fixture(scope="session")
def _replication(mysql_cluster: MySQLCluster) -> MySQLCluster:
    return prepared(mysql_cluster)


@pytest.fixture(scope="session")
def _group(mysql_group: MySQLCluster) -> MySQLCluster:
    return prepared(mysql_group)


@pytest.fixture
def replication(_replication: MySQLCluster) -> MySQLCluster:
    """A source and two replicas, in good order."""
    _replication.heal()
    return _replication


@pytest.fixture
def group(_group: MySQLCluster) -> MySQLCluster:
    """Three members of a group, in good order."""
    _group.heal()
    return _group


@pytest.fixture(params=MARIADB)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["pymysql", "asyncmy"])
def each_api(request: pytest.FixtureRequest) -> str:
    """One driver for threads and one of asyncio, where the server's behaviour is in question and not the driver's."""
    return str(request.param)


@contextmanager
def staged(servers: MySQLCluster, driver: str) -> Iterator[Stage]:
    """Two ways to the node that takes writes, for one driver."""
    with ExitStack() as stack:
        a, b = (stack.enter_context(FaultProxy(servers.port("n1"))) for _ in "ab")
        if driver == "mysql-connector":
            # It can log in without TLS only where the server has seen the password since its start.
            pymysql.connect(host="127.0.0.1", port=servers.port("n1"), user="app", password="secret").close()
        stage = Stage(driver, servers, a, b)
        stack.callback(stage.end)
        yield stage


@pytest.fixture
def stage(replication: MySQLCluster, driver: str) -> Iterator[Stage]:
    """Two ways to the source, for each driver."""
    with staged(replication, driver) as stage:
        yield stage


mariadb_stage = stage


@pytest.fixture
def client() -> Iterator[Callable[..., Cluster]]:
    """Makes a cluster over all nodes of these servers, closed after the test."""
    with ExitStack() as stack:

        def make(servers: MySQLCluster, driver: str, **knobs: Any) -> Cluster:
            cluster = stack.enter_context(face.cluster_of(driver, "shop", **knobs))
            for name in servers.nodes:
                cluster.add_node(name, servers.dsn(name))
            return cluster

        yield make
