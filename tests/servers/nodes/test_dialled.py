"""What `dial` and `adial` give a framework: the database that it names, under whichever of the driver's names
for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.face import cluster_of
from support.stage import DRIVERS, POSTGRES

from clustersql import NoNodeAvailable
from clustersql.core.view.node import Reach, Readiness

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


WRONG = {"psycopg": {"dbname": "absent"}, "pymysql": {"database": "absent"}, "aiomysql": {"db": "absent"}}
# Of aiomysql a connection that was never begun warns at its end.
MISTAKE = {driver: {"nonsense": 1} for driver in DRIVERS if driver != "aiomysql"}


@pytest.mark.parametrize(("driver", "arguments"), [*WRONG.items(), *MISTAKE.items()])
def test_a_callers_mistake_is_no_news_about_the_nodes(asking: Asking, driver: str, arguments: dict[str, Any]) -> None:
    """A database that is not there, an argument that the driver does not know: the error comes at once, and nobody else
    is refused.
    """
    cluster, _, sql = asking
    with pytest.raises(NoNodeAvailable) as caught:
        cluster.dial(timeout=20.0, **arguments)
    assert "within 20" not in str(caught.value), "it waited for a mistake to heal"
    assert [(node.reach, node.readiness) for node in cluster.view if node.reach is not Reach.UNKNOWN] in (
        [],
        [(Reach.UP, Readiness.READY)],
    )
    assert told(cluster, cluster.dial(), sql) == "app"
