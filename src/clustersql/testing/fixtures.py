"""Fixtures for pytest; loaded by itself wherever clustersql and pytest are installed.

The clusters start on their first use and serve the whole test run.  A test that breaks one calls its ``heal()``, before
or after; a test that cannot tell what others left behind calls it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import FaultProxy, GaleraCluster, MariaDBServer, MySQLCluster, PostgresCluster


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A PostgreSQL primary with two standbys, shared by the whole run."""
    from . import PostgresCluster

    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def galera_cluster() -> Iterator[GaleraCluster]:
    """A MariaDB Galera cluster of three nodes, shared by the whole run."""
    from . import GaleraCluster

    with GaleraCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A single MariaDB server, shared by the whole run."""
    from . import MariaDBServer

    with MariaDBServer() as server:
        yield server


@pytest.fixture(scope="session")
def mysql_cluster() -> Iterator[MySQLCluster]:
    """A MySQL source with two replicas, shared by the whole run."""
    from . import MySQLCluster

    with MySQLCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def mysql_group() -> Iterator[MySQLCluster]:
    """Group Replication of MySQL with three members, shared by the whole run."""
    from . import MySQLCluster

    with MySQLCluster(mode="group") as cluster:
        yield cluster


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[int], FaultProxy]]:
    """A function that puts a started `FaultProxy` before a port; it is stopped after the test."""
    from . import FaultProxy

    with ExitStack() as stack:
        yield lambda target_port: stack.enter_context(FaultProxy(target_port))
