"""`clustersql.reload`: the rules, and every way in which a file can be wrong; on SQLite, which needs no server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import clustersql
from clustersql import Cluster, ConfigError
from clustersql.config.reread import Reloaded

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes the file: a cluster's knobs, and its nodes by their names, each a database of that name."""
    path = tmp_path / "clusters.toml"

    def write(*nodes: str, knobs: str = "", more: str = "") -> Path:
        tables = "".join(
            f'[[clusters.shop.nodes]]\nname = "{name[0]}"\ndatabase = "{tmp_path / name}.db"\n' for name in nodes
        )
        path.write_text(f'[clusters.shop]\ndriver = "sqlite3"\n{knobs}\n{tables}\n{more}')
        return path

    yield write
    for name in clustersql.registered():
        clustersql.unregister(name)


def names(cluster: Cluster) -> list[str]:
    """In the order of the view."""
    return [node.name for node in cluster.view]


def test_what_came_what_went_and_the_order_are_published_at_once(write: Write) -> None:
    [shop] = clustersql.load(write("a", "b", "c"))
    seen: list[list[str]] = []
    shop._topology.listeners.append(lambda view: seen.append([node.name for node in view]))
    [told] = clustersql.reload(write("c", "d", "a"))
    assert told == Reloaded("shop", added=("d",), drained=("b",))
    assert (names(shop), seen, shop.nodes) == (["c", "d", "a"], [["c", "d", "a"]], ["a", "c", "d"])


def test_a_node_that_has_changed_is_replaced(write: Write) -> None:
    [shop] = clustersql.load(write("a1"))
    db = shop.open()
    db.execute("CREATE TABLE first (n)")
    with db.connection() as conn:
        conn.cursor().execute("INSERT INTO first VALUES (1)")
        [told] = clustersql.reload(write("a2"))
        conn.cursor().execute("INSERT INTO first VALUES (2)")
    assert told.replaced == ("a",)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [], "new work goes to the new place"
    clustersql.reload(write("a1"))
    assert db.execute("SELECT n FROM first").fetchall() == [(1,), (2,)], "what was under way has ended normally"


def test_knobs_change_and_what_cannot_is_named(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    [shop] = clustersql.load(write("a", knobs="max_size = 3\ntimeout = 2"))
    db = shop.open()
    path = write("a", knobs='max_size = 5\ncommit_guard_table = "other"\nasync_driver = "aiosqlite"')
    for _ in range(2):
        [told] = clustersql.reload(path)
        assert told.fixed == ("async_driver", "commit_guard_table")
        assert "only a new process can take" in caplog.text
        caplog.clear()
    assert (db.stats()["max_size"], shop._topology.settings.timeout) == (5, 30.0)


def test_what_the_program_did_stays(write: Write) -> None:
    [shop] = clustersql.load(write("a", "b", "c"))
    shop.add_node("x", database=":memory:")
    shop.remove_node("b")
    shop.reconfigure(max_size=4)
    assert clustersql.reload() == (Reloaded("shop"),), "nothing in the file has changed"
    clustersql.reload(write("c", "b", "a", knobs="timeout = 5"))
    assert (names(shop), shop._topology.settings.max_size) == (["c", "a", "x"], 4)


WRONG = {
    "a mistake in a knob": (lambda write: write("a", "d", knobs="max_size = 0"), "max_size"),
    "two mistakes": (lambda write: write("a", "d", knobs='max_size = 0\npolicy = "none"'), "2 mistakes"),
    "a mistake of another cluster": (lambda write: write("a", "d", more="[clusters.other]\n"), "clusters.other"),
    "an empty file": (lambda write: write("a").write_text(""), "is empty"),
    "half written": (lambda write: write("a").write_text(write("a", "d").read_text()[:-9]), "clusters.toml"),
    "no nodes": (lambda write: write(), "no nodes"),
    "it vanished": (lambda write: write("a").unlink(), "cannot be read"),
    "a driver's own": (lambda write: write("a", more=NODE.format('url = "mysql://app@db/shop"')), "sqlite"),
    "a name that the program has taken": (lambda write: write("a", more=NODE.format('database = "x.db"')), "added one"),
}
NODE = '[[clusters.shop.nodes]]\nname = "x"\n{}\n'


@pytest.mark.parametrize("wrong", WRONG)
def test_with_a_mistake_nothing_is_changed(write: Write, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    [shop] = clustersql.load(write("a", "b"))
    if "taken" in wrong:
        shop.add_node("x", database=":memory:")
    before, settings = shop.view, shop._topology.settings
    change, told = WRONG[wrong]
    change(write)  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match=told):
        clustersql.reload()
    assert (shop.view, shop._topology.settings) == (before, settings)
    assert [level for name, level, text in caplog.record_tuples if "nothing is changed" in text] == [logging.ERROR]
    clustersql.reload(write("b"))
    assert names(shop)[0] == "b", "and the next good file is taken"


OTHER = '[clusters.other]\ndriver = "sqlite3"\n[[clusters.other.nodes]]\nname = "o"\ndatabase = "o.db"\n'


def test_one_mistake_in_one_cluster_leaves_the_others_as_they_are_too(write: Write) -> None:
    shop, other = clustersql.load(write("a", more=OTHER))
    other.add_node("p", database=":memory:")
    with pytest.raises(ConfigError, match="cluster 'other': node 'p': the program has added one"):
        clustersql.reload(write("b", more=OTHER + OTHER.partition("\n")[2].partition("\n")[2].replace('"o"', '"p"')))
    assert names(shop) == ["a"]


def test_a_cluster_that_vanished_goes_on_and_a_new_one_is_not_opened(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    _, other = clustersql.load(write("a", more=OTHER))
    more = OTHER.replace("clusters.other", "clusters.third")
    assert clustersql.reload(write("b", more=more)) == (
        Reloaded("shop", added=("b",), drained=("a",)),
        Reloaded("other", vanished=True),
        Reloaded("third", new=True),
    )
    assert (names(other), sorted(clustersql.registered())) == (["o"], ["other", "shop"])
    assert "goes on as it was" in caplog.text
    assert "was not opened" in caplog.text


def test_which_files_are_read(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no registered cluster has a file; load\(\) one first"):
        clustersql.reload()
    [shop] = clustersql.load(write("a", more=OTHER), name="shop")
    with pytest.raises(ConfigError, match=r"other\.toml: no registered cluster was loaded from it; loaded were .*clus"):
        clustersql.reload(tmp_path / "other.toml")
    assert clustersql.reload(write("a", "b", more=OTHER)) == (Reloaded("shop", added=("b",)),), "only it was asked for"
    assert names(shop) == ["a", "b"]


def test_a_file_in_the_ancestor_s_form(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = '[[Nodes]]\nName = "{0}"\nHostName = "{0}"\nPort = 3306\nUserName = "u"\nPassword = "p"\nDBName = "d"\n'
    path.write_text(text.format("a"))
    [old] = clustersql.load(path, name="old", driver="pymysql")
    try:
        path.write_text(text.format("b") + text.format("a"))
        assert clustersql.reload() == (Reloaded("old", added=("b",)),)
        assert names(old) == ["b", "a"]
    finally:
        clustersql.unregister("old")
