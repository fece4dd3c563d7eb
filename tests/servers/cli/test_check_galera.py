"""`clustersql check` on a three-node Galera, from a file in the ancestor's form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustersql.testing import GaleraCluster

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'clustersql_check_%'"


@pytest.fixture
def servers(galera_cluster: GaleraCluster) -> Iterator[GaleraCluster]:
    galera_cluster.heal()
    yield galera_cluster
    galera_cluster.heal()
    assert galera_cluster.execute("n1", TABLES) == []


@pytest.fixture
def file(servers: GaleraCluster, tmp_path: Path) -> Path:
    """As the ancestor's users have it: root without a password, database test."""
    file = tmp_path / "galera.toml"
    file.write_text(
        "".join(
            f'[[Nodes]]\n  Name = "{node}"\n  HostName = "127.0.0.1"\n  Port = {servers.port(node)}\n'
            f'  UserName = "root"\n  DBName = "test"\n\n'
            for node in servers.nodes
        )
    )
    return file


def test_every_node_is_written_to_and_seen_on_every_other(
    file: Path, servers: GaleraCluster, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBCONFIG", str(file))
    ran = cli("check", "--json", "--timeout", 20)
    assert (ran.status, ran.findings) == (0, [])
    assert (ran.json["name"], ran.json["driver"]) == ("default", "pymysql")
    assert [(node["role"], node["readiness"], node["grants"]) for node in ran.json["nodes"]] == [
        ("primary", "ready", True)
    ] * 3
    assert all("MariaDB" in node["version"] and abs(node["clock"]) < 1 for node in ran.json["nodes"])
    assert [step["on"] for step in ran.json["steps"]] == ["n1"] * 6 + ["n2"] * 6 + ["n3"] * 6
    assert all(
        sorted([step["on"], *step["seen"]]) == ["n1", "n2", "n3"] and None not in step["seen"].values()
        for step in ran.json["steps"]
    )
    assert [crowd["reached"] for crowd in ran.json["crowds"]] == [20, 20, 20]


def test_name_and_driver_may_be_given(file: Path, cli: Callable) -> None:
    ran = cli("check", file, "--name", "write_conn", "--driver", "mysqlclient", "--max-connections", 2, "--timeout", 20)
    assert ran.status == 0
    assert ran.out.startswith("cluster write_conn (driver mysqlclient)")
    assert "wsrep_sync_wait is 0, and writer is any" in " ".join(ran.out.split())
    assert "note n1, n2, n3: innodb_flush_log_at_trx_commit is 2" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_stopped_node_and_a_wrong_password_are_findings(file: Path, servers: GaleraCluster, cli: Callable) -> None:
    servers.stop("n3")
    text = file.read_text().split("\n\n")
    text[1] += '\n  Password = "Wr0ng"'
    file.write_text("\n\n".join(text))
    ran = cli("check", file, "--json", "--max-connections", 2, "--timeout", 20)
    assert ran.status == 1
    (first, refused), (second, stopped) = ran.findings
    assert (first, second) == ("n2", "n3")
    assert refused.startswith("reachable, but it refuses the login: ")
    assert stopped.startswith("not reachable: ")
    assert {step["on"] for step in ran.json["steps"]} == {"n1"}
    assert "Wr0ng" not in ran.out + ran.err
