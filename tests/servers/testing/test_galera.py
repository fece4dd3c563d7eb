"""Every verb of the MariaDB server and the Galera cluster, on real servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from clustersql.testing import GaleraCluster, MariaDBServer, StartError, mariadb
from clustersql.testing.galera import parse_state


@pytest.fixture
def cluster(galera_cluster: GaleraCluster) -> Iterator[GaleraCluster]:
    galera_cluster.heal()
    yield galera_cluster
    galera_cluster.heal()


MAKE = "CREATE OR REPLACE TABLE t (a int PRIMARY KEY)"
SYNCED = "SET wsrep_sync_wait = 15"
"""A statement waits until its node has applied what the others have committed: their tables too."""


def connect(cluster: MariaDBServer, name: str = "n1", **options: Any) -> pymysql.Connection[Any]:
    arguments: dict[str, Any] = {"user": "app", "password": "secret", "database": "app", "ssl_disabled": True} | options
    return pymysql.connect(
        host="127.0.0.1", port=cluster.port(name), autocommit=True, connect_timeout=2, read_timeout=8, **arguments
    )


def ask(cluster: MariaDBServer, name: str, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    with connect(cluster, name, **options) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def refusal(cluster: MariaDBServer, name: str, sql: str) -> int:
    with pytest.raises(pymysql.MySQLError) as caught:
        ask(cluster, name, sql)
    return int(caught.value.args[0])


def test_a_node_whose_port_was_taken_while_it_was_down_comes_back(cluster: GaleraCluster) -> None:
    """By another port: the one for the transactions that it has missed is held only while it asks for them."""
    cluster.stop("n2")
    cluster.execute("n1", "CREATE OR REPLACE TABLE app.missed (n int)")
    _, port, _ = cluster._inner["n2"]
    with socket.create_server(("127.0.0.1", port)):
        cluster.start("n2")
    assert cluster.execute("n2", "SELECT * FROM app.missed") == []
    cluster.execute("n1", "DROP TABLE app.missed")


def test_a_single_server_with_tls() -> None:
    with MariaDBServer(tls=True, max_connections=42) as server:
        folder = server.directory
        options = {"ssl_disabled": False, "ssl_ca": server.ca_file, "ssl_verify_identity": True}
        assert ask(server, "n1", "SHOW STATUS LIKE 'Ssl_version'", **options)[0][1].startswith("TLS")
        assert ask(server, "n1", "SELECT @@max_connections") == [(42,)]
        server.set_read_only("n1")
        assert refusal(server, "n1", "CREATE TABLE t (a int)") == 1290
        server.kill("n1")
        assert refusal(server, "n1", "SELECT 1") == 2003
        server.heal()
        ask(server, "n1", "CREATE TABLE t (a int)")
        server.stop()
        server.start()
        assert ask(server, "n1", "SELECT * FROM t") == []
        conn = connect(server)
        assert server.terminate_sessions("n1") == 1
        with pytest.raises(pymysql.MySQLError), conn.cursor() as cursor:
            cursor.execute("SELECT 1")
        server.freeze("n1")
    assert not folder.exists()


def test_three_synced_nodes_with_their_users(cluster: GaleraCluster) -> None:
    assert cluster.nodes == ["n1", "n2", "n3"]
    assert {cluster.status(name)["wsrep_cluster_size"] for name in cluster.nodes} == {"3"}
    ask(cluster, "n1", MAKE)
    ask(cluster, "n2", "INSERT INTO t VALUES (1)", init_command=SYNCED)
    with connect(cluster, "n3", init_command=SYNCED) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT a FROM t")
        assert cursor.fetchall() == ((1,),)
    ask(cluster, "n3", "DROP TABLE t")
    assert ask(cluster, "n1", "SELECT database()", user="root", password="", database="test") == [("test",)]
    assert ask(cluster, "n1", "SELECT @@bind_address") == [("127.0.0.1",)]
    assert cluster.dsn("n3") == f"mysql://app:secret@127.0.0.1:{cluster.port('n3')}/app"


def test_flags_and_heal(cluster: GaleraCluster) -> None:
    ask(cluster, "n1", MAKE)
    cluster.set_read_only("n1")
    assert refusal(cluster, "n1", "INSERT INTO t VALUES (1)") == 1290
    cluster.desync("n2")
    assert cluster.status("n2")["wsrep_local_state_comment"] == "Donor/Desynced"
    assert ask(cluster, "n2", "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT * FROM t") == []  # the table is on its way
    cluster.reject_queries("n3")
    assert refusal(cluster, "n3", "SELECT * FROM t") == 1047
    cluster.heal()
    for name in cluster.nodes:
        ask(cluster, name, f"INSERT INTO t VALUES ({name[1]})", init_command=SYNCED)
    conn = connect(cluster, "n3")
    cluster.reject_queries("n3", kill=True)
    with pytest.raises(pymysql.MySQLError), conn.cursor() as cursor:
        cursor.execute("SELECT 1")
    cluster.reject_queries("n3", False)
    cluster.desync("n3")
    cluster.desync("n3", False)
    ask(cluster, "n3", "DROP TABLE t")


def test_kill_refuses_and_start_brings_back(cluster: GaleraCluster) -> None:
    ask(cluster, "n1", MAKE)
    cluster.kill("n3")
    assert refusal(cluster, "n3", "SELECT 1") == 2003
    ask(cluster, "n1", "INSERT INTO t VALUES (1)")  # stalls until n3 is expelled
    cluster.start("n3")
    assert ask(cluster, "n3", "SELECT * FROM t") == [(1,)]
    ask(cluster, "n1", "DROP TABLE t")


def test_freeze_hangs_and_thaw_comes_back(cluster: GaleraCluster) -> None:
    cluster.freeze("n3")
    began = time.monotonic()
    with pytest.raises(pymysql.OperationalError):
        pymysql.connect(host="127.0.0.1", port=cluster.port("n3"), user="app", connect_timeout=1, read_timeout=1)
    assert time.monotonic() - began >= 0.9
    cluster.thaw("n3")
    assert cluster.state("n3") == "running"
    assert ask(cluster, "n3", "SELECT 1") == [(1,)]


def test_lost_quorum_and_bootstrap(cluster: GaleraCluster) -> None:
    ask(cluster, "n1", MAKE)
    cluster.kill("n2")
    cluster.kill("n3")
    deadline = time.monotonic() + 10
    while cluster.status("n1").get("wsrep_cluster_status") == "Primary" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert refusal(cluster, "n1", "INSERT INTO t VALUES (1)") == 1047
    with pytest.raises(StartError, match="n2 cannot join, the others have lost the quorum"):
        cluster.start("n2")
    cluster.bootstrap("n1")
    ask(cluster, "n1", "INSERT INTO t VALUES (1)")
    cluster.start()
    assert ask(cluster, "n3", "SELECT * FROM t") == [(1,)]
    ask(cluster, "n1", "DROP TABLE t")


def test_total_outage_starts_from_the_most_advanced_node(cluster: GaleraCluster) -> None:
    ask(cluster, "n1", MAKE)
    cluster.stop("n1")
    ask(cluster, "n2", "INSERT INTO t VALUES (1)", init_command=SYNCED)
    cluster.kill("n2")
    cluster.kill("n3")
    cluster.start()
    assert [ask(cluster, name, "SELECT * FROM t") for name in cluster.nodes] == [[(1,)]] * 3
    ask(cluster, "n1", "DROP TABLE t")


def test_heal_leaves_a_healthy_cluster_alone(cluster: GaleraCluster) -> None:
    pids = [cluster.pid(name) for name in cluster.nodes]
    with connect(cluster, "n1") as conn, conn.cursor() as cursor:
        cluster.heal()
        cursor.execute("SELECT 1")
    assert [cluster.pid(name) for name in cluster.nodes] == pids


def test_the_saved_state_of_a_node(tmp_path: Path) -> None:
    file = tmp_path / "grastate.dat"
    assert parse_state(file) == ("", -1)
    file.write_text("# GALERA saved state\nversion: 2.1\nuuid:    fee3-11f1\nseqno:   17\nsafe_to_bootstrap: 1\n")
    assert parse_state(file) == ("fee3-11f1", 17)
    file.write_text("uuid:    fee3-11f1\nseqno:   -1\n")
    assert parse_state(file) == ("fee3-11f1", -1)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(StartError, match="no nonesuch: install MariaDB"):
        mariadb.find_program("nonesuch")
    with pytest.raises(ValueError, match="a port for each"):
        GaleraCluster(3, ports=[3301])
