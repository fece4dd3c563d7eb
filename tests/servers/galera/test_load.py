"""Faults on Galera under load from eight threads: four that read, four that count in `run`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from servers.galera.conftest import ONE_OF_EACH
from servers.galera.workload import Workload

from clustersql import Cluster
from clustersql.testing import GaleraCluster
from clustersql.testing.processes import wait_until


def test_kill_9_of_the_writer_under_load(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str, say: Callable[[str], None]
) -> None:
    cluster = client(driver)
    load = Workload(galera, cluster.open())
    load.prepare()
    with load:
        load.progress()
        load.told.slowest.clear()
        began = time.monotonic()
        galera.kill("n1")
        killed = time.monotonic()
        load.progress(1, 0)
        reading = time.monotonic() - killed
        load.progress(1, 4)
        writing = time.monotonic() - killed
        load.progress()
    load.check()
    say(
        f"{driver}: after kill -9 of the writer ({1e3 * (killed - began):.0f} ms) reads went on within {1e3 * reading:.0f} ms,"
        f" four runs within {writing:.2f} s; slowest read {1e3 * load.told.slowest['read']:.0f} ms, slowest run"
        f" {load.told.slowest['write']:.2f} s; {len(load.told.acknowledged)} runs acknowledged, {len(load.told.unknown)} unknown"
    )
    # It is out for a moment where the others have come to the new configuration before it.
    wait_until(lambda: cluster.view.by_name["n2"].usable, "n2 is used again", timeout=60)
    with load.db.connection() as conn:
        assert conn.node == "n2"


@ONE_OF_EACH
def test_removal_of_a_node_under_load_shows_no_error(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    cluster = client(driver)
    load = Workload(galera, cluster.open())
    load.prepare()
    with load:
        load.progress()
        cluster.remove_node("n1")
        load.progress()
        cluster.remove_node("n3")
        load.progress()
    assert load.told.unknown == set()
    load.check()
    stats = load.db.stats()
    assert list(stats["nodes"]) == ["n2"]


def test_a_frozen_writer_under_load(galera: GaleraCluster, client: Callable[..., Cluster], driver: str) -> None:
    """What waits for it goes on elsewhere, while a slow statement on a live node is left alone."""
    cluster = client(driver)
    load, slept = Workload(galera, cluster.open()), []
    there = load.db.options(node="n3", read_only=True)
    slow = threading.Thread(target=lambda: slept.extend(there.execute("SELECT SLEEP(5)").fetchall()))
    load.prepare()
    with load:
        load.progress()
        slow.start()
        galera.freeze("n1")
        load.progress()
        slow.join(60)
        galera.thaw("n1")  # the others have expelled it meanwhile: it finds back by itself
        wait_until(lambda: cluster.view.by_name["n1"].usable, "n1 is used again", timeout=60)
        load.progress()
    load.check()
    assert [tuple(row) for row in slept] == [(0,)], "1: it was interrupted"
    assert cluster.metrics()["Pool"]["Hung"] > 0


@ONE_OF_EACH
def test_refusal_and_desync_under_load_show_no_error(
    galera: GaleraCluster, client: Callable[..., Cluster], driver: str
) -> None:
    """The writer refuses queries, then another falls behind on purpose; both come back."""
    load = Workload(galera, client(driver).open())
    load.prepare()
    with load:
        load.progress()
        galera.reject_queries("n1")
        load.progress()
        galera.desync("n2")
        load.progress()
        galera.reject_queries("n1", False)
        galera.desync("n2", False)
        load.progress()
    load.check()
