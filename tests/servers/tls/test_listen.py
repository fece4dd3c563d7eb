"""Who waits for notifications once more, through TLS: woken when the node is frozen or demoted, left alone when nothing
happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from servers.sessions import test_listen as listen
from support import face
from support.waiting import eventually

from clustersql.testing import PostgresCluster


@pytest.fixture(params=("psycopg", "psycopg2", "psycopg-aio", "asyncpg"))
def database(postgres: PostgresCluster, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster that notices quickly; its one node encrypts."""
    with face.cluster_of(request.param, "listening", **listen.TUNED) as cluster:
        cluster.add_node("n1", postgres.dsn("n1"))
        database = cluster.open()
        assert eventually(lambda: cluster.view.by_name["n1"].usable)
        question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert database.execute(question).fetchall() == [(True,)]
        yield cluster, database, request.param


test_silence_on_a_live_node_is_no_stall = listen.test_silence_on_a_live_node_is_no_stall
test_a_waiter_on_a_frozen_node_is_woken = listen.test_a_waiter_on_a_frozen_node_is_woken
test_a_waiter_on_a_demoted_primary_is_woken = listen.test_a_waiter_on_a_demoted_primary_is_woken
