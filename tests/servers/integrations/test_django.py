"""Django over our pool, by its ENGINE, through a kill, a demotion and a drain on real servers."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django.db
import pytest
from asgiref.sync import sync_to_async
from django.apps.registry import Apps
from django.db import close_old_connections, connections, models, transaction
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from servers.integrations.conftest import SERVERS
from servers.integrations.djangos import connected, databases
from servers.integrations.story import Stage, Story
from support.standbys import hold_back

import clustersql
from clustersql.integrations.django import PinningMiddleware, ReadRouter, cause, rerun
from clustersql.integrations.django.mysql.base import ClusteredMySQL
from clustersql.integrations.django.postgresql.base import ClusteredPostgreSQL


@pytest.fixture(params=["psycopg", "mysqlclient"])
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    """A cluster that is broken; ``way_in`` is Django's connection under the alias "default"."""
    servers = request.getfixturevalue(SERVERS[request.param])
    servers.heal()
    stage = Stage(request.param, servers)
    with told(stage) as found:
        stage.wait_for(0)
        yield found


@pytest.fixture(params=["psycopg", "mysqlclient"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Servers whose sessions end at most."""
    servers = request.getfixturevalue({"psycopg": "postgres_cluster", "mysqlclient": "mariadb_server"}[request.param])
    servers.heal()
    return Stage(request.param, servers)


@pytest.fixture
def quiet(stage: Stage) -> Iterator[Story]:
    with told(stage) as found:
        yield found


@contextmanager
def told(stage: Stage) -> Iterator[Story]:
    with connected(databases(stage.driver, stage.servers)) as connections:
        connection = connections["default"]
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS orders")
            cursor.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER)")
        yield Story(stage, connection.cluster, connection)


def rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def node(story: Story) -> str:
    return story.stage.node(rows(story.way_in, story.stage.port_sql)[0][0])


def insert(story: Story, number: int) -> None:
    """A request that writes in a transaction, between the signals that Django sends around requests."""
    close_old_connections()
    try:

        @rerun
        def work() -> None:
            with story.way_in.cursor() as cursor:
                cursor.execute("INSERT INTO orders VALUES (%s, 0)", [number])

        work()
    finally:
        close_old_connections()


def read(story: Story) -> int:
    """A request that reads where the router would."""
    close_old_connections()
    try:
        return int(rows(django.db.connections["replica"], "SELECT COUNT(*) FROM orders")[0][0])
    finally:
        close_old_connections()


def outside(connection: Any, sql: str) -> Any:
    """Ask from where Django makes and drops databases."""
    with connection.creation._nodb_cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def end_sessions(stage: Stage) -> None:
    """Let each server end the sessions of the application."""
    for name in stage.servers.nodes:
        stage.servers.terminate_sessions(name)


def test_kill(story: Story) -> None:
    """Neither a read nor a transaction under `rerun` has an error."""
    insert(story, 1)
    assert node(story) == "n1"
    story.stage.wait_for(1)
    assert read(story) == 1
    story.stage.kill()
    for number in range(2, 6):
        insert(story, number)
        assert read(story) >= 1
    assert node(story) == "n2"
    assert rows(story.way_in, "SELECT COUNT(*) FROM orders") == [(5,)]


def test_demotion(story: Story) -> None:
    insert(story, 1)
    story.stage.wait_for(1)
    story.stage.demote()
    insert(story, 2)
    assert node(story) == "n2"
    assert rows(story.way_in, "SELECT COUNT(*) FROM orders") == [(2,)]


def test_drain(story: Story) -> None:
    with transaction.atomic():
        rows(story.way_in, "SELECT COUNT(*) FROM orders")
        story.cluster.drain(story.way_in.connection.node)
        with story.way_in.cursor() as cursor:
            cursor.execute("INSERT INTO orders VALUES (1, 0)")
    story.stage.wait_for(1)
    story.stage.demote()
    insert(story, 2)
    assert node(story) == "n2"
    assert rows(story.way_in, "SELECT COUNT(*) FROM orders") == [(2,)]


def test_sessions_that_end(quiet: Story) -> None:
    """Between two requests that is no error; in a transaction it is ours, and `rerun` does it again, but not what is
    committed.
    """
    insert(quiet, 1)
    end_sessions(quiet.stage)
    insert(quiet, 2)
    attempts: list[str] = []

    def work(hook: Any = None) -> int:
        attempts.append("work")
        rows(quiet.way_in, "SELECT 1")
        if len(attempts) == 1:
            end_sessions(quiet.stage)
        if hook is not None:
            transaction.on_commit(hook)
        return int(rows(quiet.way_in, "SELECT COUNT(*) FROM orders")[0][0])

    with pytest.raises(django.db.OperationalError) as caught, transaction.atomic():
        work()
    assert isinstance(cause(caught.value), clustersql.TransactionLost)
    attempts.clear()
    assert rerun(work)() == 2
    assert len(attempts) == 2

    def fails() -> None:
        raise RuntimeError("after the commit")

    attempts[:] = ["work"]
    with pytest.raises(RuntimeError, match="after the commit"):
        rerun(work)(fails)
    assert len(attempts) == 2
    with pytest.raises(django.db.IntegrityError):
        insert(quiet, 1)
    insert(quiet, 3)


def test_what_django_sets_up_is_in_each_session_and_pins_nothing(stage: Stage) -> None:
    """Its arguments too: on MySQL ``client_flag`` makes UPDATE count the rows it found, and ``conv`` gives times as
    Django wants them.
    """
    options: dict[str, Any] = {"isolation_level": 4 if stage.postgres else "serializable"}
    with connected(databases(stage.driver, stage.servers, OPTIONS=options, TIME_ZONE=None)) as connections:
        connection = connections["default"]
        ask = "SHOW transaction_isolation" if stage.postgres else "SELECT @@tx_isolation"
        for _ in range(2):
            # psycopg gives the level to the transactions that it begins.
            with transaction.atomic():
                assert rows(connection, ask)[0][0].lower() == "serializable"
            assert connection.connection.pins == ()
            connection.close()
            end_sessions(stage)
        assert rows(connection, "SELECT CAST('10:11:12' AS TIME)") == [(datetime.time(10, 11, 12),)]
        assert connection.is_usable()
        connection.close()
        assert connection.cluster.metrics()["Pool"]["InFlight"] == 0


def test_requests_of_many_threads_share_the_pool(quiet: Story) -> None:
    """A thread per request, as under ASGI: its connection is given back, and the session is there for the next one."""
    sessions: set[Any] = set()
    ask = "SELECT pg_backend_pid()" if quiet.stage.postgres else "SELECT CONNECTION_ID()"

    def request() -> None:
        sessions.add(rows(django.db.connections["default"], ask)[0][0])
        close_old_connections()

    quiet.way_in.close()
    for _ in range(10):
        thread = threading.Thread(target=request)
        thread.start()
        thread.join()
    assert len(sessions) == 1
    assert quiet.cluster.metrics()["Pool"]["InFlight"] == 0


def test_the_read_only_alias(quiet: Story) -> None:
    """It is the same cluster and pool, and the server refuses writes on it; a write turns the reads of a request to the
    primary.
    """
    router, replica = ReadRouter(), django.db.connections["replica"]
    assert replica.cluster is quiet.cluster
    with pytest.raises(django.db.DatabaseError, match=r"(?i)read.only"):
        rows(replica, "CREATE TABLE never (n INTEGER)")
    replica.close()
    close_old_connections()
    assert router.db_for_read(None) == "replica"
    with transaction.atomic():
        assert router.db_for_read(None) == "default"
    rows(quiet.way_in, "SELECT 1")
    assert router.db_for_read(None) == "replica"
    with quiet.way_in.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (9, 0)")
    assert router.db_for_read(None) == "default"
    close_old_connections()
    assert router.db_for_read(None) == "replica"


@contextmanager
def held_back(servers: Any) -> Iterator[None]:
    """Within the block the replicas are far behind: a read that is right was the primary's."""
    try:
        hold_back(servers, "n2", "n3")
        yield
    finally:
        for name in ("n2", "n3"):
            servers.execute(name, "ALTER SYSTEM RESET recovery_min_apply_delay")
            servers.execute(name, "SELECT pg_reload_conf()")


@pytest.mark.parametrize("way", ["cookie", "header"])
def test_the_next_request_reads_what_its_bookmark_stands_for(postgres_cluster: Any, way: str) -> None:
    """By a cookie under threads, by a header under asyncio.  Whatever a request brings, it is no error of its."""
    postgres_cluster.heal()
    setting = {"cookie": {"CLUSTERSQL_BOOKMARK_COOKIE": "seen"}, "header": {"CLUSTERSQL_BOOKMARK_HEADER": "X-Seen"}}
    with told(Stage("psycopg", postgres_cluster)) as story, override_settings(**setting[way]):
        cluster = story.cluster

        def work(request: HttpRequest) -> HttpResponse:
            close_old_connections()
            try:
                if request.method == "POST":
                    with transaction.atomic():
                        rows(
                            connections["default"],
                            "INSERT INTO orders VALUES ((SELECT count(*) FROM orders), 0) RETURNING id",
                        )
                    assert ReadRouter().db_for_read(None) == "default"
                    return HttpResponse()
                alias = ReadRouter().db_for_read(None)
                assert alias == "replica", "the reader's node is looked for, and nothing is pinned"
                return HttpResponse(str(rows(connections[alias], "SELECT count(*) FROM orders")[0][0]))
            finally:
                close_old_connections()

        async def later(request: HttpRequest) -> HttpResponse:
            return await sync_to_async(work)(request)

        def send(method: str, brought: str) -> tuple[str, str]:
            request = HttpRequest()
            request.method = method
            if brought and way == "cookie":
                request.COOKIES = {"seen": brought}
            elif brought:
                request.META["HTTP_X_SEEN"] = brought
            answer = PinningMiddleware(work)(request) if way == "cookie" else asyncio.run(ask(request))
            assert "clustersql_pin" not in answer.cookies
            told = answer.cookies["seen"].value if "seen" in answer.cookies else answer.get("X-Seen", "")
            return answer.content.decode(), told

        async def ask(request: HttpRequest) -> Any:
            return await PinningMiddleware(later)(request)

        story.stage.wait_for(0)
        story.way_in.close()
        with held_back(postgres_cluster):
            bookmark = send("POST", "")[1]
            assert bookmark.startswith("1~p~")
            assert send("GET", bookmark) == ("1", ""), "a reader who has nothing new to tell carries none"
            lineage = bookmark.split("~")[2]
            for bad in ("nonsense", "2~p~1~1~1", "1~p~1~1~1", f"1~p~{lineage}~1~ffffffffff", "1~g~" + "0" * 32):
                refused = cluster.metrics()["CausalReads"]["refused"]
                shown, renewed = send("GET", bad)
                assert (shown, renewed[:4]) == ("1", "1~p~"), bad
                assert cluster.metrics()["CausalReads"]["refused"] == refused + 1, bad
                assert send("GET", renewed)[0] == "1"
            assert send("POST", "nonsense")[1].startswith("1~p~")


def test_the_shell_is_that_of_the_primary(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda args, env=None, check=False: started.append((args, env)))
    story.stage.demote()
    insert(story, 1)
    story.way_in.client.runshell([])
    [(args, env)] = started
    said = " ".join(args)
    assert str(story.stage.servers.port("n2")) in said
    assert "secret" in env.values()
    assert "secret" not in said
    assert story.cluster.metrics()["Pool"]["InFlight"] == 0


def test_a_migration_stays_where_it_is(quiet: Story) -> None:
    registry = Apps()  # of this test's own: Django warns of a model that is registered twice

    class Item(models.Model):
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "stock"
            apps = registry
            db_table = "orders_items"

    with quiet.way_in.schema_editor() as editor:
        editor.create_model(Item)
        assert quiet.way_in.connection._state.options.move is False
    assert quiet.way_in.connection._state.options.move is True
    with quiet.way_in.schema_editor() as editor:
        editor.delete_model(Item)


def test_a_cluster_with_a_name(stage: Stage) -> None:
    """Its address and credentials are its own: a shell is told those of the node."""
    cluster = clustersql.register(clustersql.Cluster("shop", driver=stage.driver))
    try:
        for name in stage.servers.nodes:
            cluster.add_node(name, stage.servers.dsn(name))
        found = databases(stage.driver, stage.servers, NODES=[], USER="", PASSWORD="", CLUSTER="shop")
        with connected(found) as connections:
            connection = connections["default"]
            assert rows(connection, "SELECT 1") == [(1,)]
            assert connection.cluster is cluster
            where = "SELECT nullif(current_database(), 'postgres')" if stage.postgres else "SELECT DATABASE()"
            assert outside(connection, where) is None, "not the node's own database"
            told = connection.primary_settings()
            assert told["PORT"] == str(stage.servers.port("n1"))
            assert told["USER"] == "app"
    finally:
        clustersql.unregister("shop")


def test_a_backend_of_another_package_goes_between(stage: Stage) -> None:
    """It may make another class of cursors for each connection: the sessions stay the same."""
    import prometheus_client
    from django_prometheus.db.backends.mysql import base as for_mysql
    from django_prometheus.db.backends.postgresql import base as for_postgresql

    mixin, theirs = (ClusteredPostgreSQL, for_postgresql) if stage.postgres else (ClusteredMySQL, for_mysql)
    wrapper = type("DatabaseWrapper", (mixin, theirs.DatabaseWrapper), {})
    counter, labels = (
        "django_db_execute_total",
        {"alias": "default", "vendor": "postgresql" if stage.postgres else "mysql"},
    )
    before = prometheus_client.REGISTRY.get_sample_value(counter, labels) or 0.0
    with connected(databases(stage.driver, stage.servers)) as connections:
        connections["default"] = connection = wrapper(connections.settings["default"], alias="default")
        for _ in range(10):
            assert rows(connection, "SELECT 1") == [(1,)]
            connection.close()
        # One is used again and again; a dial that was slow had another beside it, and both are kept.
        assert connection.cluster.metrics()["Pool"]["Size"] <= 2
    assert prometheus_client.REGISTRY.get_sample_value(counter, labels) == before + 10


def test_a_user_who_may_not_see_the_database_postgres(postgres_cluster: Any) -> None:
    """Django makes test databases from another one then, and the cluster is made for that."""
    postgres_cluster.heal()
    postgres_cluster.execute("n1", "REVOKE CONNECT ON DATABASE postgres FROM public")
    try:
        found = databases("psycopg", postgres_cluster, KNOBS={"timeout": 1.0})
        with (
            connected(found) as connections,
            pytest.warns(RuntimeWarning, match="unable to create a connection to the 'postgres' database"),
        ):
            assert outside(connections["default"], "SELECT current_database()") == "app"
    finally:
        postgres_cluster.execute("n1", "GRANT CONNECT ON DATABASE postgres TO public")


PSYCOPG2 = """
import sys
sys.modules["psycopg"] = None  # Django takes psycopg2 where there is no other
import datetime
import django
from django.conf import settings
settings.configure(DATABASES={databases!r}, USE_TZ=True)
django.setup()
from django.db import connection, connections, models

class Item(models.Model):
    at = models.DateTimeField()
    data = models.JSONField()
    class Meta:
        app_label = "stock"

with connection.schema_editor() as editor:
    editor.create_model(Item)
try:
    Item.objects.create(at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), data={{"a": [1]}})
    connection.close()
    [item] = Item.objects.iterator()
    print(connection.cluster.driver.name, item.at.year, item.data)
finally:
    with connection.schema_editor() as editor:
        editor.delete_model(Item)
with connections["replica"].cursor() as cursor:
    cursor.execute("SHOW transaction_read_only")
    print(cursor.fetchone())
"""


def test_psycopg2(postgres_cluster: Any, tmp_path: Path) -> None:
    postgres_cluster.heal()
    program = tmp_path / "program.py"
    program.write_text(PSYCOPG2.format(databases=databases("psycopg", postgres_cluster)))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["psycopg2 2026 {'a': [1]}", "('on',)"], done.stderr
