"""What `dial` and `adial` give a framework: the database that it names, under whichever of the driver's names for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from face import cluster_of
from live.stage import DRIVERS, POSTGRES

NAMES = dict.fromkeys(("psycopg", "psycopg2", "psycopg-aio"), ("dbname",))
NAMES |= {"pg8000": ("database",), "asyncpg": ("database", "dbname"), "mysql-connector": ("database", "db")}
NAMES |= {"aiomysql": ("db",), "asyncmy": ("db", "database"), "mariadb": ("database", "db")}
NAMES |= {"mysqlclient": ("database", "db"), "pymysql": ("database",)}

Asking = tuple[Any, Any, str]
"""A cluster of one node, its server, and the statement that tells the database."""


@pytest.fixture
def asking(driver: str, request: pytest.FixtureRequest) -> Iterator[Asking]:
    server: Any = request.getfixturevalue("postgres" if driver in POSTGRES else "_mariadb")
    with cluster_of(driver, "dialled") as cluster:
        cluster.add_node("n1", host="127.0.0.1", port=server.port("n1"), user="app", password="secret", database="app")
        yield cluster, server, "SELECT current_database()" if driver in POSTGRES else "SELECT DATABASE()"


def told(cluster: Any, raw: Any, sql: str) -> Any:
    """What a connection of the driver tells, and close it."""
    adapter, loop = cluster.driver, getattr(cluster, "loop", None)
    call = loop.call if loop is not None else lambda function, *args: function(*args)
    try:
        [[row]] = call(adapter.ask, raw, (sql,))
        return row[0]
    finally:
        call(adapter.close, raw)


@pytest.mark.parametrize(("driver", "name"), [(driver, name) for driver in DRIVERS for name in NAMES[driver]])
def test_the_callers_database_wins(asking: Asking, driver: str, name: str) -> None:
    """Under each name that the driver has for it: of two names some drivers take the node's."""
    cluster, _, sql = asking
    other = "postgres" if driver in POSTGRES else "information_schema"
    assert told(cluster, cluster.dial(), sql) == "app"
    assert told(cluster, cluster.dial(**{name: other}), sql) == other


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver not in POSTGRES])
def test_no_database_at_all(asking: Asking, driver: str) -> None:
    """A caller who says None is not given the node's: Django makes and drops its test database from outside of any."""
    cluster, _, sql = asking
    assert told(cluster, cluster.dial(database=None), sql) is None
