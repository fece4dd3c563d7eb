"""The pages name everything that a user can name: knobs, options, commands, metrics, errors, drivers, dependencies,
keys of files.
"""

from __future__ import annotations

import re
import sqlite3
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project.docs.pages import ROOT, pages, table
from project.docs.tables import rewritten

import clustersql
from clustersql import aio, drivers
from clustersql.cli.app import COMMANDS
from clustersql.config.knobs import DIALECTS, KNOBS, POLICIES, WRITERS
from clustersql.config.options import OPTIONS, ROLES
from clustersql.config.schema import ANCESTOR
from clustersql.config.url import FIELDS, SCHEMES
from clustersql.connection.result import Result
from clustersql.drivers.contract import Abilities
from clustersql.sync.connection import Connection
from clustersql.sync.cursor import Cursor
from clustersql.sync.database import Database

REFERENCE = pages()["docs/reference.md"]
STAGES = dict.fromkeys(
    ("psycopg", "psycopg2", "pg8000", "asyncpg"), r"\b(postgres_)?stage: Stage|\b(POSTGRES|DRIVERS)\b"
)
STAGES |= dict.fromkeys(
    ("pymysql", "mysqlclient", "mysql-connector", "mariadb", "aiomysql", "asyncmy"),
    r"\b(mariadb_)?stage: Stage|\b(MARIADB|DRIVERS)\b",
)
"""How tests that run on several drivers say so (tests/support/stage.py), beside the drivers' names."""
INSIDE = ("after_fork", "acquired")
"""Called by our own code alone."""
PROOFS = ("real", "scenario", "no", "-")


