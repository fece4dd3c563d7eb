"""Django's backend for PostGIS over our pool, on real servers with the extension."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.gis.db import models
from django.contrib.gis.db.models import Extent
from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D
from django.db import DatabaseError, close_old_connections, transaction
from servers.integrations.djangos import connected, databases
from support.waiting import eventually

from clustersql.integrations.django import rerun
from clustersql.testing import PostgresCluster


def model() -> Any:
    """A place on the map, and on the globe; made once Django is configured."""

    class Shop(models.Model):
        name = models.CharField(max_length=20)
        at = models.PointField()
        reach = models.PolygonField(geography=True, null=True)

        class Meta:
            app_label = "maps"
            apps = Apps()

    return Shop


@pytest.fixture(scope="module")
def servers() -> Iterator[PostgresCluster]:
    """Debian's, for the wheel has no PostGIS."""
    with PostgresCluster(2, server="system") as cluster:
        cluster.execute("n1", "ALTER ROLE app SUPERUSER")  # which makes extensions
        yield cluster


def rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_geometries(servers: PostgresCluster) -> None:
    """The types are known on the connection that has made the extension, on every other session, and after a loss."""
    engine = "clustersql.integrations.django.postgis"
    found = {alias: entry | {"ENGINE": engine} for alias, entry in databases("psycopg", servers).items()}
    with connected(found) as connections:
        connection, shops = connections["default"], model()
        assert rows(connections["replica"], "SELECT 1") == [(1,)]  # a session from before there were such types
        connection.prepare_database()
        with connection.schema_editor() as editor:
            editor.create_model(shops)

        @rerun
        def add() -> None:
            square = Polygon.from_bbox((0, 0, 1, 1))
            for number in range(3):
                shops.objects.create(name=f"s{number}", at=Point(number, number, srid=4326), reach=square)

        add()
        for _ in range(2):
            near = shops.objects.filter(at__dwithin=(Point(0, 0, srid=4326), 1.5))
            assert {shop.name: shop.at.coords for shop in near} == {"s0": (0.0, 0.0), "s1": (1.0, 1.0)}
            assert shops.objects.aggregate(box=Extent("at"))["box"] == (0.0, 0.0, 2.0, 2.0)
            assert shops.objects.filter(reach__dwithin=(Point(1, 1, srid=4326), D(m=10))).count() == 3
            close_old_connections()
            for name in servers.nodes:
                servers.terminate_sessions(name)
        with transaction.atomic():
            assert [shop.reach.area for shop in shops.objects.iterator()] == [1.0, 1.0, 1.0]
        replica = shops.objects.using("replica").filter(at__contained=Polygon.from_bbox((0, 0, 1, 1)))

        def has_followed() -> bool:
            with suppress(DatabaseError):  # the standby has no table yet
                return sorted(shop.name for shop in replica.all()) == ["s0", "s1"]
            return False

        assert eventually(has_followed)
        with connection.schema_editor() as editor:
            editor.delete_model(shops)
