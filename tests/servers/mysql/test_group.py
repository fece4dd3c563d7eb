"""MySQL's Group Replication with a single primary: roles, members, the view as epoch, and the answers that only a group
gives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from servers.mysql.work import TUNED, Work
from support import face
from support.stage import INSERT, MARIADB, execute, failure
from support.waiting import eventually

import clustersql
from clustersql import Cluster
from clustersql.core.view.node import Readiness, Role
from clustersql.testing import MySQLCluster

Client = Callable[..., Cluster]


def test_a_handover_and_kill_9_of_the_primary(group: MySQLCluster, client: Client) -> None:
    """The primary hands over in place: no error at all; it is killed: the group elects another, and nothing
    acknowledged is lost.
    """
    work = Work(group, client, stall_after=30.0)  # none of them hangs, and a busy one is slow
    with work.running():
        group.switchover("n2")
        work.progress()
        assert work.unknown == set()
        group.kill("n2")
        work.progress()
    primary = group.primary
    work.check(primary)
    assert primary != "n2"
    assert work.writers() == {primary}
    epochs = {cluster.view.epoch for cluster in work.clusters.values()}
    assert [(epoch.name, epoch.shared) for epoch in epochs if epoch] == [("view", True)], "all have the same"


def test_a_primary_that_is_cut_off_from_the_majority(group: MySQLCluster, client: Client) -> None:
    """Its COMMIT is answered by 3100, or ended with its session; the majority has it all the same, and it is left for
    the new primary of a newer view.
    """
    group.execute("n1", "SET GLOBAL group_replication_unreachable_majority_timeout = 2")
    drivers = ("pymysql", "asyncmy")
    clusters = {driver: client(group, driver, **TUNED | {"stall_after": 30.0}) for driver in drivers}
    dbs = {driver: cluster.open() for driver, cluster in clusters.items()}
    assert eventually(lambda: all(node.usable for cluster in clusters.values() for node in cluster.view))
    view = clusters["pymysql"].view.epoch
    errors: dict[str, Any] = {}

    def write(driver: str) -> None:
        errors[driver] = failure(dbs[driver].execute, INSERT, (f"cut-{driver}",))

    for name in ("n2", "n3"):
        group.freeze(name)
    threads = [threading.Thread(target=write, args=(driver,)) for driver in drivers]
    for thread in threads:
        thread.start()
    seen = lambda: [cluster.view.by_name["n1"] for cluster in clusters.values()]  # noqa: E731
    assert eventually(lambda: all(node.readiness is Readiness.NOT_READY for node in seen())), seen()
    for thread in threads:
        thread.join(30)
    for name in ("n2", "n3"):
        group.thaw(name)
    for driver, error in errors.items():
        assert isinstance(error, clustersql.OutcomeUnknown), (driver, error)
        # A member that leaves is put offline, which ends the sessions: now and then before they have their answer.
        assert clusters[driver].driver.codes(error)[1] in (3100, 2013), (driver, error)
        with dbs[driver].connection() as conn:
            execute(conn, INSERT, (f"after-{driver}",))
            conn.commit()
            primary = conn.node
        assert primary != "n1"
        counted = "SELECT count(*) FROM events WHERE name = %s"
        assert group.execute(primary, counted, (f"after-{driver}",)) == [(1,)]
        assert group.execute(primary, counted, (f"cut-{driver}",)) == [(1,)], "an error, and committed all the same"
        newest = clusters[driver].view.epoch
        assert newest is not None
        assert view is not None
        assert newest.number > view.number
        assert not clusters[driver].view.by_name["n1"].usable


def test_a_conflict_of_two_primaries_is_rerun(group: MySQLCluster, client: Client) -> None:
    """With several primaries the group refuses one of two that changed the same row (3101): it did not happen, and is
    run again.

    Where the other's change is applied in the moment of the COMMIT the server says 1180, which proves nothing: that one
    is unknown.
    """
    group.execute("n1", "INSERT INTO counters VALUES ('conflict', 0) ON DUPLICATE KEY UPDATE n = 0")
    group.execute("n1", "SELECT group_replication_switch_to_multi_primary_mode()")
    done, unknown = 0, 0
    try:
        for driver in ("pymysql", "asyncmy"):
            cluster = client(group, driver, writer="any", **TUNED)
            db = cluster.open()
            are_primaries = lambda cluster=cluster: all(  # noqa: E731
                node.usable and node.role is Role.PRIMARY for node in cluster.view
            )
            assert eventually(are_primaries), cluster.view
            errors = count_twice_at_once(db)
            done += errors.count(None)
            unknown += sum(isinstance(error, clustersql.OutcomeUnknown) for error in errors)
    finally:
        [(uuid,)] = group.execute("n1", "SELECT @@server_uuid")
        group.execute("n1", f"SELECT group_replication_switch_to_single_primary_mode('{uuid}')")
    assert done + unknown == 4
    assert done >= 2, "of two that change the same row one gets through"
    [(counted,)] = group.execute("n1", "SELECT n FROM counters WHERE name = 'conflict'")
    assert done <= counted <= 4


def count_twice_at_once(db: Any) -> list[Any]:
    """Let two threads count on the same row of two nodes; return how each ended."""
    both_updated = threading.Barrier(2)
    attempts: list[int] = []

    def count(conn: Any) -> None:
        attempts.append(conn.attempt)
        execute(conn, "UPDATE counters SET n = n + 1 WHERE name = 'conflict'")
        if conn.attempt == 1:
            both_updated.wait(20)

    errors: list[Any] = []
    threads = [
        threading.Thread(target=lambda node=node: errors.append(failure(db.options(node=node).run, count)))
        for node in ("n2", "n3")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 2
    assert max(attempts) > 1 or errors != [None, None], "one of them was refused"
    return errors


@pytest.mark.parametrize("driver", MARIADB)
def test_members_are_found(group: MySQLCluster, driver: str) -> None:
    """By one that is configured; the tables are granted to the user.  Who may not read them sees the members' switches
    all the same.
    """
    n2, n3 = (f"127.0.0.1:{group.port(name)}" for name in ("n2", "n3"))
    knobs: dict[str, Any] = {"discover": True, "address_map": {"127.0.0.1": "127.0.0.1"}, "probe_interval": 0.1}
    with face.cluster_of(driver, "grouped", **knobs) as cluster:
        cluster.add_node("n1", group.dsn("n1"))
        cluster.open()
        assert eventually(lambda: cluster.nodes == sorted(["n1", n2, n3])), cluster.snapshot().as_dict()
        assert eventually(lambda: all(node.usable for node in cluster.view))
        assert {node.name: node.role for node in cluster.view} == {
            "n1": Role.PRIMARY,
            n2: Role.REPLICA,
            n3: Role.REPLICA,
        }


@pytest.mark.parametrize("driver", MARIADB)
def test_who_may_not_read_the_group_s_tables_knows_the_roles(group: MySQLCluster, driver: str) -> None:
    group.execute("n1", "CREATE USER IF NOT EXISTS plain IDENTIFIED BY 'secret'")
    group.execute("n1", "GRANT SELECT ON app.* TO plain")
    with face.cluster_of(driver, "plain", **TUNED) as cluster:
        for name in group.nodes:
            cluster.add_node(name, group.dsn(name).replace("//app:", "//plain:"))
        db = cluster.open()
        assert eventually(lambda: all(node.usable for node in cluster.view)), cluster.view
        assert [node.role for node in cluster.view] == [Role.PRIMARY, Role.REPLICA, Role.REPLICA]
        assert [node.epoch for node in cluster.view] == [None] * 3
        assert db.options(node="n3", read_only=True).execute("SELECT 1").fetchall()
