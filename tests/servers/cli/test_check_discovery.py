"""`clustersql check` of a cluster that discovers its members: who was found, who cannot be, and what is
missing for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.patroni import FakePatroni, member

from clustersql import Cluster
from clustersql.cli.check.members import several_addresses
from clustersql.testing import FaultProxy, PostgresCluster


@pytest.fixture
def servers(postgres_cluster: PostgresCluster) -> PostgresCluster:
    postgres_cluster.heal()
    return postgres_cluster


def check(cli: Callable, tmp_path: Path, servers: PostgresCluster, user: str = "app", **address_map: str) -> Any:
    """Run the check with only "n1" configured."""
    lines = "".join(f'"{key}" = "{to}"\n' for key, to in {"127.0.0.1": "127.0.0.1", **address_map}.items())
    url = servers.dsn("n1").replace("//app", f"//{user}")
    text = f'[clusters.shop]\ndriver = "psycopg"\ndiscover = true\n[clusters.shop.address_map]\n{lines}'
    (tmp_path / "config.toml").write_text(f'{text}[[clusters.shop.nodes]]\nname = "n1"\nurl = "{url}"\n')
    return cli("check", tmp_path / "config.toml", "--json", "--max-connections", 2, "--timeout", 20)


def at(servers: PostgresCluster, node: str) -> str:
    return f"127.0.0.1:{servers.port(node)}"


def said(items: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(item["node"], item["what"]) for item in items}


def test_members_are_found_and_checked(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    n2, n3 = at(servers, "n2"), at(servers, "n3")
    ran = check(cli, tmp_path, servers, n2=n2, n3=n3, n9="db9:5432")
    assert ran.status == 0, ran.findings
    found = {node["name"]: (node["role"], node["discovered"]) for node in ran.json["nodes"]}
    assert found == {"n1": ("primary", False), n2: ("replica", True), n3: ("replica", True)}
    assert {name for step in ran.json["steps"] for name in step["seen"]} == {n2, n3}
    notes = said(ran.json["notes"])
    assert (n2, "discovered: reported as n2 127.0.0.1, by n1") in notes
    assert ("", "address_map: n9 matches nothing that is reported now") in notes


def test_what_cannot_be_reached_is_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    with FaultProxy(servers.port("n2")) as proxy:
        nowhere = f"127.0.0.1:{proxy.port}"
    ran = check(cli, tmp_path, servers, n2=nowhere, n3=at(servers, "n3"))
    assert ran.status == 1
    [finding] = ran.findings
    assert f"discovery: {nowhere} is reported and does not answer: " in str(finding)
    assert {node["name"] for node in ran.json["nodes"]} == {"n1", at(servers, "n3")}


def test_a_missing_privilege_is_a_finding(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    servers.execute("n1", "DROP ROLE IF EXISTS meek")
    servers.execute("n1", "CREATE ROLE meek LOGIN PASSWORD 'secret'")
    ran = check(cli, tmp_path, servers, user="meek")
    why = "n1 could not tell the members: meek may not see its replication: GRANT pg_monitor TO meek"
    assert ("", f"discovery: {why}") in said(ran.json["findings"])
    assert [node["name"] for node in ran.json["nodes"]] == ["n1"]


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"two": ["10.0.0.2", "10.0.0.1"], "both": ["10.0.0.1", "::1"], "one": ["10.0.0.1"]}

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        return [(0, 0, 0, "", (address, 0)) for address in records[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    cluster = Cluster("named", driver="psycopg")
    for name in (*records, "nowhere"):
        cluster.add_node(name, host=name, user="app")
    found = {name: several_addresses(cluster._topology, name) for name in cluster.nodes}
    assert found == {"two": ["10.0.0.1", "10.0.0.2"], "both": [], "one": [], "nowhere": []}


def ask_patroni(cli: Callable, tmp_path: Path, servers: PostgresCluster, url: str) -> Any:
    """Run the check with only "n1" configured, and Patroni asked for the others."""
    text = f'[clusters.shop]\ndriver = "psycopg"\ndiscover = "patroni"\npatroni = ["{url}"]\n'
    text += '[clusters.shop.address_map]\n"127.0.0.1" = "127.0.0.1"\n'
    (tmp_path / "config.toml").write_text(f'{text}[[clusters.shop.nodes]]\nname = "n1"\nurl = "{servers.dsn("n1")}"\n')
    return cli("check", tmp_path / "config.toml", "--json", "--max-connections", 2, "--timeout", 20)


def test_patroni_is_asked(servers: PostgresCluster, tmp_path: Path, cli: Callable) -> None:
    n2, n3 = at(servers, "n2"), at(servers, "n3")
    told = [
        member(name, "127.0.0.1", servers.port(name), "leader" if name == "n1" else "replica") for name in servers.nodes
    ]
    with FakePatroni(told) as patroni:
        patroni.more["pause"] = True
        ran = ask_patroni(cli, tmp_path, servers, patroni.url)
        assert ran.status == 0, ran.findings
        assert {node["name"]: node["discovered"] for node in ran.json["nodes"]} == {"n1": False, n2: True, n3: True}
        notes = said(ran.json["notes"])
        assert (n2, f"discovered: reported as n2 {n2}, by Patroni") in notes
        assert ("", "discovery: Patroni is paused: nobody takes over from a primary that fails") in notes
        patroni.answer = lambda: (200, b"<html>a login page</html>")
        ran = ask_patroni(cli, tmp_path, servers, patroni.url.replace("//", "//monitor:s3cret@"))
        assert ran.status == 1
        assert [node["name"] for node in ran.json["nodes"]] == ["n1"]
        where = f"http://monitor:***@127.0.0.1:{patroni.port}"
        why = f"discovery: Patroni could not tell the members: {where}: its answer is no JSON"
        assert said(ran.json["findings"]) == {("", why)}
        assert "s3cret" not in str(ran.json)
