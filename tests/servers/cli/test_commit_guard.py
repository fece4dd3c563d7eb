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


def checked(config: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run(["check", config, "--max-connections", "1", "--timeout", "20"])
    return status, " ".join(capsys.readouterr().out.split())


WRONG = {
    "missing": ("", "guarded.to'kens is missing"),
    "unlogged": ('ALTER TABLE guarded."to\'kens" SET UNLOGGED', "a crash empties it"),
    "of another form": ('ALTER TABLE guarded."to\'kens" DROP COLUMN seen', "cannot be worked with (column"),
    "without a privilege": ('REVOKE UPDATE ON guarded."to\'kens" FROM app', "cannot be worked with (permission"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_check_finds_tables_that_cannot_guard(
    config: str, postgres_cluster: PostgresCluster, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    file = Path(config)
    file.write_text(file.read_text("utf-8").replace('driver = "psycopg"', 'driver = "psycopg"\ncommit_guard = true'))
    statement, says = WRONG[wrong]
    if statement:
        assert run(["commit-guard", config, "--create"]) == 0
        assert checked(config, capsys)[0] == 0
        postgres_cluster.execute(postgres_cluster.primary, statement)
    status, told = checked(config, capsys)
    assert status == 1
    assert says in told


def test_check_tells_of_who_would_meet_the_tokens(
    config: str, postgres_cluster: PostgresCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    file, primary = Path(config), postgres_cluster.primary
    file.write_text(file.read_text("utf-8").replace('driver = "psycopg"', 'driver = "psycopg"\ncommit_guard = true'))
    assert run(["commit-guard", config, "--create"]) == 0
    postgres_cluster.execute(primary, "CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        status, told = checked(config, capsys)
    finally:
        postgres_cluster.execute(primary, "DROP PUBLICATION everything")
    assert (status, "publication everything is FOR ALL TABLES" in told) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--create", "--sql"], "contradict each other"), (["--cluster", "shp"], "no cluster 'shp'; it has shop")],
)
def test_what_cannot_be_meant(config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert run(["commit-guard", config, *arguments]) == 2
    assert says in capsys.readouterr().err
