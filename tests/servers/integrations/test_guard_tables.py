"""The tables of the commit guard as a migration: Alembic's and Django's, on PostgreSQL and on MariaDB."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test.utils import override_settings
from servers.integrations.djangos import connected, databases
from servers.integrations.test_above_sqlalchemy import migrations
from sqlalchemy import MetaData, create_engine

import clustersql
from clustersql import ConfigError
from clustersql.integrations.alembic import CreateCommitGuard, include_object
from clustersql.integrations.guarding import dropped, made

TABLE = "to:k'en %s"
"""A name that needs quoting, wherever it is written."""
KEYS = "clustersql_key"

REVISION = f"""
from alembic import op
import clustersql.integrations.alembic

revision, down_revision = "1", None

def upgrade():
    op.create_commit_guard({TABLE!r}, grant=["app"])

def downgrade():
    op.drop_commit_guard({TABLE!r})
"""


@pytest.fixture(params=["psycopg", "mysqlclient"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def servers(driver: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    servers = request.getfixturevalue({"psycopg": "postgres_cluster", "mysqlclient": "mariadb_server"}[driver])
    servers.heal()
    yield servers
    for statement in (*dropped(kind(driver), TABLE), "DROP TABLE IF EXISTS alembic_version, django_migrations"):
        servers.execute("n1", statement)


def kind(driver: str) -> str:
    return "postgresql" if driver == "psycopg" else "mysql"


def there(servers: Any, driver: str) -> set[str]:
    """Which of the two tables the server has."""
    schema = "current_schema()" if driver == "psycopg" else "DATABASE()"
    asked = f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}"
    return {str(name) for (name,) in servers.execute("n1", asked)} & {TABLE, KEYS}


def guarded(shop: clustersql.Cluster) -> dict[str, Any]:
    """What the guard of a cluster has done, after one transaction that writes."""
    name = shop.view.nodes[0].name
    assert name
    shop.open().run(lambda conn: conn.cursor().execute("CREATE TABLE IF NOT EXISTS once_written (a int)"))
    shop.open().run(lambda conn: conn.cursor().execute("INSERT INTO once_written VALUES (1)"))
    shop.open().execute("DROP TABLE once_written")
    figures: dict[str, Any] = shop.metrics()["CommitGuard"]
    return figures


def test_a_revision_of_alembic(driver: str, servers: Any, tmp_path: Path) -> None:
    """On MariaDB by the administrator, for the user of the program, who can work with them; and back."""
    port = servers.port("n1")
    users = {"psycopg": "postgresql+psycopg://app:secret", "mysqlclient": "mysql+mysqldb://root"}
    url = f"{users[driver]}@127.0.0.1:{port}/app"
    config = migrations(tmp_path, url, REVISION)
    alembic.command.upgrade(config, "head")
    assert there(servers, driver) == {TABLE, KEYS}
    shop = clustersql.Cluster("shop", driver=driver, commit_guard=True, commit_guard_table=TABLE)
    shop.add_node("n1", servers.dsn("n1"))
    figures = guarded(shop)
    shop.close()
    assert (figures["guarded"] > 0, figures["inactive"]) == (True, {})
    engine = create_engine(url)
    with engine.connect() as conn:
        for hook, seen in ((None, {TABLE, KEYS}), (partial(include_object, table=TABLE), set())):
            context = MigrationContext.configure(conn, opts={} if hook is None else {"include_object": hook})
            would_drop = {
                change[1].name for change in compare_metadata(context, MetaData()) if change[0] == "remove_table"
            }
            assert would_drop & {TABLE, KEYS} == seen
    engine.dispose()
    alembic.command.downgrade(config, "base")
    assert there(servers, driver) == set()


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_revision_s_statements_alone(dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes SQL for an administrator, and asks no server."""
    scheme = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+mysqldb"}[dialect]
    alembic.command.upgrade(migrations(tmp_path, f"{scheme}://db1/shop", REVISION), "head", sql=True)
    out = " ".join(capsys.readouterr().out.split())
    for statement in made(dialect, TABLE, ["app"]):
        assert f"{' '.join(statement.split())};" in out.replace("%%", "%")


def test_what_no_revision_can_make() -> None:
    with pytest.raises(ConfigError, match="a sqlite database cannot be guarded"):
        made("sqlite")
    with pytest.raises(ConfigError, match=r"the commit guard's table 'a\.b\.c': must be"):
        made("postgresql", "a.b.c")
    with pytest.raises(ConfigError, match="a list of users"):
        CreateCommitGuard(grant="app")
    assert isinstance(CreateCommitGuard("t", ["app"]).reverse().reverse(), CreateCommitGuard)


OURS = "clustersql.integrations.django"
ROUTER = f"{OURS}.ReadRouter"
EARLIER = """
from django.db import migrations, models

class Migration(migrations.Migration):
    operations = [migrations.CreateModel("Bill", [("id", models.AutoField(primary_key=True))])]
"""


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An application whose migration Django runs before ours, by its label."""
    folder = tmp_path / "bills" / "migrations"
    folder.mkdir(parents=True)
    for path in (folder.parent / "__init__.py", folder / "__init__.py"):
        path.touch()
    (folder / "0001_initial.py").write_text(EARLIER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "bills"
    for name in [name for name in sys.modules if name.split(".")[0] == "bills"]:
        del sys.modules[name]


def test_a_migration_of_django(driver: str, servers: Any, earlier: str) -> None:
    """In a new database the guard is on before its tables are there: no application's migration is lost for that."""
    apps = [OURS, earlier]
    wanted = databases(driver, servers, KNOBS={"commit_guard": True, "commit_guard_table": TABLE})
    servers.execute("n1", "DROP TABLE IF EXISTS django_migrations")
    with connected(wanted) as connections, override_settings(INSTALLED_APPS=apps, DATABASE_ROUTERS=[ROUTER]):
        shown = io.StringIO()
        call_command("sqlmigrate", "clustersql", "0001", stdout=shown)
        call_command("makemigrations", "clustersql", check=True, dry_run=True, stdout=io.StringIO())
        call_command("migrate", verbosity=0)
        assert there(servers, driver) == {TABLE, KEYS}
        cluster = connections["default"].cluster
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("UPDATE django_migrations SET name = name")
        figures = cluster.metrics()["CommitGuard"]
        with pytest.raises(CommandError, match=r"DATABASES\['default'\]: commit_guard is on: turn it off"):
            call_command("migrate", "clustersql", "zero", verbosity=0)
    assert (figures["guarded"] > 0, figures["inactive"]) == (True, {})
    assert made(kind(driver), TABLE)[0] in shown.getvalue()
    assert there(servers, driver) == {TABLE, KEYS}
    del wanted["default"]["KNOBS"]["commit_guard"]
    with connected(wanted), override_settings(INSTALLED_APPS=apps, DATABASE_ROUTERS=[ROUTER]):
        for label in ("clustersql", earlier):
            call_command("migrate", label, "zero", verbosity=0)
    assert there(servers, driver) == set()


class Nowhere:
    """A router that wants the tables on no alias."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "clustersql" else None


def test_a_router_may_say_where(servers: Any, driver: str) -> None:
    with (
        connected(databases(driver, servers)),
        override_settings(INSTALLED_APPS=[OURS], DATABASE_ROUTERS=[Nowhere()]),
    ):
        call_command("migrate", verbosity=0)
    assert there(servers, driver) == set()
