"""Packets that vanish in the network itself, once more, through TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.tls.conftest import EncryptedPostgres
from servers.trouble import test_network as dropped

from clustersql.testing import Network, PostgresCluster

network = dropped.network
cluster = dropped.cluster


@pytest.fixture(scope="module")
def servers(network: Network) -> Iterator[PostgresCluster]:
    with EncryptedPostgres(2, network=network, tls=True) as servers:
        dropped.make_table(servers)
        yield servers


test_reads_go_on_when_the_path_to_their_node_is_gone = dropped.test_reads_go_on_when_the_path_to_their_node_is_gone
test_a_write_into_the_void_is_unknown = dropped.test_a_write_into_the_void_is_unknown
test_one_connection_forgotten_by_a_nat = dropped.test_one_connection_forgotten_by_a_nat
