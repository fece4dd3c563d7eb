"""The cache of what is known of statements: bounded in number and in bytes, and the same for each comment at
the end.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from sys import getsizeof
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clustersql
from clustersql.connection.statements import LONG, MOST, MOST_BYTES, StatementCache
from clustersql.core.statements.flatten import uncommented
from clustersql.core.statements.traits import traits
from clustersql.dialects import by_name

COMMENTS = json.loads((Path(__file__).parents[2] / "scenarios" / "uncommented" / "comments.json").read_text())["cases"]
DIALECTS = ("postgresql", "mysql", "sqlite", "generic")
PIECES = ["select", "1", "(", ")", "'", '"', "`", "$$", "$a$", "--", "-", "/*", "*/", "*", "/", "/*!", "/*+", "/*M!"]
PIECES += [";", "now()", "get_lock()", "@x", " ", "\n", "\r", "[", "]", "#", "commit"]


def notes(dialect: str = "postgresql") -> StatementCache:
    return StatementCache(by_name(dialect).rules)


def held(cache: StatementCache) -> int:
    """Bytes of the texts that the cache keeps alive."""
    return sum(map(getsizeof, {id(text): text for text in (*cache._known, *cache.plain, *cache.proven)}.values()))


@pytest.mark.parametrize("case", COMMENTS, ids=lambda case: f"{case['dialect']}-{case['sql']}")
def test_a_comment_at_the_end(case: dict[str, Any]) -> None:
    bare = uncommented(case["sql"], by_name(case["dialect"]).rules.lexicon)
    assert bare == (case["bare"] or case["sql"]) or case["bare"] is None
    cache = notes(case["dialect"])
    assert cache.look(case["sql"]) == traits(case["sql"], cache.rules), "never more than the whole text proves"
    assert (case["sql"] in cache._known) is (case["bare"] is None)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    pieces=st.lists(st.sampled_from(PIECES)),
    tail=st.sampled_from(["", "/* a */", "-- a", " -- a", "# a", "/*! b() */"]),
)
def test_what_is_told_is_what_the_whole_text_proves(dialect: str, pieces: list[str], tail: str) -> None:
    """Cut from SQL's own tokens, a comment that is none, or that is code, changes nothing of what is known."""
    sql = "".join(pieces) + tail
    cache = notes(dialect)
    assert cache.look(sql) == traits(sql, cache.rules)
    assert cache.look(sql) == traits(sql, cache.rules), "and the same again"


def test_each_comment_is_the_same_statement() -> None:
    """sqlcommenter's, whose quotes are escaped, is another one at each execution."""
    cache = notes()
    for n in range(3 * MOST):
        assert cache.look(f"SELECT a FROM t WHERE b = %s /*route='it\\'s {n}',traceparent='00-{n:032x}-01'*/").plain
        assert cache.look(f"SELECT a FROM t WHERE b = %s -- {n}").read
    assert set(cache._known) == cache.plain == cache.proven == {"SELECT a FROM t WHERE b = %s"}


@pytest.mark.parametrize("length", [100, LONG - 20, LONG + 20, 75_000])
def test_different_texts_do_not_fill_the_memory(length: int) -> None:
    """Literals in the text make each another one; also where all are of the length that is just kept, and of four bytes
    a character.
    """
    cache = notes()
    padding = "\U0001f600" * length
    for n in range(2 * MOST if length < LONG else 1500):
        assert cache.look(f"SELECT '{n} {padding}'").plain
        assert len(cache._known) <= MOST
    assert held(cache) <= MOST_BYTES + 4 * LONG + 100


def test_a_long_text_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its digest; only its text is not kept."""
    cache = notes()
    text = f"SELECT {','.join('1' * 10_000)}"
    first = cache.look(text)
    monkeypatch.setattr("clustersql.connection.statements.traits", None)
    assert cache.look(f"{text[:-1]}1") is first
    assert text not in cache.plain
    lone = cache._known  # and one that no codec can write
    monkeypatch.undo()
    assert cache.look("SELECT '\ud800" + "x" * LONG + "'").plain
    assert len(lone) == 2


def test_what_is_sent_has_its_comment() -> None:
    """It is left out of the look-up only."""
    sent: list[str] = []
    cluster = clustersql.Cluster("commented", driver=sqlite3)
    cluster.add_node("memory", "sqlite://")
    with cluster.open() as db, db.connection() as conn:
        conn._state.session.raw.set_trace_callback(sent.append)  # type: ignore[union-attr]
        for n in range(3):
            conn.cursor().execute(f"SELECT 1 /*n={n}*/")
    assert [text for text in sent if "SELECT" in text] == [f"SELECT 1 /*n={n}*/" for n in range(3)]
