"""What `check` says of settings that weaken a guarantee, of replicas that are behind, and of older histories: each in
plain words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import Cluster, ConfigError
from clustersql.cli.check.cluster import FAR_BEHIND, MANY_BEHIND, _backlog, _durability, _histories
from clustersql.cli.check.result import ClusterResult, NodeResult
from clustersql.cli.check.zones import zone_in, zoned
from clustersql.core.view.node import Epoch, Report, Role


class Wire:
    """A node that has these settings, whatever it is asked."""

    def __init__(self, node: str, **settings: str) -> None:
        self.node, self.settings = node, settings

    def execute(self, statement: str) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.settings.items() if f"'{name}'" in statement]


def said(dialect: str, *wires: Wire, **knobs: Any) -> list[tuple[str, str]]:
    topology = Cluster("shop", driver="sqlite3", dialect=dialect, **knobs)._topology
    result = ClusterResult("shop", "sqlite3")
    wanted: Sequence[Any] = wires
    _durability(topology, wanted, result)
    assert result.findings == []
    return [(note.node, note.what) for note in result.notes]


NODE_LOST = "an acknowledged commit"
RISKY = [
    ("postgresql", "synchronous_commit", "off", "on", NODE_LOST),
    ("postgresql", "synchronous_commit", "local", "on", NODE_LOST),
    ("postgresql", "synchronous_standby_names", "", "ANY 1 (n2, n3)", NODE_LOST),
    ("postgresql", "fsync", "off", "on", NODE_LOST),
    ("mysql", "innodb_flush_log_at_trx_commit", "0", "1", NODE_LOST),
    ("mysql", "innodb_flush_log_at_trx_commit", "2", "1", NODE_LOST),
]


@pytest.mark.parametrize(("dialect", "name", "weak", "strong", "words"), RISKY)
def test_a_setting_with_which_a_commit_can_be_lost_is_noted_at_its_node(
    dialect: str, name: str, weak: str, strong: str, words: str
) -> None:
    [(node, what)] = said(dialect, Wire("n1", **{name: strong}), Wire("n2", **{name: weak}))
    assert node == "n2"
    assert what.startswith(f"{name} is {weak or 'empty'}: ")
    assert words in what


@pytest.mark.parametrize(
    ("name", "weak", "strong", "words"),
    [
        ("wsrep_sync_wait", "0", "1", "may not see what was just committed on another"),
        ("innodb_snapshot_isolation", "OFF", "ON", "may overwrite a change that it has not seen"),
    ],
)
def test_several_writers_on_galera_need_settings_that_one_does_not(
    name: str, weak: str, strong: str, words: str
) -> None:
    galera, single = Wire("n1", wsrep_on="ON", **{name: weak}), Wire("n1", wsrep_on="OFF", **{name: weak})
    [(node, what)] = said("mysql", galera, writer="any")
    assert (node, what.startswith(f"{name} is {weak}, and writer is any: "), words in what) == ("n1", True, True)
    assert said("mysql", galera) == [], "with a single writer it does no harm"
    assert said("mysql", single, writer="any") == [], "nor without Galera"
    assert said("mysql", Wire("n1", wsrep_on="ON", **{name: strong}), writer="any") == []


def node(name: str, role: str, position: int | None, number: int = 1, lineage: str = "7") -> NodeResult:
    return NodeResult(name, "", role=role, readiness="ready", epoch=Epoch(lineage, number), position=position)


def told(*nodes: NodeResult) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    result = ClusterResult("shop", "psycopg", list(nodes))
    _histories(result)
    return [(n.node, n.what) for n in result.notes], [(f.node, f.what) for f in result.findings]


def test_a_replica_that_is_more_than_a_segment_behind_is_noted() -> None:
    primary = node("n1", "primary", 100 * FAR_BEHIND)
    behind = [node("n2", "replica", 98 * FAR_BEHIND), node("n3", "replica", 99 * FAR_BEHIND)]
    assert told(primary, *behind) == ([("n2", "it is 32 MB of log behind n1")], [])
    assert told(primary, node("n2", "replica", None)) == ([], [])
    assert told(*behind) == ([], []), "without a primary there is nothing to compare with"


def test_a_replica_that_is_many_transactions_behind_is_noted() -> None:
    result = ClusterResult("shop", "pymysql")
    result.nodes = [
        NodeResult("n1", "127.0.0.1", role="primary", position=MANY_BEHIND + 100),
        NodeResult("n2", "127.0.0.1", role="replica", position=99),
        NodeResult("n3", "127.0.0.1", role="replica", position=100),
        NodeResult("n4", "127.0.0.1", role="replica"),
    ]
    _backlog(result)
    assert [(note.node, note.what) for note in result.notes] == [("n2", "it is 1001 transactions behind n1")]


def test_a_primary_of_an_older_epoch_is_a_finding() -> None:
    notes, findings = told(node("n1", "primary", 10, number=1), node("n2", "primary", 10, number=2))
    assert notes == []
    [(name, what)] = findings
    assert name == "n1"
    assert what.startswith("it is kept out: ")
    assert "timeline" in what


@pytest.mark.parametrize(
    ("driver", "lag", "why"),
    [
        ("sqlite3", "5", "max_lag: the lag of a sqlite database cannot be measured"),
        ("pymysql", "'16MB'", "max_lag: '16MB' is a size, and of a mysql database only the time is known"),
    ],
)
def test_a_max_lag_that_cannot_be_measured_is_told_of_a_file(
    driver: str, lag: str, why: str, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    file = tmp_path / "c.toml"
    url = "sqlite:///a.db" if driver == "sqlite3" else "mysql://app@127.0.0.1:1/shop"
    node = f'[[clusters.shop.nodes]]\nname = "a"\nurl = "{url}"\n'
    file.write_text(f'[clusters.shop]\ndriver = "{driver}"\nmax_lag = {lag}\n{node}')
    with pytest.raises(ConfigError, match=f"cluster 'shop': {why}"):
        clustersql.load(file)
    ran = cli("check", file)
    assert ran.status != 0
    assert why in " ".join((ran.out + ran.err).split())


def zones_noted(zone: str, *places: str) -> list[str]:
    """What is noted where the nodes n1, n2, ... are in these zones, and the program in ``zone``."""
    topology, result = Cluster("shop", driver="sqlite3", zone=zone)._topology, ClusterResult("shop", "sqlite3")
    result.nodes = [NodeResult(f"n{i}", "", authenticated=True, zone=place) for i, place in enumerate(places, 1)]
    zoned(topology, result)
    assert result.findings == []
    return [note.what for note in result.notes]


def test_what_makes_a_zone_worth_little_is_noted() -> None:
    assert zones_noted("eu-1a", "eu-1a", "eu-1a", "eu-1b") == []
    assert zones_noted("", "", "") == []
    [nobody] = zones_noted("eu-1A", "eu-1a", "eu-1b")
    assert "runs in eu-1A, where no node is; did you mean eu-1a?" in nobody
    [alone] = zones_noted("eu-1a", "eu-1a", "eu-1b")
    assert "eu-1a has one node" in alone
    [unknown] = zones_noted("eu-1a", "eu-1a", "eu-1a", "")
    assert "of n3 it is not known" in unknown


def test_the_zone_of_a_server_is_known_by_what_it_says_of_itself() -> None:
    cluster = Cluster("shop", driver="psycopg", zone="a", zone_map={"10.0.2.0/24": "b"})
    cluster.add_node("rw", host="shop-rw", zone="a")
    for server, zone in (("10.0.2.3:5432", "b"), ("10.0.1.3:5432", "a")):
        assert zone_in(cluster._topology, "rw", Report(Role.PRIMARY, server=server)) == zone
    assert zone_in(cluster._topology, "gone", Report(Role.PRIMARY)) == ""
