"""The Django recipe of the documentation, through a kill, a demotion and a drain on real servers."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import django
import django.db
import pytest
from django.conf import settings
from django.db import transaction
from django.db.utils import ConnectionHandler, Error
from servers.integrations.story import Stage, Story, until_it_works


@pytest.fixture(params=["psycopg", "mysqlclient"])
def story(request: pytest.FixtureRequest, stage: Callable[[str], Stage]) -> Iterator[Story]:
    """``way_in`` is Django's connection under the alias "default", with the settings of the page."""
    set_up = stage(request.param)
    if not settings.configured:
        settings.configure()
        django.setup()
    databases = importlib.import_module("settings").DATABASES
    engine = "shop.postgresql" if set_up.postgres else "shop.mysql"
    databases["default"] |= {"ENGINE": engine, "NAME": "app"}
    connection = ConnectionHandler(databases)["default"]
    django.db.connections["default"] = connection
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS orders")
        cursor.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER)")
    set_up.wait_for(0)
    yield Story(set_up, importlib.import_module("shop.clustered").cluster, connection)
    connection.close()
    del django.db.connections["default"]


def rows(story: Story, sql: str) -> list[tuple[Any, ...]]:
    with story.way_in.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def node(story: Story) -> str:
    return story.stage.node(rows(story, story.stage.port_sql)[0][0])


def insert(story: Story, number: int) -> None:
    """A request that writes in a transaction, between the signals that Django sends around requests."""
    story.way_in.close_if_unusable_or_obsolete()
    try:
        with transaction.atomic(), story.way_in.cursor() as cursor:
            cursor.execute("INSERT INTO orders VALUES (%s, 0)", [number])
    finally:
        story.way_in.close_if_unusable_or_obsolete()


def test_kill(story: Story) -> None:
    insert(story, 1)
    assert node(story) == "n1"
    story.stage.wait_for(1)
    story.stage.kill()
    until_it_works(lambda: insert(story, 2), Error, at_most=1)
    assert node(story) == "n2"
    for number in range(3, 10):
        insert(story, number)
    assert rows(story, "SELECT COUNT(*) FROM orders") == [(9,)]


def test_demotion(story: Story) -> None:
    insert(story, 1)
    story.stage.wait_for(1)
    story.stage.demote()
    until_it_works(lambda: insert(story, 2), Error, at_most=1)
    assert node(story) == "n2"
    assert rows(story, "SELECT COUNT(*) FROM orders") == [(2,)]


def test_drain(story: Story) -> None:
    with transaction.atomic():
        rows(story, "SELECT COUNT(*) FROM orders")
        story.cluster.remove_node("n1")
        with story.way_in.cursor() as cursor:
            cursor.execute("INSERT INTO orders VALUES (1, 0)")
    story.stage.wait_for(1)
    story.stage.demote()
    insert(story, 2)
    assert node(story) == "n2"
    assert rows(story, "SELECT COUNT(*) FROM orders") == [(2,)]


def test_the_arguments_of_django_reach_the_driver(story: Story) -> None:
    """On MySQL ``client_flag`` makes UPDATE count the rows it found, and ``conv`` gives times as Django wants them."""
    insert(story, 1)
    with story.way_in.cursor() as cursor:
        cursor.execute("UPDATE orders SET n = 0 WHERE id = 1")
        assert cursor.rowcount == 1, "found, though not changed"
        cursor.execute("SELECT CAST('10:11:12' AS TIME)")
        assert cursor.fetchall()[0][0] == datetime.time(10, 11, 12)


def test_a_row_that_exists_costs_no_connection(story: Story) -> None:
    insert(story, 1)
    raw = story.way_in.connection
    with pytest.raises(django.db.IntegrityError):
        insert(story, 1)
    assert story.way_in.connection is raw
    assert story.cluster.is_current(raw)
