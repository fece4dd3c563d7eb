"""Peewee over our pool: what it writes and reads, and sessions that end under it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

import clustersql
from clustersql.integrations.peewee import MySQLDatabase, PostgresqlDatabase, cause

KINDS = {"psycopg": PostgresqlDatabase, "psycopg2": PostgresqlDatabase, "pymysql": MySQLDatabase}


class Item(peewee.Model):
    name = peewee.CharField(unique=True)
    extra = peewee.IntegerField(default=0)

    class Meta:
        table_name = "peewee_items"


@pytest.fixture(params=list(KINDS))
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, clustersql.Cluster]]:
    """The database, the servers and the cluster."""
    servers: Any = request.getfixturevalue("mariadb_server" if request.param == "pymysql" else "postgres_cluster")
    servers.heal()
    cluster = clustersql.Cluster("peewee", driver=request.param)
    for name in servers.nodes:
        cluster.add_node(name, servers.dsn(name))
    db = KINDS[request.param]("app", cluster=cluster)
    with db.bind_ctx([Item]), db:
        db.create_tables([Item])
    with db.bind_ctx([Item]):
        yield db, servers, cluster
    with db.bind_ctx([Item]), db:
        db.drop_tables([Item])
    cluster.close()


def end_sessions(servers: Any) -> None:
    for name in servers.nodes:
        servers.terminate_sessions(name)


def create(db: Any, first: str, second: str, between: Callable[[], object] = int) -> None:
    with db.atomic():
        Item.create(name=first)
        between()
        Item.create(name=second)


def test_rows_and_transactions(made: Any) -> None:
    db, _, cluster = made
    with db.connection_context():
        Item.create(name="pear")
        with pytest.raises(peewee.IntegrityError):
            create(db, "plum", "pear")
        with db.atomic():
            with suppress(peewee.IntegrityError), db.atomic():
                Item.create(name="pear")
            Item.create(name="fig")
        assert Item.update(extra=0).where(Item.name == "fig").execute() in (0, 1)
        assert [item.name for item in Item.select().order_by(Item.name)] == ["fig", "pear"]
    for _ in range(3):
        with db.connection_context():
            assert Item.select().count() == 2
    assert cluster.metrics()["Pool"]["InFlight"] == 0
    # One is used again and again; a dial that was slow had another beside it, and both are kept.
    assert cluster.metrics()["Pool"]["Size"] <= 2


def test_sessions_that_end(made: Any) -> None:
    """Between two uses that is no error; in a transaction it is one, once."""
    db, servers, _ = made
    end_sessions(servers)
    with db.connection_context():
        Item.create(name="pear")
        with pytest.raises(peewee.OperationalError) as caught:
            create(db, "plum", "fig", between=lambda: end_sessions(servers))
        assert isinstance(cause(caught.value), clustersql.TransactionLost)
        with db.atomic():
            Item.create(name="fig")
        assert [item.name for item in Item.select().order_by(Item.name)] == ["fig", "pear"]


def test_read_only(made: Any) -> None:
    db, _, cluster = made
    reads = type(db)("app", cluster=cluster, read_only=True)
    with Item.bind_ctx(reads), reads.connection_context():
        assert reads.execute_sql("SELECT 1").fetchone()[0] == 1
        with pytest.raises(peewee.DatabaseError, match=r"(?i)read.only"):
            Item.create(name="never")


def test_mistakes(made: Any) -> None:
    db, _, cluster = made
    other = MySQLDatabase if type(db) is PostgresqlDatabase else PostgresqlDatabase
    with pytest.raises(clustersql.ConfigError, match=r"has the driver .*, and .* uses"):
        other("app", cluster=cluster)
    with pytest.raises(clustersql.ConfigError, match="host, password: address and credentials"):
        type(db)("app", cluster=cluster, host="db1", password="s3cret")
    with pytest.raises(clustersql.ConfigError, match="give cluster="):
        type(db)("app")
    with pytest.raises(clustersql.ConfigError, match="no cluster 'nowhere' is registered"):
        type(db)("app", cluster="nowhere")
