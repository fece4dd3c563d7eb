"""Zones as they are written: of the cluster, of its nodes, in code, in a URL and in a file, and what is wrong with
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import ConfigError
from clustersql.config.dsn import parse
from clustersql.config.file import read
from clustersql.config.knobs import changed, settings

FILE = """
[clusters.shop]
driver = "sqlite3"
zone = "${SHOP_ZONE}"
zone_map = { "10.0.1.0/24" = "eu-1a", "db-0" = "eu-1b" }
[[clusters.shop.nodes]]
name = "n1"
database = "one.db"
zone = "eu-1a"
[[clusters.shop.nodes]]
name = "n2"
url = "sqlite:///two.db?zone=${SHOP_OTHER}"
"""


@pytest.mark.parametrize("zone", ["eu-1a", "europe-west1-b", "rack:7/b", "Zürich"])
def test_what_a_zone_may_be_called(zone: str) -> None:
    assert settings(zone=zone).zone == zone
    assert parse("n1", "postgresql://db1/shop", {"zone": zone}).zone == zone


def test_a_zone_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ZONE", "eu-1b\n")
    assert settings(zone="${SHOP_ZONE}").zone == "eu-1b"
    monkeypatch.setenv("SHOP_ZONE", "")
    assert settings(zone="${SHOP_ZONE}", zone_preference=3, zone_map={"db": "a"}).zone == ""


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"zone": "${NOT_SET_ZONE}"}, "zone: .*the environment variable NOT_SET_ZONE is not set; set it to nothing"),
    ({"zone": "eu 1a"}, "zone: .*'eu 1a' is no zone's name"),
    ({"zone": 3}, "zone: must be a zone's name, such as eu-1a, .*not 3"),
    ({"zone": "a", "zone_preference": 0.5}, "zone_preference: must be a number from 1 to 1000, not 0.5"),
    ({"zone": "a", "zone_preference": float("nan")}, "zone_preference: must be a number from 1 to 1000"),
    ({"zone": "a", "zone_preference": True}, "zone_preference: must be a number from 1 to 1000, not True"),
    ({"zone_preference": 3.0}, "zone_preference: is for the zone that the program runs in: set zone as well"),
    ({"zone_map": {"db": "a"}}, "zone_map: is for the zone that the program runs in: set zone as well"),
    ({"zone": "a", "zone_map": {"10.0.0.0/33": "a"}}, "zone_map: .*the key '10.0.0.0/33' is neither a name"),
    ({"zone": "a", "zone_map": {"db": "a b"}}, "zone_map: .*'db' leads to 'a b', which is no zone's name"),
    ({"zone": "a", "zone_map": {"db": 1}}, "zone_map: .*'db' leads to 1"),
    ({"zone": "a", "zone_map": ["db"]}, "zone_map: must be a table of zones"),
    ({"zone_mpa": {}}, "did you mean zone_map?"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_what_is_wrong_with_a_zone(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(**given)


def test_what_is_wrong_with_a_node_s_zone() -> None:
    with pytest.raises(ConfigError, match=r"node 'n1': zone: must be a zone's name, such as eu-1a, .*not 'eu 1a'"):
        parse("n1", "postgresql://db1/shop", {"zone": "eu 1a"})
    with pytest.raises(ConfigError, match="zone must be a zone's name"):
        parse("n1", "postgresql://db1/shop?zone=eu%201a", {})
    with pytest.raises(ConfigError, match="zone must be"):
        parse("n1", "postgresql://db1/shop?zone=${1}", {})


def test_a_node_s_zone_without_the_cluster_s_is_a_mistake() -> None:
    cluster = clustersql.Cluster("shop", driver="sqlite3")
    with pytest.raises(ConfigError, match="node 'n1': zone: the cluster has no zone to compare it with"):
        cluster.add_node("n1", database=":memory:", zone="a")
    cluster.reconfigure(zone="")
    cluster.add_node("n1", database=":memory:", zone="a")
    with pytest.raises(ConfigError, match="zone: node 'n1' has zone, but the cluster has no zone"):
        cluster.reconfigure(zone=None)
    cluster.reconfigure(zone="b")
    assert cluster.snapshot().knobs["zone"] == "b"
    assert cluster.view.zone(cluster.view.nodes[0]) == "a"


def test_zones_can_change_while_traffic_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ZONE", "b")
    before = settings(zone="a")
    after, found = changed(before, {"zone": "${SHOP_ZONE}", "zone_preference": 3, "zone_map": {"db": "b"}})
    assert (found, after.zone, after.zone_preference, dict(after.zone_map or {})) == ([], "b", 3.0, {"db": "b"})
    assert changed(after, {"zone": None})[1]  # the map would count for nothing


def test_zones_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ZONE", "eu-1b")
    monkeypatch.setenv("SHOP_OTHER", "eu-1b")
    path = tmp_path / "config.toml"
    path.write_text(FILE, "utf-8")
    [cluster] = clustersql.load(path)
    try:
        assert [cluster.view.zone(node) for node in cluster.view] == ["eu-1a", "eu-1b"]
        assert cluster.snapshot().knobs["zone_map"] == {"10.0.1.0/24": "eu-1a", "db-0": "eu-1b"}
        path.write_text(FILE.replace('zone = "eu-1a"', 'zone = "eu-1c"'), "utf-8")
        [told] = clustersql.reload(path)
        assert [cluster.view.zone(node) for node in cluster.view] == ["eu-1c", "eu-1b"]
        assert (told.replaced, told.knobs) == ((), ())
        path.write_text(FILE.replace("SHOP_OTHER", "SHOP_NOT_SET"), "utf-8")
        with pytest.raises(ConfigError, match="node 'n2': zone: the environment variable SHOP_NOT_SET is not set"):
            clustersql.reload(path)
        assert [cluster.view.zone(node) for node in cluster.view] == ["eu-1c", "eu-1b"]
    finally:
        clustersql.unregister(cluster.name)


def test_every_mistake_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    wrong = FILE.replace("${SHOP_ZONE}", "${NOT_SET_ZONE}").replace('zone = "eu-1a"', 'zone = "eu 1a"')
    path.write_text(wrong.replace("10.0.1.0/24", "10.0.1.0/99"), "utf-8")
    with pytest.raises(ConfigError) as raised:
        read(path)
    for said in ("NOT_SET_ZONE is not set", "nodes[0].zone: must be", "the key '10.0.1.0/99'"):
        assert said in str(raised.value)
    path.write_text(FILE.replace('zone = "${SHOP_ZONE}"\n', "").replace("zone_map", "# zone_map"), "utf-8")
    with pytest.raises(ConfigError, match=r"nodes\[0\]\.zone: the cluster has no zone to compare it with"):
        read(path)
