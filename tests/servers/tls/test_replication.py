"""MariaDB's replication once more, through TLS: ``max_lag``, and a replica that is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.nodes import test_discovery_replication as discovery
from servers.nodes import test_lag_mariadb as lag
from servers.tls.conftest import EncryptedMariaDB
from support.replication import Pair, replication


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replication(EncryptedMariaDB, tls=True) as servers:
        source, replica = servers
        # A replica that is found is dialled as the source is, and each has an authority of its own here: who trusts one, trusts both.
        both = source.directory / "both.pem"
        both.write_text("".join(Path(server.ca_file).read_text() for server in servers))
        source.trusted = replica.trusted = str(both)
        lag.make_table(source)
        source.execute("n1", "ALTER USER app REQUIRE SSL")
        yield servers


@pytest.fixture(params=["pymysql", "aiomysql"])
def driver(request: pytest.FixtureRequest) -> str:
    """One driver for threads and one of asyncio."""
    return str(request.param)


cluster = lag.cluster

test_a_replica_that_applies_nothing_shows_nothing_older = lag.test_a_replica_that_applies_nothing_shows_nothing_older
test_a_replica_that_receives_nothing_is_not_fresh = lag.test_a_replica_that_receives_nothing_is_not_fresh
test_a_replica_is_found_and_goes = discovery.test_a_replica_is_found_and_goes
