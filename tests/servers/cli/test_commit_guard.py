"""``clustersql commit-guard``: the tables are missing, printed, made, and there."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustersql.cli.app import run
from clustersql.testing import PostgresCluster


@pytest.fixture
def config(postgres_cluster: PostgresCluster, tmp_path: Path) -> str:
    postgres_cluster.heal()
    primary = postgres_cluster.primary
    postgres_cluster.execute(primary, "DROP SCHEMA IF EXISTS guarded CASCADE")
    postgres_cluster.execute(primary, "CREATE SCHEMA guarded AUTHORIZATION app")
    file = tmp_path / "config.toml"
    node = f'[[clusters.shop.nodes]]\nname = "{primary}"\nurl = "{postgres_cluster.dsn(primary)}"\n'
    table = 'commit_guard_table = "guarded.to\'kens"'
    file.write_text(f'[clusters.shop]\ndriver = "psycopg"\n{table}\n{node}', "utf-8")
    return str(file)


def test_missing_then_made_then_there(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commit-guard", config]) == 1
    assert "guarded.to'kens: is not there: make it with --create" in capsys.readouterr().out
    assert run(["commit-guard", config, "--create"]) == 0
    assert run(["commit-guard", config]) == 0
    assert "guarded.to'kens and guarded.clustersql_key are there" in capsys.readouterr().out


def test_the_statements_for_an_administrator(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commit-guard", config, "--sql"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("(")[0].strip() for line in lines[:2]] == [
        'CREATE TABLE IF NOT EXISTS "guarded"."to\'kens"',
        'CREATE TABLE IF NOT EXISTS "guarded"."clustersql_key"',
    ]
    assert lines[2].endswith('TO "app";')


def test_a_table_that_this_user_may_not_work_with(
    config: str, postgres_cluster: PostgresCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["commit-guard", config, "--create"]) == 0
    primary = postgres_cluster.primary
    postgres_cluster.execute(primary, 'ALTER TABLE guarded."to\'kens" OWNER TO CURRENT_USER')
    assert run(["commit-guard", config]) == 1
    assert "but this user may not work with it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--create", "--sql"], "contradict each other"), (["--cluster", "shp"], "no cluster 'shp'; it has shop")],
)
def test_what_cannot_be_meant(config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert run(["commit-guard", config, *arguments]) == 2
    assert says in capsys.readouterr().err
