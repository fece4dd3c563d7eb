"""What has changed between two readings of a file, by its values."""

from __future__ import annotations

from pathlib import Path

from clustersql.config.file import ClusterConfig, read
from clustersql.config.reread import Changes, changes

TWO = """
[[clusters.shop.nodes]]
name = "a"
url = "mysql://app:secret@dba/shop"

[[clusters.shop.nodes]]
name = "b"
url = "mysql://app:secret@dbb/shop"
"""


def config(folder: Path, knobs: str = "", nodes: str = TWO) -> ClusterConfig:
    path = folder / "shop.toml"
    path.write_text(f"[clusters.shop]\n{knobs}\n{nodes}")
    [found] = read(path)
    return found


def test_nothing_has_changed(tmp_path: Path) -> None:
    one = config(tmp_path, "max_size = 5")
    found = changes(one, config(tmp_path, "max_size = 5"))
    assert (dict(found.knobs), found.fixed, found.relisted, found.kept) == ({}, (), False, one)


def test_knobs_that_can_change_and_those_that_cannot(tmp_path: Path) -> None:
    one = config(tmp_path, 'driver = "pymysql"\nmax_size = 5\ntimeout = 3')
    other = config(tmp_path, 'driver = "mysqlclient"\nmax_size = 8\ndiscover = true')
    found = changes(one, other)
    assert (dict(found.knobs), found.fixed) == ({"max_size": 8, "timeout": 30.0}, ("driver", "discover"))
    again = changes(found.kept, other)
    assert (dict(again.knobs), again.fixed) == ({}, ("driver", "discover")), "it is named until a new process takes it"


def test_nodes(tmp_path: Path) -> None:
    def after(before: str, text: str, by: str) -> Changes:
        return changes(config(tmp_path), config(tmp_path, before, TWO.replace(text, by)))

    def kinds(found: Changes) -> tuple[tuple[str, ...], ...]:
        return found.came, found.gone, found.moved, found.altered

    assert kinds(after("", '"b"', '"c"')) == (("c",), ("b",), (), ())
    assert kinds(after("", "dbb", "dbc")) == ((), (), ("b",), ())
    assert kinds(after("", "secret@dbb", "other@dbb")) == ((), (), (), ("b",))
    weighed = after('policy = "weighted"', 'name = "b"', 'name = "b"\nweight = 3.0')
    assert (kinds(weighed), weighed.relisted) == (((), (), (), ()), True)
