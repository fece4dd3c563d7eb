"""Nodes of PostgreSQL killed, removed, demoted and promoted under load, once more, through TLS."""

from __future__ import annotations

from contextlib import closing

import pytest
from servers.trouble import test_faults_postgres as faults

import clustersql
from clustersql.testing import PostgresCluster

make = faults.make

test_kill_of_a_standby_under_load = faults.test_kill_of_a_standby_under_load
test_kill_of_the_primary_under_load = faults.test_kill_of_the_primary_under_load
test_removal_and_addition_of_a_node_under_load = faults.test_removal_and_addition_of_a_node_under_load
test_demotion_and_promotion = faults.test_demotion_and_promotion
test_demotion_under_load = faults.test_demotion_under_load
test_terminated_session_does_not_take_the_primary_out = faults.test_terminated_session_does_not_take_the_primary_out


def test_who_does_not_encrypt_is_not_let_in(postgres: PostgresCluster) -> None:
    """So that every test of this folder that gets an answer has encrypted."""
    with closing(clustersql.Cluster("plain", driver="psycopg")) as cluster:
        cluster.add_node("n1", postgres.dsn("n1").replace("verify-ca", "disable"))
        with pytest.raises(clustersql.NoNodeAvailable, match="no encryption"):
            cluster.open().options(timeout=1.0).execute("SELECT 1")
