"""``clustersql route`` on files of SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

NODE = '[[clusters.{0}.nodes]]\nname = "{1}"\ndatabase = "{2}"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    text = '[clusters.books]\ndriver = "sqlite3"\n' + NODE.format("books", "a", tmp_path / "books.db")
    text += NODE.format("books", "b", tmp_path / "no" / "such.db")
    file.write_text(
        text + '[clusters.broken]\ndriver = "sqlite3"\n' + NODE.format("broken", "x", tmp_path / "no" / "x")
    )
    return file


def test_it_says_who_would_serve_and_what_keeps_the_others_out(config: Path, cli: Callable) -> None:
    ran = cli("route", config, "--cluster", "books", "--read-only")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("cluster books: a: any node is asked for, and it is the only one that can serve\n")
    assert "->  a" in ran.out
    assert "reachability: down" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_none_that_can_serve_is_status_1_and_json_says_all(config: Path, cli: Callable) -> None:
    ran = cli("route", config, "--json")
    assert ran.status == 1
    good, bad = json.loads(ran.out)
    assert (good["cluster"], good["node"], bad["cluster"], bad["node"]) == ("books", "a", "broken", "")
    assert "reachability: down" in bad["candidates"][0]["against"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--after", "x"), "--after is for reads: give --read-only too"),
        (
            ("--max-lag", "soon"),
            "max_lag: must be a number of seconds above 0, at most a year, or a text such as 2s or 16MB",
        ),
        (("--max-lag", "2s"), "max_lag: the lag of a sqlite database cannot be measured here"),
        (("--node", "aa"), "has no node 'aa'; did you mean a?"),
        (("--role", "boss"), "role: must be one of primary, replica, any"),
        (("--read-only", "--after", "x"), "after:"),
        (("--cluster", "boks"), "no cluster 'boks'; it has books, broken"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(
    config: Path, cli: Callable, arguments: tuple[str, ...], said: str
) -> None:
    ran = cli("route", config, *(() if "--cluster" in arguments else ("--cluster", "books")), *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_cluster_for_asyncio_alone_needs_a_driver(tmp_path: Path, cli: Callable) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[clusters.books]\nasync_driver = "aiosqlite"\n' + NODE.format("books", "a", tmp_path / "books.db"))
    ran = cli("route", file)
    assert (ran.status, ran.err) == (
        2,
        "clustersql: cluster 'books' has no driver for threads: give one with --driver\n",
    )
    assert cli("route", file, "--driver", "sqlite3").status == 0
