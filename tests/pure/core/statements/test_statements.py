"""What a statement's text proves: the scenario files, and properties."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustersql.core.statements import flatten
from clustersql.core.statements.flatten import LONGEST
from clustersql.core.statements.left import Left
from clustersql.core.statements.traits import UNKNOWN, kept, outlasts, several, traits
from clustersql.dialects import by_name

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "statements"
DIALECTS = ("postgresql", "mysql", "sqlite", "generic")
CASES = [
    (scenario["dialect"], case["sql"], case["traits"])
    for scenario in map(json.loads, (path.read_text() for path in sorted(SCENARIOS.glob("*.json"))))
    for case in scenario["cases"]
]
OUTLASTING = [
    (scenario["dialect"], case)
    for scenario in (json.loads(path.read_text()) for path in (SCENARIOS.parent / "outlasting").glob("*.json"))
    for case in scenario["cases"]
]
LEFT = [
    (scenario["dialect"], case)
    for scenario in (json.loads(path.read_text()) for path in (SCENARIOS.parent / "left").glob("*.json"))
    for case in scenario["cases"]
]
KEPT = json.loads((SCENARIOS.parent / "kept" / "postgresql.json").read_text())["cases"]
PLAIN_TEXT = st.text(st.characters(blacklist_characters="'\\\x00", blacklist_categories=["Cs"]))


def told(dialect: str, sql: object) -> list[str]:
    found = traits(sql, by_name(dialect).rules)
    return sorted(name for name in found.__slots__ if name != "renews" and getattr(found, name))


@pytest.mark.parametrize(("dialect", "sql", "expected"), CASES)
def test_scenario(dialect: str, sql: str, expected: list[str]) -> None:
    assert told(dialect, sql) == sorted(expected)


@pytest.mark.parametrize(("dialect", "case"), LEFT, ids=lambda value: value if isinstance(value, str) else value["sql"])
def test_what_is_left_for_a_later_statement(dialect: str, case: dict[str, Any]) -> None:
    found = traits(case["sql"], by_name(dialect).rules)
    assert [one.name for one in Left if one in found.asks] == [one.name for one in Left if one.name in case["asks"]]
    assert [one.name for one in Left if one in found.renews] == [one.name for one in Left if one.name in case["renews"]]


@pytest.mark.parametrize(("dialect", "sql", "expected"), CASES)
def test_case_spaces_and_comments_change_nothing(dialect: str, sql: str, expected: list[str]) -> None:
    assert told(dialect, f" \n\t/* ; */ {sql} ") == sorted(expected)
    if '"' not in sql and "$a$" not in sql and "M!" not in sql:
        assert told(dialect, sql.upper()) == sorted(expected)


@pytest.mark.parametrize("case", KEPT, ids=lambda case: case["sql"])
def test_what_is_known_to_stay_in_a_session(case: dict[str, str]) -> None:
    rules = by_name("postgresql").rules
    assert kept(case["sql"], rules) == case["kept"]
    if case["kept"]:
        found = traits(case["sql"], rules)
        assert found.leaves_state or found.setting is not None, "or it would not be looked at"


@pytest.mark.parametrize(("dialect", "case"), OUTLASTING, ids=str)
def test_what_no_reset_undoes(dialect: str, case: dict[str, Any]) -> None:
    rules = by_name(dialect).rules
    assert outlasts(case["sql"], rules) is case["outlasts"]
    if case["outlasts"]:
        assert traits(case["sql"], rules).leaves_state, "or it would not be looked at"


def test_several_statements_in_one_text() -> None:
    rules = by_name("postgresql").rules
    assert several("COMMIT; INSERT INTO t VALUES (1)", rules)
    assert several("SELECT 'open", rules)
    assert not several("SELECT ';' ;", rules)
    assert not several(b"SELECT 1; SELECT 2", rules), "only a text can be looked at"


@pytest.mark.parametrize("dialect", DIALECTS)
@given(sql=st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.lists(st.text())))
def test_it_never_raises_and_promises_nothing_of_what_is_no_text(dialect: str, sql: Any) -> None:
    found = traits(sql, by_name(dialect).rules)
    if not isinstance(sql, str):
        assert found is UNKNOWN


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                "select",
                "(",
                ")",
                "'",
                '"',
                "`",
                "$$",
                "$a$",
                "--",
                "/*",
                "*/",
                ";",
                "now",
                "@",
                " ",
                "\n",
                "[",
                "#",
                ".",
            ]
        )
    )
)
def test_a_plain_statement_is_balanced(dialect: str, pieces: list[str]) -> None:
    """Whatever is cut from SQL's own tokens, a quote that stays open is never called plain."""
    sql = "".join(pieces)
    if traits(sql, by_name(dialect).rules).plain:
        assert not sql.endswith(("/*", "'")) or sql.count("'") % 2 == 0 or "--" in sql or "#" in sql or "$" in sql


