"""A project of Django's over a cluster, and its own test runner: it works in a database of its own, and the real one is
as it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
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
DATABASES = {
    "default": {"ENGINE": "%(engine)s", "NAME": "app", "USER": "app", "PASSWORD": "secret", "NODES": %(nodes)s, "ATOMIC_REQUESTS": True, "KNOBS": {"commit_guard": True}},
    "replica": {"ENGINE": "%(engine)s", "REPLICA_OF": "default"},
}
DATABASE_ROUTERS = ["clustersql.integrations.django.ReadRouter"]
MIDDLEWARE = ["clustersql.integrations.django.PinningMiddleware"]
INSTALLED_APPS = ["stock", "clustersql.integrations.django"]
ROOT_URLCONF = "stock.views"
ALLOWED_HOSTS = ["*"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
""",
    "stock/__init__.py": "",
    "stock/models.py": """
from django.db import models
class Order(models.Model):
    n = models.IntegerField()
    at = models.DateTimeField(null=True)
""",
    "stock/views.py": """
from django.db import transaction
from django.http import JsonResponse
from django.urls import path
from stock.models import Order

def add(request):  # in a transaction, by ATOMIC_REQUESTS
    order = Order.objects.create(n=int(request.GET["n"]))
    if order.n < 0:
        raise ValueError(order.n)
    return JsonResponse({"atomic": transaction.get_connection().in_atomic_block})

@transaction.non_atomic_requests
async def later(request):
    await Order.objects.acreate(n=5)
    return JsonResponse({"orders": await Order.objects.acount()})

urlpatterns = [path("add", add), path("later", later)]
""",
    "stock/tests.py": """
import datetime
from django.db import connection, connections, transaction
from django.test import TestCase, TransactionTestCase
from stock.models import Order
from clustersql.integrations.django import rerun

class Whole(TestCase):
    databases = "__all__"

    def test_rolled_back(self):
        self.assertEqual(Order.objects.count(), 0)
        order = Order.objects.create(n=2, at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC))
        self.assertEqual(list(Order.objects.values_list("n", "at")), [(2, order.at)])
        self.assertEqual(Order.objects.using("replica").count(), 0)
        self.assertTrue(connections["replica"].creation.is_mirror)
        self.assertEqual(rerun(Order.objects.count)(), 1)
        with self.captureOnCommitCallbacks(execute=True) as called:
            transaction.on_commit(lambda: None)
        self.assertEqual(len(called), 1)

class Flushed(TransactionTestCase):  # at its end every table is emptied
    def test_committed(self):
        self.assertEqual(Order.objects.count(), 0)
        Order.objects.create(n=3)
        with transaction.atomic():
            self.assertEqual(Order.objects.select_for_update().get().n, 3)
        self.assertEqual([order.n for order in Order.objects.iterator(chunk_size=1)], [3])
        guard = connection.cluster.metrics()["CommitGuard"]  # its tables are in this database
        self.assertGreater(guard["guarded"], 0)
        self.assertEqual(guard["inactive"], {})
        with connection.cursor() as cursor:
            cursor.execute("SELECT %(name)s")
            self.assertRegex(cursor.fetchall()[0][0], "^test_app")  # each process has a copy of its own

    def test_requests(self):
        self.assertEqual(self.client.get("/add?n=1").json(), {"atomic": True})
        with self.assertRaises(ValueError):
            self.client.get("/add?n=-1")
        self.assertEqual([order.n for order in Order.objects.all()], [1])
        answer = self.client.get("/add?n=2")
        self.assertIn("clustersql_pin", answer.cookies)

    async def test_an_async_view(self):
        answer = await self.async_client.get("/later")
        self.assertEqual(answer.json(), {"orders": 1})
        self.assertIn("clustersql_pin", answer.cookies)
""",
}


@pytest.fixture(params=["psycopg", "mysqlclient"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A project with an application, whose real database holds one row; its user may make databases."""
    servers = request.getfixturevalue({"psycopg": "postgres_cluster", "mysqlclient": "mariadb_server"}[request.param])
    servers.heal()
    set_up = Stage(request.param, servers)
    nodes = repr([f"127.0.0.1:{set_up.servers.port(name)}" for name in set_up.servers.nodes])
    engine, asked = ("postgresql", "current_database()") if set_up.postgres else ("mysql", "DATABASE()")
    values = {"engine": f"clustersql.integrations.django.{engine}", "name": asked, "nodes": nodes}
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text % values if "%(" in text else text)
    execute = set_up.servers.execute
    execute("n1", "CREATE TABLE stock_order (id BIGINT PRIMARY KEY, n INTEGER NOT NULL, at TIMESTAMP NULL)")
    execute("n1", "INSERT INTO stock_order VALUES (1, 42, NULL)")
    if set_up.postgres:
        execute("n1", "ALTER TABLE stock_order OWNER TO app")
        execute("n1", "ALTER ROLE app CREATEDB")
    else:
        execute("n1", "GRANT ALL ON `test\\_app%`.* TO app@'%'")
    yield set_up
    execute("n1", "DROP TABLE stock_order")
    if set_up.postgres:
        execute("n1", "ALTER ROLE app NOCREATEDB")
    else:
        execute("n1", "REVOKE ALL ON `test\\_app%`.* FROM app@'%'")


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-Wdefault", "manage.py", *arguments, "--settings=test_settings"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_runner_leaves_the_real_database_alone(real: Stage, tmp_path: Path) -> None:
    """Not even a probe goes there: meanwhile the user may not connect to it."""
    out, back = ("REVOKE CONNECT ON DATABASE app FROM {}", "GRANT CONNECT ON DATABASE app TO {}")
    if not real.postgres:
        out, back = ("REVOKE ALL ON app.* FROM {}@'%'", "GRANT ALL ON app.* TO {}@'%'")
    users = ("public", "app") if real.postgres else ("app",)
    for user in users:
        real.servers.execute("n1", out.format(user))
    try:
        run = manage(tmp_path, "test", "--noinput", "-v2", "--parallel=2")
    finally:
        for user in users:
            real.servers.execute("n1", back.format(user))
    assert run.returncode == 0, run.stderr
    assert "Ran 4 tests" in run.stderr
    assert real.servers.execute("n1", "SELECT id, n FROM stock_order") == [(1, 42)]
    told = manage(tmp_path, "inspectdb", "stock_order")
    assert "class StockOrder(models.Model):" in told.stdout, told.stderr
