"""Every verb of the PostgreSQL cluster, on real servers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.stage import in_step

from clustersql.testing import PostgresCluster, StartError
from clustersql.testing.binaries import copy_server, find_binaries
from clustersql.testing.processes import wait_until


@pytest.fixture
def cluster(postgres_cluster: PostgresCluster) -> Iterator[PostgresCluster]:
    postgres_cluster.heal()
    yield postgres_cluster
    postgres_cluster.heal()


def connect(cluster: PostgresCluster, name: str, more: str = "") -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(cluster.dsn(name) + more, autocommit=True, connect_timeout=2)


def ask(cluster: PostgresCluster, name: str, sql: str) -> list[tuple[object, ...]]:
    with connect(cluster, name) as conn:
        cursor = conn.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_primary_and_two_standbys(cluster: PostgresCluster) -> None:
    assert cluster.nodes == ["n1", "n2", "n3"]
    assert cluster.primary == "n1"
    assert [ask(cluster, name, "SELECT pg_is_in_recovery()")[0][0] for name in cluster.nodes] == [False, True, True]
    assert (
        repr(cluster) == "<PostgresCluster " + ", ".join(f"{n}:{cluster.port(n)} running" for n in cluster.nodes) + ">"
    )
    assert cluster.dsn("n2") == f"postgresql://app:secret@127.0.0.1:{cluster.port('n2')}/app"
    with pytest.raises(ValueError, match="no node 'n9'; there are n1, n2, n3"):
        cluster.dsn("n9")


def test_app_owns_its_database_and_is_no_superuser(cluster: PostgresCluster) -> None:
    ask(cluster, "n1", "CREATE TABLE mine (a int)")
    ask(cluster, "n1", "DROP TABLE mine")
    assert ask(cluster, "n1", "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'") == [(False,)]
    assert ask(
        cluster, "n1", "SELECT pg_has_role('pg_monitor', 'member') AND pg_has_role('pg_signal_backend', 'member')"
    ) == [(True,)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(cluster.dsn().replace("secret", "wrong"))


def test_servers_listen_on_loopback_only(cluster: PostgresCluster) -> None:
    assert cluster.execute("n1", "SHOW listen_addresses") == [("127.0.0.1",)]
    assert cluster.execute("n1", "SHOW unix_socket_directories") == [("",)]


def test_kill_refuses_and_start_brings_back(cluster: PostgresCluster) -> None:
    with connect(cluster, "n2") as conn:
        cluster.kill("n2")
        assert cluster.state("n2") == "down"
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(cluster, "n2")
    cluster.start("n2")
    assert ask(cluster, "n2", "SELECT 1") == [(1,)]


def test_freeze_hangs_and_thaw_goes_on(cluster: PostgresCluster) -> None:
    with connect(cluster, "n2") as conn:
        cluster.freeze("n2")
        assert cluster.state("n2") == "frozen"
        began = time.monotonic()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            connect(cluster, "n2")
        assert time.monotonic() - began >= 1.9
        cluster.thaw("n2")
        assert conn.execute("SELECT 1").fetchall() == [(1,)]


def test_a_frozen_node_can_be_killed_or_stopped(cluster: PostgresCluster) -> None:
    cluster.freeze("n2")
    cluster.kill("n2")
    cluster.freeze("n3")
    cluster.stop("n3")
    assert [cluster.state(name) for name in cluster.nodes] == ["running", "down", "down"]


def test_failover_and_rejoin(cluster: PostgresCluster) -> None:
    ask(cluster, "n1", "CREATE TABLE kept (a int)")
    in_step(cluster)  # replication is asynchronous: what was not sent yet is lost with the primary
    cluster.kill("n1")
    cluster.promote("n2")
    assert cluster.primary == "n2"
    ask(cluster, "n2", "INSERT INTO kept VALUES (1)")
    cluster.rejoin("n1")
    assert ask(cluster, "n1", "SELECT pg_is_in_recovery()") == [(True,)]
    with pytest.raises(ValueError, match="n2 is the primary itself"):
        cluster.rejoin("n2")
    cluster.heal()
    assert cluster.primary == "n1"
    assert ask(cluster, "n1", "SELECT * FROM kept") == [(1,)]
    assert sorted(cluster._health("n1").streaming) == ["n2", "n3"]
    ask(cluster, "n1", "DROP TABLE kept")


def test_split_brain_is_healed_in_favour_of_the_newest_timeline(cluster: PostgresCluster) -> None:
    cluster.promote("n3")
    ask(cluster, "n1", "CREATE TABLE loser (a int)")
    ask(cluster, "n3", "CREATE TABLE winner (a int)")
    assert cluster.primary == "n3"
    cluster.heal()
    assert cluster.primary == "n1"
    found = ask(cluster, "n1", "SELECT relname::text FROM pg_class WHERE relname IN ('loser', 'winner')")
    assert found == [("winner",)]
    ask(cluster, "n1", "DROP TABLE winner")


def test_no_primary_is_an_error_and_heal_makes_one(cluster: PostgresCluster) -> None:
    cluster.kill("n1")
    with pytest.raises(StartError, match="no running node is a primary"):
        _ = cluster.primary
    cluster.heal()
    assert cluster.primary == "n1"


def test_set_read_only_acts_on_open_sessions_too(cluster: PostgresCluster) -> None:
    ask(cluster, "n1", "CREATE TABLE t (a int)")
    with connect(cluster, "n1") as conn:
        cluster.set_read_only("n1")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ask(cluster, "n1", "INSERT INTO t VALUES (1)")
        conn.execute("SELECT 1")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("INSERT INTO t VALUES (1)")
        cluster.execute("n1", "DELETE FROM t")  # the administrator still can
        cluster.set_read_only("n1", False)
        ask(cluster, "n1", "DROP TABLE t")


def test_heal_ends_a_shutdown_that_waits_for_a_session(cluster: PostgresCluster) -> None:
    with connect(cluster, "n3"):
        os.kill(cluster.pid("n3") or 0, signal.SIGTERM)
        wait_until(lambda: cluster._is_leaving("n3"), "n3 lets nobody in")
        cluster.heal()
        assert ask(cluster, "n3", "SELECT pg_is_in_recovery()") == [(True,)]


def test_heal_ends_the_read_only_mode_of_a_standby(cluster: PostgresCluster) -> None:
    cluster.set_read_only("n3")
    cluster.heal()
    assert ask(cluster, "n3", "SHOW default_transaction_read_only") == [("off",)]


def test_terminate_sessions(cluster: PostgresCluster) -> None:
    others = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    with connect(cluster, "n1") as conn:
        wait_until(lambda: cluster.execute("n1", others) == [(1,)], "the sessions of before have ended")
        assert cluster.terminate_sessions("n1") == 1
        with pytest.raises(psycopg.errors.AdminShutdown):
            conn.execute("SELECT 1")


def test_total_outage_and_restart_keep_the_data(cluster: PostgresCluster) -> None:
    ask(cluster, "n1", "CREATE TABLE kept AS SELECT 1 AS a")
    for name in cluster.nodes:
        cluster.kill(name)
    cluster.start()
    cluster.stop()
    assert all(cluster.state(name) == "down" for name in cluster.nodes)
    cluster.start()
    assert ask(cluster, "n1", "SELECT a FROM kept") == [(1,)]
    ask(cluster, "n1", "DROP TABLE kept")


def test_heal_leaves_a_healthy_cluster_alone(cluster: PostgresCluster) -> None:
    pids = [cluster.pid(name) for name in cluster.nodes]
    with connect(cluster, "n1") as conn:
        cluster.heal()
        conn.execute("SELECT 1")
    assert [cluster.pid(name) for name in cluster.nodes] == pids


def test_tls_and_a_synchronous_standby_on_the_system_s_server() -> None:
    cluster = PostgresCluster(2, tls=True, sync=True, max_connections=50)
    with cluster:
        folder = cluster.directory
        with connect(cluster, "n1", f"?sslmode=verify-full&sslrootcert={cluster.ca_file}") as conn:
            assert conn.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchall() == [(True,)]
        assert ask(cluster, "n1", "SHOW max_connections") == [("50",)]
        assert ask(cluster, "n1", "SELECT sync_state FROM pg_stat_replication") == [("quorum",)]
        cluster.kill("n2")
        cluster.execute("n1", "CREATE TABLE t (a int)")  # does not wait for the standby
    assert not folder.exists()
    with pytest.raises(StartError, match="has not been started"):
        _ = cluster.directory


def test_binaries_the_server_s_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    hidden = copy_server(find_binaries("wheel"), tmp_path)
    tmp_path.chmod(0o700)
    cluster = PostgresCluster(1, server=str(hidden))
    for _ in range(2):  # a closed cluster can be started anew
        with cluster:
            assert ask(cluster, "n1", "SELECT 1") == [(1,)]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(StartError, match="must be 'wheel', 'system' or a folder"):
        PostgresCluster(server="/nowhere")
    with pytest.raises(ValueError, match="at least one node"):
        PostgresCluster(0)
    with pytest.raises(ValueError, match="without tls=True"):
        _ = PostgresCluster().ca_file
