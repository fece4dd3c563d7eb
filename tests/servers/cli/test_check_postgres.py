"""`clustersql check` on a PostgreSQL primary with two standbys."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from clustersql.testing import PostgresCluster

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'clustersql_check_%'"


@pytest.fixture
def servers(postgres_cluster: PostgresCluster) -> Iterator[PostgresCluster]:
    postgres_cluster.heal()
    yield postgres_cluster
    postgres_cluster.heal()
    assert postgres_cluster.execute(postgres_cluster.primary, TABLES) == []


def config(tmp_path: Path, servers: PostgresCluster, more: str = "", **urls: str) -> Path:
    text = f'[clusters.shop]\ndriver = "psycopg"\n{more}\n'
    for node in servers.nodes:
        url = urls.get(node, servers.dsn(node))
        text += f'[[clusters.shop.nodes]]\nname = "{node}"\nurl = "{url}"\n'
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def test_a_good_cluster_has_no_findings(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    ran = cli("check", config(tmp_path, servers), "--json", "--timeout", 20)
    assert (ran.status, ran.findings) == (0, [])
    nodes = {node["name"]: node for node in ran.json["nodes"]}
    assert [nodes[name]["role"] for name in servers.nodes] == ["primary", "replica", "replica"]
    for name, node in nodes.items():
        assert node["reachable"]
        assert node["authenticated"]
        assert node["readiness"] == "ready"
        assert node["version"].startswith("PostgreSQL ")
        assert node["address"] == f"127.0.0.1:{servers.port(name)}"
        assert node["tls"] == ""
        assert abs(node["clock"]) < 1
        assert node["round_trip"] > 0
        assert 0 < node["connect"] < 20
        assert node["max_connections"] == 197
    assert nodes["n1"]["grants"] is True
    steps = [(step["what"], step["on"], sorted(step["seen"])) for step in ran.json["steps"]]
    names = ["create", "empty select", "insert", "select", "update", "delete"]
    assert steps == [(name, "n1", ["n2", "n3"]) for name in names]
    assert all(delay >= 0 for step in ran.json["steps"] for delay in step["seen"].values())
    assert [(crowd["node"], crowd["wanted"], crowd["reached"]) for crowd in ran.json["crowds"]] == [
        (name, 20, 20) for name in servers.nodes
    ]
    assert ran.json["pool"] == {"max_size": 10, "processes": 1, "on_one_node": 11, "room": 197, "fits": True}


def test_the_table_fits_80_columns_and_names_the_settings_that_lose_commits(
    servers: PostgresCluster, tmp_path: Path, cli: Callable
) -> None:
    ran = cli("check", config(tmp_path, servers), "--max-connections", 2, "--timeout", 20)
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "2 of 2 transactions at once on n3" in ran.out
    assert "note n1: synchronous_standby_names is empty" in ran.out
    assert ran.out.rstrip().endswith("good: no findings")


@pytest.mark.parametrize("bound", ["", "max_lag = 5"])
def test_a_user_who_cannot_prove_the_history_of_a_standby_is_told(
    servers: PostgresCluster, tmp_path: Path, cli: Callable, bound: str
) -> None:
    servers.execute("n1", "REVOKE pg_monitor FROM app")
    try:
        ran = cli("check", config(tmp_path, servers, bound), "--json", "--max-connections", 2, "--timeout", 20)
    finally:
        servers.execute("n1", "GRANT pg_monitor TO app")
    told = ran.findings if bound else [(note["node"], note["what"]) for note in ran.json["notes"]]
    asked = {node: what for node, what in told if what.endswith("GRANT pg_monitor TO app")}
    assert set(asked) == {"n2", "n3"}
    assert ran.status == (1 if bound else 0)


def test_a_stopped_node_is_a_finding_and_the_others_are_checked(
    servers: PostgresCluster, tmp_path: Path, cli: Callable
) -> None:
    servers.stop("n3")
    ran = cli("check", config(tmp_path, servers), "--json", "--max-connections", 2, "--timeout", 20)
    assert ran.status == 1
    [(node, what)] = ran.findings
    assert node == "n3"
    assert what.startswith("not reachable: ")
    assert "refused" in what
    assert [sorted(step["seen"]) for step in ran.json["steps"]] == [["n2"]] * 6
    assert [crowd["node"] for crowd in ran.json["crowds"]] == ["n1", "n2"]


def test_a_wrong_password_on_one_node_is_a_finding_without_the_password(
    servers: PostgresCluster, tmp_path: Path, cli: Callable
) -> None:
    file = config(tmp_path, servers, n2=servers.dsn("n2").replace("secret", "Wr0ng"))
    ran = cli("check", file, "--json", "--max-connections", 2, "--timeout", 20)
    assert ran.status == 1
    [(node, what)] = ran.findings
    assert node == "n2"
    assert what.startswith("reachable, but it refuses the login: ")
    assert "password authentication failed" in what
    assert "Wr0ng" not in ran.out + ran.err


def test_a_credentials_provider_that_fails_is_a_finding(
    servers: PostgresCluster, tmp_path: Path, cli: Callable
) -> None:
    """What it said is told; the other nodes, which have none, are checked."""
    where = f'host = "127.0.0.1"\nport = {servers.port("n2")}\ndatabase = "app"\n'
    file = config(tmp_path, servers)
    text = file.read_text().replace(f'url = "{servers.dsn("n2")}"\n', where + 'credentials = "getpass:getuser"\n')
    file.write_text(text)
    ran = cli("check", file, "--json", "--max-connections", 2, "--timeout", 20)
    [(node, what)] = ran.findings
    assert (ran.status, node) == (1, "n2")
    assert "TypeError" in what or "getuser() takes 0 positional arguments" in what


def test_a_frozen_node_costs_one_deadline(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.freeze("n3")
    began = time.monotonic()
    ran = cli("check", config(tmp_path, servers), "--json", "--max-connections", 2, "--timeout", 5)
    assert time.monotonic() - began < 60
    assert ran.status == 1
    [(node, what)] = ran.findings
    assert node == "n3"
    assert what.startswith("not reachable: ")
    assert "timeout" in what or "no answer within 5 s" in what  # the driver's deadline, or ours: whichever is first


def test_a_standby_that_does_not_replay_is_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.execute("n3", "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    servers.execute("n3", "SELECT pg_reload_conf()")
    try:
        ran = cli("check", config(tmp_path, servers), "--json", "--max-connections", 2, "--timeout", 2)
    finally:
        servers.execute("n3", "ALTER SYSTEM RESET recovery_min_apply_delay")
        servers.execute("n3", "SELECT pg_reload_conf()")
    assert ran.status == 1
    assert ran.findings == [("n3", "create on n1 was not seen here within 2 s")]
    assert [step["seen"].get("n3", "not asked") for step in ran.json["steps"]] == [None] + ["not asked"] * 5


def test_a_standby_whose_replay_is_paused_is_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.execute("n3", "SELECT pg_wal_replay_pause()")
    try:
        ran = cli("check", config(tmp_path, servers), "--json", "--max-connections", 2, "--timeout", 2)
    finally:
        servers.execute("n3", "SELECT pg_wal_replay_resume()")
    assert ran.findings == [
        ("n3", "not ready (maintenance): its replay is paused (pg_wal_replay_pause): it shows no new data")
    ]


def test_a_user_who_may_not_create_tables_is_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.execute("n1", "CREATE ROLE reader LOGIN PASSWORD 'secret'")
    try:
        reader = {node: servers.dsn(node).replace("//app:", "//reader:") for node in servers.nodes}
        assert eventually(lambda: servers.execute("n3", "SELECT 1 FROM pg_roles WHERE rolname = 'reader'") == [(1,)])
        ran = cli("check", config(tmp_path, servers, **reader), "--json", "--max-connections", 2, "--timeout", 20)
    finally:
        servers.execute("n1", "DROP ROLE reader")
    assert ran.status == 1
    [(node, what)] = ran.findings
    assert node == "n1"
    assert what.startswith("a table cannot be created in its database (are the grants enough?): permission denied")
    assert [crowd["reached"] for crowd in ran.json["crowds"]] == [2, 2, 2]


def test_a_read_only_cluster_is_not_written_to(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    ran = cli("check", config(tmp_path, servers, "read_only = true"), "--json", "--max-connections", 2)
    assert (ran.status, ran.json["steps"], len(ran.json["crowds"])) == (0, [], 3)
    assert ran.json["pool"]["on_one_node"] == 6  # ten over the two nodes that are left, and one for probes


def test_pools_that_do_not_fit_are_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    file = config(tmp_path, servers)
    ran = cli("check", file, "--json", "--max-connections", 1, "--processes", 18, "--timeout", 20)
    [(node, what)] = ran.findings
    assert (ran.status, node) == (1, "")
    assert what.startswith("18 processes with max_size 10 may open 198 connections on one node")
    assert cli("check", file, "--max-connections", 1, "--processes", 17, "--timeout", 20).status == 0


def test_two_primaries_are_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.execute("n3", "SELECT pg_promote(true, 30)")
    ran = cli("check", config(tmp_path, servers), "--json", "--max-connections", 1, "--timeout", 1)
    assert ("", "n1, n3 all accept writes: they are separate databases (split brain)") in ran.findings
    [kept_out] = [what for node, what in ran.findings if node == "n1" and "kept out" in what]
    assert "it is kept out: an old history: timeline " in kept_out


def test_ctrl_c_drops_the_scratch_table(servers: PostgresCluster, tmp_path: Path) -> None:
    servers.execute("n3", "SELECT pg_wal_replay_pause()")  # so that the check waits while its table is there
    command = [sys.executable, "-m", "clustersql.cli", "check", str(config(tmp_path, servers)), "--timeout", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert eventually(lambda: len(servers.execute("n1", TABLES)) == 1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            servers.execute("n3", "SELECT pg_wal_replay_resume()")
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert servers.execute("n1", TABLES) == []