def unnamed(text: str, names: Any) -> list[str]:
    """The names that do not stand in ``text`` as code."""
    code = " ".join(re.findall(r"`([^`\n]+)`", text)) + " ".join(re.findall(r"```.*?```", text, re.DOTALL))
    return sorted(name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", code))


@pytest.mark.parametrize("page", list(pages()))
def test_tables_are_as_the_code_makes_them(page: str) -> None:
    assert pages()[page] == rewritten(pages()[page]), "write them anew: .venv/bin/python tests/project/docs/tables.py"


def test_a_table_is_made_for_knobs_and_for_drivers() -> None:
    assert "<!-- table: knobs -->" in REFERENCE
    assert "<!-- table: abilities -->" in pages()["docs/support.md"]


def test_public_names_are_in_the_reference() -> None:
    kinds = (clustersql.Cluster, Database, Connection, Cursor, Result, aio.Database, aio.Connection, aio.Cursor)
    methods = {name for kind in kinds for name in public(kind)}
    assert unnamed(REFERENCE, [*clustersql.__all__, *methods, *(f"aio.{name}" for name in aio.__all__)]) == []


def public(kind: type) -> Iterator[str]:
    """Its own names and those that it has from a base of ours."""
    names = {name for base in kind.__mro__ if base is not object for name in vars(base)}
    yield from sorted(name for name in names if not name.startswith("_") and name not in INSIDE)


def test_knobs_options_and_their_values_are_in_the_reference() -> None:
    assert unnamed(REFERENCE, [*KNOBS, *POLICIES, *WRITERS, *DIALECTS, *OPTIONS, *ROLES]) == []


def test_keys_of_nodes_and_files_are_in_the_reference() -> None:
    keys = ("clusters", "nodes", "name", "url", "driver", "async_driver", "arguments")
    assert unnamed(REFERENCE, [*FIELDS, *keys, *ANCESTOR, *(f"{scheme}://" for scheme in SCHEMES)]) == []


def test_metrics_are_in_the_reference(tmp_path: Path) -> None:
    cluster = clustersql.Cluster("measured", driver=sqlite3)
    cluster.add_node("file", database=str(tmp_path / "a.db"))
    with cluster.open() as db:
        db.execute("SELECT 1")
        figures = cluster.metrics()
    names = [*figures, *figures["Pool"], *figures["Nodes"]["file"]]
    assert len(names) > 25
    assert unnamed(REFERENCE, names) == []


def test_commands_are_documented() -> None:
    assert unnamed(pages()["docs/cli.md"], [f"clustersql {name}" for name in COMMANDS]) == []
    assert unnamed(REFERENCE, [f"clustersql {name}" for name in COMMANDS]) == []


def test_environment_variables_are_in_the_reference() -> None:
    source = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", source))
    assert "DBCONFIG" in named
    assert unnamed(REFERENCE, named - {"PATH"}) == []


def test_fixtures_and_verbs_of_the_testing_tools_are_documented() -> None:
    from clustersql import testing
    from clustersql.testing import fixtures

    verbs = {
        name
        for exported in testing.__all__
        for kind in getattr(getattr(testing, exported), "__mro__", ())
        if kind.__module__.startswith("clustersql.testing")
        for name in vars(kind)
        if not name.startswith("_")
    }
    found = {name for name, thing in vars(fixtures).items() if type(thing).__name__ == "FixtureFunctionDefinition"}
    clusters = {"postgres_cluster", "galera_cluster", "mariadb_server", "mysql_cluster", "mysql_group"}
    assert found == clusters | {"fault_proxy"}
    assert unnamed(pages()["docs/testing.md"], [*testing.__all__, *verbs, *found]) == []


# -- support and dependencies ------------------------------------------------------------------------------------------


def features(heading: str = "## What was proved, and where") -> list[list[str]]:
    return table(pages()["docs/support.md"], heading)


def async_features() -> list[list[str]]:
    return features("### asyncio: what was proved, and where")


def test_support_has_a_column_for_each_driver() -> None:
    assert features()[0] == ["feature", *(f"`{name}`" for name in drivers.NAMES), "any other", "tests"]
    assert async_features()[0] == ["feature", *(f"`{name}`" for name in drivers.ASYNC_NAMES), "tests"]


def test_support_has_known_words_only() -> None:
    assert {cell for line in (*features()[1:], *async_features()[1:]) for cell in line[1:-1]} <= set(PROOFS)


@pytest.mark.parametrize(("features", "load"), [(features, drivers.load), (async_features, drivers.load_async)])
def test_what_support_calls_proved_names_a_test_of_that_driver(features: Any, load: Any) -> None:
    unproved = []
    names = [name.strip("`") for name in features()[0][1:-1]]
    for feature, *cells, where in features()[1:]:
        folders = [ROOT / "docs" / link for link in re.findall(r"\]\(([^)]+)\)", where)]
        texts = "".join(drivers_in(file) for folder in folders for file in sources(folder))
        for name, cell in zip(names, cells, strict=True):
            if cell != "real":
                continue
            module = load(name).module.__name__
            if not re.search(rf"(?i)\b({name}|{module})\b|{STAGES.get(name)}", texts):
                unproved.append((feature, name))
    assert unproved == []


def drivers_in(file: Path) -> str:
    """The text of a test's file; and what the fixture `driver` of its folder, or of the ward, goes through, where the
    tests take that one.
    """
    text, shared = (
        file.read_text("utf-8"),
        next(up / "conftest.py" for up in file.parents if (up / "conftest.py").exists()),
    )
    if "driver: str" not in text or "def driver(" in text:
        return text
    return text + "".join(re.findall(r"@pytest.fixture\((.*)\)\ndef driver\(", shared.read_text("utf-8")))


def sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.glob("*.py"))


def test_support_names_every_ability_and_dialect() -> None:
    text = pages()["docs/support.md"]
    assert unnamed(text, Abilities.__dataclass_fields__) == []
    assert unnamed(text, DIALECTS) == []


def test_dependencies_are_all_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [line for lines in extras.values() for line in lines]
    wanted += [line for lines in project["dependency-groups"].values() for line in lines]
    names = {re.match(r"[\w.-]+", line)[0] for line in wanted} - {"clustersql"}
    assert unnamed(pages()["docs/dependencies.md"], [*names, *extras]) == []


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{clustersql.__version__}]" in pages()["CHANGELOG.md"]
