"""What was set in a session: what is restored, what must not be, and how a new session proves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustersql.core.statements.ledger import EMPTY, Ledger
from clustersql.core.statements.pins import WIDTH, pin_of
from clustersql.core.statements.settings import agrees
from clustersql.core.statements.traits import traits
from clustersql.dialects import by_name

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def _cases(kind: str) -> list[Any]:
    files = [json.loads(path.read_text("utf-8")) for path in sorted((SCENARIOS / kind).glob("*.json"))]
    return [
        pytest.param(file["dialect"], case, id=f"{file['dialect']}-{case.get('what', case.get('sql'))}")
        for file in files
        for case in file["cases"]
    ]


def played(dialect: str, statements: list[str]) -> Ledger | None:
    """The ledger after these statements, as `state.State` keeps it; None: pinned."""
    rules, rolls_back, ledger, in_transaction = (
        by_name(dialect).rules,
        by_name(dialect).settings_roll_back,
        EMPTY,
        False,
    )
    for statement in statements:
        if statement == "error":
            ledger = ledger.broken()
            continue
        found = traits(statement, rules)
        if found.leaves_state or (found.rewinds and ledger.pending):
            return None
        if found.setting is not None:
            ledger = ledger.noted(found.setting, rolls_back and in_transaction)
        if found.commits or found.rolls_back:
            ledger = ledger.ended(found.commits)
        in_transaction = found.begins or (in_transaction and not (found.commits or found.rolls_back))
    return ledger


@pytest.mark.parametrize(("dialect", "case"), _cases("ledger"))
def test_what_a_new_session_is_given(dialect: str, case: Any) -> None:
    ledger = played(dialect, case["do"])
    given = "pinned" if ledger is None else [[one.statement, one.value] for one in ledger.kept]
    assert given == case["expect"]


LEDGER = played("postgresql", ["SET app.tenant = 'one'", "SET work_mem = '1024kB'"])
assert LEDGER is not None


def answers(*told: Any) -> list[Any]:
    """To each setting nothing, and to each question what is told, in the order of the script."""
    first, second = told[:2], told[2:]
    return [[], [[first[0]]], [], [[first[1]]], [[second[0]]], [[second[1]]]]


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (("one", "1MB", "one", "1MB"), ""),
        (("two", "1MB", "two", "1MB"), "app.tenant has another value there"),
        (("ONE", "1MB", "ONE", "1MB"), "app.tenant has another value there"),
        (("", "1MB", "", "1MB"), "app.tenant has another value there"),
        ((None, "1MB", None, "1MB"), "app.tenant has another value there"),
        (("one", "1MB", "two", "1MB"), "app.tenant did not keep its value"),
        (("one", "1MB", "one", "4MB"), "work_mem did not keep its value"),
        ((b"one", b"1MB", b"one", b"1MB"), ""),
    ],
)
def test_a_new_session_proves_what_it_was_given(told: tuple[Any, ...], wrong: str) -> None:
    assert LEDGER is not None
    assert len(LEDGER.script) == len(answers(*told))
    assert LEDGER.wrong(answers(*told)) == wrong


@pytest.mark.parametrize(
    ("value", "told", "agreed"),
    [
        ("1", "ON", True),
        ("off", "0", True),
        ("ON", "OFF", False),
        ("60", "60", True),
        ("1", "1024", False),
        ("0.5", "0.500000", True),
        ("ANSI", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI", True),
        ("NO_ZERO_DATE,STRICT_TRANS_TABLES", "STRICT_TRANS_TABLES,NO_ZERO_DATE", True),
        ("NO_ZERO_DATE,STRICT_TRANS_TABLES", "STRICT_TRANS_TABLES", False),
        ("", "ANSI", False),
        ("", "", True),
        ("Shop", "shop", True),
    ],
)
def test_a_server_may_write_a_value_in_its_own_way(value: str, told: str, agreed: bool) -> None:
    assert agrees(value, told) is agreed


@given(st.text(st.characters(blacklist_characters="\\%\x00", blacklist_categories=["Cs"]), max_size=30))
def test_a_literal_means_what_was_written(value: str) -> None:
    """Whatever is in it, quotes and semicolons too: exactly that is restored."""
    literal = value.replace("'", "''")
    for statement in (f"SET app.tenant = '{literal}'", f"SELECT set_config('app.tenant', '{literal}', false)"):
        found = traits(statement, by_name("postgresql").rules)
        if found.setting is not None:
            assert found.setting.value == value
            assert f"'{literal}'" in found.setting.statement
        else:
            assert found.leaves_state


@pytest.mark.parametrize(("dialect", "case"), _cases("pins"))
def test_what_a_pin_says(dialect: str, case: Any) -> None:
    pin = pin_of(case["sql"], by_name(dialect).rules)
    assert [pin.what, pin.why] == case["pin"]


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
@given(
    before=st.sampled_from(["ALTER USER bob PASSWORD ", "SET PASSWORD = ", "SET app.key = ", "SELECT f(1, ", ""]),
    secret=st.text("abc xyz'\"\\$-/*;", max_size=20),
    quote=st.sampled_from(["'", '"', "$$", "E'"]),
)
def test_a_pin_shows_no_literal(dialect: str, before: str, secret: str, quote: str) -> None:
    """Also where the text cannot be read for sure."""
    if quote == ('"' if dialect == "postgresql" else "$$"):
        return  # a name, or nothing that this database knows
    pin = pin_of(f"{before}{quote}s3cret{secret}{quote.strip('E')}", by_name(dialect).rules)
    assert "s3cret" not in pin.what
    assert len(pin.what) <= WIDTH


def test_a_pin_of_what_is_no_text() -> None:
    assert pin_of(b"SELECT 1", by_name("mysql").rules).what == "bytes"
