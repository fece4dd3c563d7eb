"""Older releases of frameworks that are supported, beside those of the tests' own environment: each in a program of its
own, over the servers of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers.integrations.djangos import databases

ROOT = Path(__file__).parents[3]
OLDER = ROOT / ".servers" / "older"
PROGRAM = Path(__file__).parent / "older_sqlalchemy.py"

PATIENCE = 500
"""Seconds for a program: it imports and connects anew, on a machine that may be busy."""


def run(*arguments: str) -> list[str]:
    """Return what a program has printed, with the older releases first on its path."""
    assert (OLDER / ".whole").exists(), "the older releases are not there: make setup fetches them"
    path = os.pathsep.join([str(OLDER), str(ROOT / "src"), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(
    ("fixture", "drivers"),
    [("postgres_cluster", ("psycopg", "psycopg-aio", "asyncpg", "aiosqlite")), ("mariadb_server", ("aiomysql", "asyncmy"))],
)  # fmt: skip
def test_sqlalchemy_2_0(fixture: str, drivers: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Both pools, both APIs: its faces of asyncio's drivers are others than those of 2.1."""
    servers = request.getfixturevalue(fixture)
    servers.heal()
    nodes = dict.fromkeys(drivers, servers.dsn("n1"))
    if "aiosqlite" in nodes:
        nodes["aiosqlite"] = f"sqlite:///{tmp_path}/shop.db"
    version, *told = run(str(PROGRAM), json.dumps(nodes))
    assert version.startswith("2.0.")
    rows, streamed, modes, lost, by_its_own_pool, in_flight = [3, 2, 3], 3, [2, "refused"], ["True", 2, 2], 2, 0
    whole = [rows, streamed, modes, lost, by_its_own_pool, in_flight]
    without_sessions = [rows, streamed, modes, by_its_own_pool, in_flight]
    expected = {name: without_sessions if "sqlite" in name else whole for name in nodes}
    assert {name: json.loads(found) for name, _, found in (line.partition(" ") for line in told)} == expected


DJANGO = """
import datetime
import django
from django.conf import settings
settings.configure(DATABASES={databases!r}, DATABASE_ROUTERS=["clustersql.integrations.django.ReadRouter"], USE_TZ=True)
django.setup()
from django.db import DatabaseError, close_old_connections, connection, connections, models, transaction
from clustersql.integrations.django import rerun

class Item(models.Model):
    at = models.DateTimeField()
    data = models.JSONField()
    class Meta:
        app_label = "stock"

@rerun
def add():
    Item.objects.create(at=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), data={{"a": [1]}})

with connection.schema_editor() as editor:
    editor.create_model(Item)
try:
    add()
    close_old_connections()
    [item] = Item.objects.using("default").iterator()
    print(django.get_version(), item.at.year, item.data)
    try:
        with connections["replica"].cursor() as cursor:
            cursor.execute("DELETE FROM stock_item")
    except DatabaseError:
        print("refused")
finally:
    with connection.schema_editor() as editor:
        editor.delete_model(Item)
"""


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("driver", ["psycopg", "mysqlclient"])
def test_django_4_2(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    servers = request.getfixturevalue("postgres_cluster" if driver == "psycopg" else "mariadb_server")
    servers.heal()
    program = tmp_path / "program.py"
    program.write_text(DJANGO.format(databases=databases(driver, servers)))
    first, *rest = run("-Wignore", str(program))
    assert first.startswith("4.2.")
    assert first.endswith("2026 {'a': [1]}")
    assert rest == ["refused"]
