"""A thousand callers after an outage of everything, on Galera: what the servers' counters have of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from support import storm

from clustersql.testing import FaultProxy, GaleraCluster


class Counted(storm.Storm):
    """The servers count their connections, and the most that there were at once."""

    def __init__(self, galera: GaleraCluster, ways: Mapping[str, FaultProxy]) -> None:
        super().__init__({name: galera.port(name) for name in galera.nodes}, galera.dsn, ways)
        self.galera = galera
        self._counted: dict[str, int] = {}

    def begin(self) -> None:
        for name in self.ways:
            self.galera.execute(name, "FLUSH STATUS")  # the most at once, anew
            self._counted[name] = self._status(name)["Connections"]

    def check_servers(self) -> None:
        opened = 0
        for name in self.ways:
            now = self._status(name)
            opened += now["Connections"] - self._counted[name] - 1  # this one
            most = now["Max_used_connections"] - 1
            assert most <= storm.SIZE + 2, f"{most} connections at once on {name}"  # the probe and its reserve
        assert opened <= self.most_opened, f"{opened} connections for a pool of {storm.SIZE}"

    def _status(self, name: str) -> dict[str, int]:
        rows = self.galera.execute(name, "SHOW GLOBAL STATUS LIKE '%connections'")
        return {str(variable): int(value) for variable, value in rows}


@pytest.fixture
def counted(galera: GaleraCluster) -> Iterator[Counted]:
    with storm.ways({name: galera.port(name) for name in galera.nodes}) as ways:
        yield Counted(galera, ways)


@pytest.mark.parametrize("driver", ["pymysql", "mysqlclient", "mysql-connector", "mariadb"])
def test_a_thousand_threads(counted: Counted, driver: str) -> None:
    storm.threads(counted, driver)


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
def test_a_thousand_tasks(counted: Counted, driver: str) -> None:
    storm.tasks(counted, driver)
