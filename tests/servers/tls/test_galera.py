"""The faults of Galera once more, through TLS: nodes that are killed, frozen, refuse, fall behind, lose the quorum, are
drained or discovered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from servers.galera import conftest as galera_fixtures
from servers.galera import test_discovery as discovery
from servers.galera import test_drain as drain
from servers.galera import test_load as load
from servers.galera import test_roles as roles
from servers.tls.conftest import EncryptedGalera

import clustersql
from clustersql import Cluster
from clustersql.testing import GaleraCluster

galera = galera_fixtures.galera
client = galera_fixtures.client
say = galera_fixtures.say
cluster = discovery.cluster


@pytest.fixture(scope="module")
def servers() -> Iterator[GaleraCluster]:
    with EncryptedGalera(tls=True) as servers:
        servers.execute("n1", "ALTER USER app REQUIRE SSL")
        yield servers


@pytest.fixture(params=["pymysql", "aiomysql"])
def driver(request: pytest.FixtureRequest) -> str:
    """One driver for threads and one of asyncio."""
    return str(request.param)


def test_who_does_not_encrypt_is_not_let_in(galera: GaleraCluster) -> None:
    """So that every test of this file that gets an answer has encrypted."""
    for name in galera.nodes:
        with closing(clustersql.Cluster("plain", driver="pymysql")) as plain:
            plain.add_node(name, galera.dsn(name).partition("?")[0], ssl_disabled=True)
            with pytest.raises(clustersql.NoNodeAvailable, match="Access denied"):
                plain.open().options(timeout=1.0).execute("SELECT 1")


test_kill_9_of_the_writer_under_load = load.test_kill_9_of_the_writer_under_load
test_a_frozen_writer_under_load = load.test_a_frozen_writer_under_load
test_one_session_killed_does_not_take_its_node_out = roles.test_one_session_killed_does_not_take_its_node_out
test_rolling_restart_under_load_shows_no_error = drain.test_rolling_restart_under_load_shows_no_error


# From here on a node answers no, or not at all, which is the same to each driver, whatever carries it.


def test_refusal_and_desync_under_load_show_no_error(galera: GaleraCluster, client: Callable[..., Cluster]) -> None:
    load.test_refusal_and_desync_under_load_show_no_error(galera, client, "aiomysql")


@pytest.mark.parametrize("fault", ["reject", "read_only"])
def test_a_node_that_does_not_want_work_is_rerouted_and_shown(
    galera: GaleraCluster, client: Callable[..., Cluster], fault: str
) -> None:
    roles.test_a_node_that_does_not_want_work_is_rerouted_and_shown(galera, client, "pymysql", fault)


def test_callers_wait_for_the_quorum(galera: GaleraCluster, client: Callable[..., Cluster]) -> None:
    roles.test_callers_wait_for_the_quorum(galera, client, "pymysql")


@pytest.mark.parametrize("driver", ["aiomysql"], indirect=True)
def test_members_come_and_go(galera: GaleraCluster, cluster: Cluster) -> None:
    discovery.test_members_come_and_go(galera, cluster)
