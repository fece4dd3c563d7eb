"""What is known of one database stands in its dialect: the core reads it there, and names none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clustersql.core.statements.flatten import Lexicon, flatten, shown
from clustersql.core.statements.pins import pin_of
from clustersql.core.statements.rules import Rules
from clustersql.core.statements.traits import traits
from clustersql.dialects import by_name

NOTHING = Rules(
    reading=frozenset({"select"}),
    stateless=frozenset({"select"}),
    implicit_commit=frozenset(),
    pure_functions=frozenset(),
    functions_with_effect=frozenset(),
)


def test_a_lexicon_says_how_comments_and_quotes_are_written() -> None:
    ours = Lexicon(line=r";;[^\n]*", quotes=r"<[^>]*(?:>|\Z)", literals="'<")
    assert flatten("SELECT a -- b", ours) == "select a -- b"
    assert shown("SELECT 'a', <b>", ours) == "SELECT '...', '...'"
    assert flatten("select 1 /* a /* b */", Lexicon()) == "select 1"
    assert flatten("select 1 /* a /* b */", Lexicon(nested=True)) is None


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        ("select :a", replace(NOTHING, variables=":a")),
        ("select a from scratch.t", replace(NOTHING, temporary=r"\bscratch\.")),
        ("listen a", replace(NOTHING, never_commit=frozenset({"listen"}))),
    ],
)
def test_a_list_of_the_dialect_decides(sql: str, rules: Rules) -> None:
    assert traits(sql, rules) != traits(sql, NOTHING)
    assert traits(sql, rules).leaves_state


def test_a_word_that_is_no_call_is_the_dialect_s() -> None:
    assert traits("select vector (3)", NOTHING).leaves_state
    assert not traits("select vector (3)", replace(NOTHING, not_called=frozenset({"vector"}))).leaves_state
    assert traits("select vector (3)", by_name("mysql").rules).leaves_state


def test_what_commits_beside_the_leading_words_is_the_dialect_s() -> None:
    assert not traits("set autocommit = 1", NOTHING).may_commit
    assert traits("set autocommit = 1", replace(NOTHING, committing="set .*autocommit")).may_commit


def test_why_a_statement_keeps_its_connection_is_the_dialect_s() -> None:
    assert pin_of("subscribe a", NOTHING).why == "it is not known to leave no state"
    assert pin_of("subscribe a", replace(NOTHING, why_leading={"subscribe": "news come here"})).why == "news come here"
    assert pin_of("select keep()", replace(NOTHING, why_called=(("keep", "it keeps"),))).why == "it keeps"
    assert pin_of("select :a", replace(NOTHING, variables=":a")).why == "a user variable lives in its session"
