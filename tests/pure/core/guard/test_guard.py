"""The commit guard's decisions: scenarios, and what a commit id says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clustersql.core.faults import Facts, Fault
from clustersql.core.guard.commit_id import CommitId, refusal
from clustersql.core.guard.fate import Event, Stage, after
from clustersql.core.guard.resolve import Answer, Birth, Fence, resolve
from clustersql.core.guard.retention import ASKED_FOR
from clustersql.core.guard.table import Table
from clustersql.core.guard.way import Case, way
from clustersql.core.steps import Failed, Picture
from clustersql.core.view.node import Epoch
from clustersql.dialects import by_name

FOLDER = Path(__file__).parents[2] / "scenarios" / "guard"


def cases(name: str) -> list[Any]:
    told = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"]
    return [pytest.param(case, id=case["what"]) for case in told]


@pytest.mark.parametrize("case", cases("fate"))
def test_fate(case: dict[str, Any]) -> None:
    stage: Stage | None = Stage.FRESH
    for name in case["events"]:
        assert stage is not None
        try:
            stage = after(stage, Event[name])
        except ValueError:
            stage = None
    assert (stage and stage.value) == case["stage"]


@pytest.mark.parametrize("case", cases("way"))
def test_way(case: dict[str, Any]) -> None:
    assert way(Case(**case["case"])).name == case["way"]


FENCE = Fence(
    ("fence",),
    lambda told: Answer(told[0], Epoch("L", told[1]), *told[2:]),  # type: ignore[arg-type, misc]
    blocked=frozenset({"55P03"}),
    missing=frozenset({"42P01"}),
    identify=("identify",),
    born=lambda told: Birth(str(told), 1.0),
    end=lambda old, here: ("end",) if old == here else (),
)


def answered(answer: Any, at: str) -> Any:
    """What the generator is sent."""
    if at == "Look":
        return Picture(answer, ())
    if isinstance(answer, dict):
        fault = Fault[answer.get("fault", "STATEMENT")]
        return Failed(RuntimeError(answer["code"]), Facts(fault, answer.get("lost", False), sqlstate=answer["code"]))
    return answer


@pytest.mark.parametrize("case", cases("resolve"))
def test_resolve(case: dict[str, Any]) -> None:
    admits = (lambda clock: str(case["admits"])) if "admits" in case else None
    steps = resolve(FENCE, Birth("same", 1.0), lambda: Epoch("L", 2), admits, 100.0)
    answer: Any = None
    said: list[str] = []
    for kind, told in case["steps"]:
        step = steps.send(answer)
        assert type(step).__name__ == kind
        said += getattr(step, "statements", ())
        answer = answered(told, kind)
    with pytest.raises(StopIteration) as ended:
        steps.send(answer)
    assert ended.value.value.stage.value == case["stage"]
    assert ("end" in said) is case.get("ended", False)


# -- the id ------------------------------------------------------------------------------------------------------------

ID = CommitId(bytes(range(16)), "audit.a:b%", "system identifier 7", 3, 1_700_000_000)


def test_an_id_is_a_text_that_reads_back() -> None:
    assert CommitId.parse(str(ID)) == ID
    assert str(ID) == "c1:system%20identifier%207:3:1700000000:000102030405060708090a0b0c0d0e0f:audit.a%3Ab%25"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "a commit id is a text, not NoneType"),
        ("", "begins with c1:"),
        ("c2:L:1:1:00:t", "begins with c1:"),
        ("c1:L:1:1:00", "six parts"),
        (str(ID) + ":more", "six parts"),
        (str(ID).replace(":3:", ":x:"), "its epoch cannot be read"),
        (str(ID).replace("1700000000", "-1"), "its time cannot be read"),
        (str(ID).replace("0f:", "0g:"), "its token cannot be read"),
        (str(ID).replace("0e0f:", "0e:"), "32 hexadecimal digits"),
        (str(ID).replace("0a0b", "0A0B"), "32 hexadecimal digits"),
    ],
)
def test_what_is_no_id_says_why(text: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CommitId.parse(text)


@pytest.mark.parametrize(
    ("table", "newest", "age", "says"),
    [
        ("audit.a:b%", Epoch("system identifier 7", 3), 0.0, ""),
        ("audit.a:b%", None, ASKED_FOR - 1, ""),
        ("audit.a:b%", None, ASKED_FOR + 1, "days old"),
        ("public.t", None, 0.0, "in the table 'audit.a:b%'"),
        ("audit.a:b%", Epoch("system identifier 8", 3), 0.0, "of another database"),
    ],
)
def test_an_id_is_settled_only_where_that_means_something(
    table: str, newest: Epoch | None, age: float, says: str
) -> None:
    found = refusal(ID, table, newest, ID.at + age)
    assert says in found
    assert bool(says) is bool(found)


# -- what is said to each database -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "quoted"), [("postgresql", '"public"."my""t"'), ("mysql", '`my"t`')], ids=["postgresql", "mysql"]
)
def test_names_are_quoted_everywhere(dialect: str, quoted: str) -> None:
    found = by_name(dialect)
    assert found.guard is not None
    name = found.guard.table(Table.parse('my"t'), None).quoted(found.quote)
    assert name == quoted
    sql, token = found.guard, b"0" * 16
    texts = [
        *sql.create(name, name),
        *sql.grant(name, name, "a'b\"c"),
        sql.insert(name, token),
        *sql.fence(name, token).statements,
    ]
    texts += [*sql.delete(name, [token]), *sql.sweep(name, 7.0), *sql.lapse(name), *sql.claim(name, "it's", token, 7.0)]
    assert all(name in text for text in texts if "clustersql" in text or "INTO" in text or "FROM" in text)
    assert not any("it's" in text for text in texts)


def test_the_fence_of_mysql_is_a_transaction() -> None:
    """In autocommit mode Galera answers with the rows of an attempt that it has undone."""
    guard = by_name("mysql").guard
    assert guard is not None
    statements = guard.fence("t", b"0" * 16).statements
    assert (statements[2], statements[-1]) == ("START TRANSACTION", "COMMIT")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("PRIMARY KEY (`token`)\n) ENGINE=InnoDB DEFAULT", ""),
        ("UNIQUE KEY `t` (`token`)\n) ENGINE=InnoDB DEFAULT", ""),
        ("KEY `t` (`token`)\n) ENGINE=InnoDB DEFAULT", "no key"),
        ("PRIMARY KEY (`token`(8))\n) ENGINE=InnoDB DEFAULT", "no key"),
        ("PRIMARY KEY (`token`,`at`)\n) ENGINE=InnoDB DEFAULT", "no key"),
        ("PRIMARY KEY (`token`)\n) ENGINE=MyISAM DEFAULT", "not InnoDB"),
    ],
)
def test_a_table_of_mysql_that_proves_nothing(form: str, says: str) -> None:
    guard = by_name("mysql").guard
    assert guard is not None
    unfit = guard.fence("t", b"0" * 16).answer([(), [("t", form)], (), (), [("c",)], ()]).unfit
    assert says in unfit
    assert bool(says) is bool(unfit)


def test_a_table_of_postgresql_that_a_crash_empties() -> None:
    guard = by_name("postgresql").guard
    assert guard is not None
    answer = guard.fence("t", b"0" * 16).answer
    assert [bool(answer([(), (), [("c", "7", "00000001", lasting)], ()]).unfit) for lasting in (True, False, None)] == [
        False,
        True,
        True,
    ]


def test_only_mariadb_is_given_a_compound_statement() -> None:
    guard = by_name("mysql").guard
    assert guard is not None
    assert guard.fold("10.11.19-MariaDB", "INSERT") == "BEGIN NOT ATOMIC INSERT; COMMIT; END"
    assert guard.fold("MySQL 8.4.6", "INSERT") == ""


def test_a_session_is_ended_on_its_own_server_only() -> None:
    guard = by_name("mysql").guard
    assert guard is not None
    end = guard.fence("t", b"0" * 16).end
    old = Birth("db1|3306|1", 1000.0, 7)
    look, *_ = end(old, Birth("db1|3306|1", 1001.5, 9))
    assert "'KILL 7' FROM information_schema.PROCESSLIST WHERE ID = 7 AND COMMAND = 'Sleep'" in look
    assert end(old, Birth("db1|3306|1", 1010.0, 9)) == ()
    assert end(old, Birth("db2|3306|1", 1000.0, 9)) == ()


@pytest.mark.parametrize("text", ["", "a.b.c", ".t", "t.", " t", "x" * 64, "a\0b"])
def test_a_table_s_name_that_cannot_be_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|at most"):
        Table.parse(text)
