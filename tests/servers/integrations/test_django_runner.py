"""Django's own test runner over the recipe: it works in a database of its own, and the real one is as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.integrations.story import Stage

FILES = {
    "manage.py": """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "test_settings.py": """
from settings import DATABASES
DATABASES["default"] |= {"ENGINE": "shop.%(engine)s", "NAME": "app"}
INSTALLED_APPS = ["stock"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "stock/__init__.py": "",
    "stock/models.py": """
from django.db import models
class Order(models.Model):
    n = models.IntegerField()
""",
    "stock/tests.py": """
from django.db import connection
from django.test import TestCase, TransactionTestCase
from stock.models import Order

class Whole(TestCase):
    def test_rolled_back(self):
        self.assertEqual(Order.objects.count(), 0)
        Order.objects.create(n=2)

class Flushed(TransactionTestCase):  # at its end every table is emptied
    def test_committed(self):
        self.assertEqual(Order.objects.count(), 0)
        Order.objects.create(n=3)
        with connection.cursor() as cursor:
            cursor.execute("SELECT %(name)s")
            self.assertEqual(cursor.fetchall()[0][0], "test_app")
""",
}


@pytest.fixture(params=["psycopg", "mysqlclient"])
def real(request: pytest.FixtureRequest, stage: Callable[[str], Stage], project: Path) -> Iterator[Stage]:
    """A project with an application, whose real database holds one row; its user may make databases."""
    set_up = stage(request.param)
    values = {"engine": "postgresql", "name": "current_database()"}
    if not set_up.postgres:
        values = {"engine": "mysql", "name": "DATABASE()"}
    for name, text in FILES.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text % values if "%(" in text else text)
    execute = set_up.servers.execute
    execute("n1", "CREATE TABLE stock_order (id BIGINT PRIMARY KEY, n INTEGER NOT NULL)")
    execute("n1", "INSERT INTO stock_order VALUES (1, 42)")
    if set_up.postgres:
        execute("n1", "ALTER TABLE stock_order OWNER TO app")
        execute("n1", "ALTER ROLE app CREATEDB")
    else:
        execute("n1", "GRANT ALL ON test_app.* TO app@'%'")
    yield set_up
    execute("n1", "DROP TABLE stock_order")
    if set_up.postgres:
        execute("n1", "ALTER ROLE app NOCREATEDB")
    else:
        execute("n1", "REVOKE ALL ON test_app.* FROM app@'%'")


def test_the_runner_leaves_the_real_database_alone(real: Stage, project: Path) -> None:
    command = [sys.executable, "-Wdefault", "manage.py", "test", "--settings=test_settings", "--noinput", "-v2"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "Ran 2 tests" in run.stderr
    assert real.servers.execute("n1", "SELECT id, n FROM stock_order") == [(1, 42)]
