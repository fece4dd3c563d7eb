"""One Galera cluster at the ports of the ancestor's ``config.toml``, for all tests of this folder."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face

from clustersql import Cluster
from clustersql.testing import GaleraCluster

PORTS = [3301, 3302, 3303]


def taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="package")
def servers() -> Iterator[GaleraCluster]:
    if found := [port for port in PORTS if taken(port)]:
        pytest.fail(f"ports {found} of 127.0.0.1 are taken, and config.toml names them: stop what listens there")
    with GaleraCluster(ports=PORTS, max_connections=60) as cluster:
        yield cluster


@pytest.fixture
def galera(servers: GaleraCluster) -> GaleraCluster:
    servers.heal()
    return servers


@pytest.fixture(params=["pymysql", "mysqlclient", "mysql-connector", "mariadb", "aiomysql", "asyncmy"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ONE_OF_EACH = pytest.mark.parametrize("driver", ["pymysql", "asyncmy"], indirect=True)
"""One driver for threads and one of asyncio: for tests in which nothing breaks that a driver holds, so that what decides
is the probe, or an answer that another test gets by each driver.
"""


@pytest.fixture
def client(galera: GaleraCluster) -> Iterator[Callable[..., Cluster]]:
    """Makes a client of the three servers, as the unprivileged user; closed after the test.  `face` drives those of
    asyncio.
    """
    with ExitStack() as stack:

        def make(driver: str = "pymysql", **knobs: Any) -> Cluster:
            cluster = stack.enter_context(face.cluster_of(driver, "shop", **knobs))
            for name in galera.nodes:
                cluster.add_node(name, galera.dsn(name))
            return cluster

        yield make


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line also when the test passes."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end=" ", flush=True)

    return show
