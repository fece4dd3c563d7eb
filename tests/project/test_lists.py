"""Lists that must agree: what a person may name, and what there is of it."""

from __future__ import annotations

import ast
import pkgutil
import tomllib
from dataclasses import fields
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import aio, dialects, drivers
from clustersql.config.knobs import DIALECTS, KNOBS, POLICIES, Knobs
from clustersql.config.options import OPTIONS, PER_CALL, ROLES
from clustersql.config.percall import PerCall
from clustersql.config.url import SCHEMES
from clustersql.core.policies import configured, named
from clustersql.core.policies.policy import Policy
from clustersql.core.view.view import Service
from clustersql.drivers.contract import Abilities
from clustersql.sync.database import Database
from tools.tests import ROOT, Shard, shards

PACKAGE = Path(clustersql.__file__).parent
PROJECT: dict[str, Any] = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def modules(package: Any) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def test_the_policies_that_a_knob_names_are_those_that_there_are() -> None:
    assert list(POLICIES) == list(named.NAMED)


def test_every_policy_that_is_written_has_its_name_in_the_table() -> None:
    written = {
        one
        for module in (named, configured)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Policy) and one is not Policy
    }
    assert {one.name for one in written} == set(named.NAMED)


def test_the_dialects_that_a_knob_names_are_those_that_there_are() -> None:
    assert set(DIALECTS) == modules(dialects) - {"questions", "guarding"}
    assert {dialects.by_name(name).name for name in DIALECTS} == set(DIALECTS)


def test_every_driver_has_its_file_and_every_file_its_driver() -> None:
    named = {file for _, file in (*drivers._KNOWN.values(), *drivers._KNOWN_ASYNC.values())}
    assert modules(drivers) - {"contract", "base", "dbapi"} == named  # the last is for any other module


def test_every_driver_has_an_extra_and_every_extra_a_driver() -> None:
    others = {
        "toml",
        "cli",
        "top",
        "demo",
        "testing",
        "sqlalchemy",
        "alembic",
        "django",
        "peewee",
        "prometheus",
        "opentelemetry",
        "all",
    }
    assert set(EXTRAS) - others == {*drivers.NAMES, *drivers.ASYNC_NAMES} - {"sqlite3"}


def test_all_means_every_extra() -> None:
    [everything] = EXTRAS["all"]
    assert set(everything.removeprefix("clustersql[").removesuffix("]").split(",")) == set(EXTRAS) - {"all"}


@pytest.mark.parametrize(("load", "names"), [(drivers.load, drivers.NAMES), (drivers.load_async, drivers.ASYNC_NAMES)])
def test_every_driver_speaks_a_dialect_and_a_url_leads_to_it(load: Any, names: tuple[str, ...]) -> None:
    for name in names:
        driver = load(name)
        assert driver.dialect.name in DIALECTS
        assert driver.family in set(SCHEMES.values())


def test_every_knob_is_a_field_and_every_field_a_knob() -> None:
    assert list(KNOBS) == [field.name for field in fields(Knobs)]


@pytest.mark.parametrize("face", [Database, aio.Database])
def test_options_are_those_of_the_value_in_both_apis(face: type) -> None:
    """`OPTIONS` is the list; `options()` must take each of them by name, in its order."""
    given = [name for name in signature(face.options).parameters if name != "self"]
    assert given == list(OPTIONS)
    assert [name for name in signature(face.connection).parameters if name != "self"] == list(PER_CALL)
    assert [name for name in signature(PerCall.options).parameters if name != "self"] == list(PER_CALL)


def test_every_role_leads_to_a_service_of_its_own() -> None:
    assert sorted(service.value for service in ROLES.values()) == sorted(service.value for service in Service)


def test_every_field_of_abilities_says_what_it_means() -> None:
    tree = ast.parse((PACKAGE / "drivers" / "contract.py").read_text("utf-8"))
    [body] = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Abilities"]
    told = [
        a.target.id
        for a, b in pairwise(body)
        if isinstance(a, ast.AnnAssign) and isinstance(a.target, ast.Name) and isinstance(b, ast.Expr)
    ]
    assert told == [field.name for field in fields(Abilities)]


def test_every_test_is_run_in_exactly_one_shard() -> None:
    files = [file.relative_to(ROOT) for file in (ROOT / "tests").rglob("test_*.py")]
    every = shards()
    found = {file.as_posix(): [shard.name for shard in every if runs(shard, file)] for file in files}
    assert {file: names for file, names in found.items() if len(names) != 1} == {}
    assert len(found) > 100


def runs(shard: Shard, file: Path) -> bool:
    within = {file.as_posix(), *(folder.as_posix() for folder in file.parents)}
    return bool(within & set(shard.paths)) and not within & set(shard.ignored)
