"""Knobs that change while threads work on a real cluster: no error, and the servers see the smaller pool."""

from __future__ import annotations

import pytest
from support import face
from support.load import load
from support.waiting import eventually

from clustersql.testing import PostgresCluster

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reconfigured'"


@pytest.mark.parametrize("driver", ["psycopg", "psycopg-aio"])
def test_a_pool_shrinks_and_grows_under_load_without_an_error(postgres: PostgresCluster, driver: str) -> None:
    with face.cluster_of(driver, "reconfigured", max_size=8) as cluster:
        cluster.add_node("n1", postgres.dsn("n1"), application_name="reconfigured")
        db = cluster.open()
        with load(lambda thread, serial: db.execute("SELECT pg_sleep(0.002)")) as work:
            work.more(100)
            cluster.reconfigure(max_size=2)
            work.more(100)
            assert eventually(lambda: db.stats()["size"] <= 2)
            assert eventually(lambda: postgres.execute("n1", OURS)[0][0] <= 3)  # and the one for probes
            cluster.reconfigure(max_size=8, policy="race")
            work.more(100)
            assert db.stats()["size"] > 2
        assert work.failed == []
