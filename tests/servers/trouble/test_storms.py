"""A thousand callers after an outage of everything, on PostgreSQL: what the servers' logs have of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest
from support import storm

from clustersql.testing import FaultProxy, PostgresCluster


class Logged(storm.Storm):
    """The servers log connections."""

    def __init__(self, postgres: PostgresCluster, ways: Mapping[str, FaultProxy]) -> None:
        super().__init__({name: postgres.port(name) for name in postgres.nodes}, postgres.dsn, ways)
        self.postgres = postgres
        self._read: dict[str, int] = {}

    def begin(self) -> None:
        self._read = {name: self.postgres._log(name).stat().st_size for name in self.ways}

    def check_servers(self) -> None:
        opened = 0
        for name in self.ways:
            begun, at_once = self._logins(name)
            assert at_once <= storm.DIALS + 1, f"{at_once} logins at once on {name}"  # and the probe
            opened += begun
        assert opened <= self.most_opened, f"{opened} connections for a pool of {storm.SIZE}"

    def _logins(self, name: str) -> tuple[int, int]:
        """How many logins the server's log has since `begin`, and how many were under way at once at most."""
        with self.postgres._log(name).open() as log:
            log.seek(self._read[name])
            lines = log.read().splitlines()
        begun, at_once, under_way = 0, 0, set()
        for line in lines:
            found = re.search(r"\[(\d+)\]", line)
            if found is None:
                continue
            if "connection received" in line:
                begun += 1
                under_way.add(found[1])
                at_once = max(at_once, len(under_way))
            elif "connection authorized" in line or "FATAL" in line:
                under_way.discard(found[1])
        return begun, at_once


@pytest.fixture
def logged(postgres: PostgresCluster) -> Iterator[Logged]:
    with ExitStack() as stack:
        ways = stack.enter_context(storm.ways({name: postgres.port(name) for name in postgres.nodes}))
        for name in ways:
            postgres._alter(name, "log_connections", "on")
            stack.callback(postgres._alter, name, "log_connections", None)
        yield Logged(postgres, ways)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_a_thousand_threads(logged: Logged, driver: str) -> None:
    storm.threads(logged, driver)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_thousand_tasks(logged: Logged, driver: str) -> None:
    storm.tasks(logged, driver)
