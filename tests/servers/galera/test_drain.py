"""A rolling restart of a Galera cluster under load: each node is drained first, and no caller sees an error."""

from __future__ import annotations

from collections.abc import Callable

from servers.galera.conftest import ONE_OF_EACH
from servers.galera.workload import Workload

from clustersql import Cluster
from clustersql.testing import GaleraCluster
from clustersql.testing.processes import wait_until


@ONE_OF_EACH  # nobody is on a node that is drained when it stops
def test_rolling_restart_under_load_shows_no_error(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    cluster = client(driver, breaker_base=0.2, breaker_cap=0.5, slow_start=0.5)
    load = Workload(galera, cluster.open())
    load.prepare()
    with load:
        load.progress()
        for name in galera.nodes:
            cluster.drain(name)
            wait_until(lambda name=name: load.db.stats()["nodes"][name]["open"] == 0, f"{name} is empty", timeout=10)
            galera.stop(name)
            load.progress()
            galera.start(name)
            cluster.undrain(name)
            wait_until(lambda name=name: cluster.view.by_name[name].usable, f"{name} is used again", timeout=20)
    assert load.told.unknown == set()
    load.check()