@pytest.mark.parametrize("dialect", DIALECTS)
@given(text=PLAIN_TEXT)
def test_what_is_within_a_literal_changes_nothing(dialect: str, text: str) -> None:
    assert told(dialect, f"select a from t where b = '{text}'") == told(dialect, "select a from t where b = ''")


@given(name=st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True))
def test_an_unknown_function_leaves_state(name: str) -> None:
    rules = by_name("postgresql").rules
    if name not in rules.pure_functions and told("postgresql", f"select {name}(1)") == ["plain", "read"]:
        from clustersql.core.statements.traits import _KEYWORDS

        assert name in _KEYWORDS | rules.not_called


EVIL = [
    "/*" * 50_000,
    "'" * 99_999,
    "$" * 99_999,
    "a(" * 49_999,
    "(" * 99_999,
    "$a$" * 30_000,
    "a." * 49_999,
    "a . " * 24_999,
]
EVIL += [
    "with " + ", a (b) as " * 8_000,
    "with " + "a ( " * 24_000,
    "select " + "a " * 49_000,
    "[" * 99_999,
    "@" * 99_999,
]


@pytest.mark.parametrize("sql", EVIL, ids=[sql[:12] for sql in EVIL])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_text_takes_long(dialect: str, sql: str) -> None:
    """A pattern that backtracks would hang the caller: 45 s for one of these, once."""
    before = time.process_time()
    traits(sql, by_name(dialect).rules)
    assert time.process_time() - before < 1.0


def test_a_huge_text_is_not_looked_at() -> None:
    assert traits("select 1 " + " " * LONGEST, by_name("postgresql").rules) is UNKNOWN


LISTS = {
    "bulk insert": ("INSERT INTO t (a, b) VALUES {}", "({0}, 'name ''{0}''; -- (', NULL, -1.5e3, TRUE)", ","),
    "in": ("SELECT * FROM t WHERE a IN ({}) AND b IN ('x')", "{0}", ", "),
    "placeholders": ("INSERT INTO t VALUES {} ON CONFLICT DO NOTHING", "(%s, ?, {0})", ",\n"),
    "one literal": ("INSERT INTO t VALUES ('{}')", "blob(", " "),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", LISTS)
def test_a_text_s_length_changes_nothing(dialect: str, name: str) -> None:
    """A bulk insert of megabytes is as plain as one of a row."""
    around, each, between = LISTS[name]
    short, long = (around.format(between.join(each.format(n) for n in range(count))) for count in (1, 40_000))
    assert len(long) > 150_000
    assert told(dialect, long) == told(dialect, short)
    assert "plain" in told(dialect, long)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "hidden", ["(nextval('s'))", "(1); DELETE FROM t", "(1 /* ; */, mine(2))", "(1, 'a)", "(/*!99999 1 */ 2)"]
)
def test_what_a_long_list_hides_is_seen(dialect: str, hidden: str) -> None:
    """Between any two of its rows."""
    rows = ["(1, 'x')"] * 5_000
    long = "INSERT INTO t VALUES " + ", ".join([*rows, hidden, *rows])
    assert "plain" not in told(dialect, long)
    assert told(dialect, long) == told(dialect, f"INSERT INTO t VALUES (1, 'x'), {hidden}, (1, 'x')")


_WORDS = "null true default nextval now count in values select insert into t"
_TOKENS = st.sampled_from(
    f"( ) , ; 1 -2.5e3 'x' 'it''s' ' \" ` [ ] $ $$ $a$ -- # /* */ /*! e' %s ? $1 {_WORDS}".split()
)


@given(st.lists(_TOKENS, max_size=30), st.sampled_from(["", " ", "\n"]), st.sampled_from(DIALECTS))
def test_the_long_form_is_no_less_careful(tokens: list[str], separator: str, dialect: str) -> None:
    """It may say less of a text, never more."""
    text, rules = "select " + separator.join(tokens), by_name(dialect).rules
    with pytest.MonkeyPatch.context() as patch:
        short = traits(text, rules)
        patch.setattr(flatten, "LONG", 0)
        assert traits(text, rules) in (short, UNKNOWN)


def test_the_lists_do_not_contradict_each_other() -> None:
    for dialect in DIALECTS:
        rules = by_name(dialect).rules
        assert rules.pure_functions.isdisjoint(rules.functions_with_effect), dialect
        assert rules.reading <= rules.stateless, dialect
