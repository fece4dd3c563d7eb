"""A program that uses SQLAlchemy over one server, for releases that are not those of the tests' own environment.

``python older_sqlalchemy.py JSON``: the nodes' URLs by driver.  It prints SQLAlchemy's version, and then what each
driver has answered.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import Any

import sqlalchemy
from servers.integrations.engines import POSTGRES, Engines, engines_of
from sqlalchemy import Integer, String, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import clustersql
from clustersql.integrations.sqlalchemy import cause

NAMED = "/?plugin=clustersql&clustersql_cluster=shop"


class Base(DeclarativeBase):
    """The table."""


class Item(Base):
    """A row whose number the database gives."""

    __tablename__ = "older_items"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


def rows(engines: Engines, engine: Any) -> Any:
    """Rows of the ORM's, a savepoint, and counts."""

    def work(conn: Any) -> tuple[int, int, int]:
        Base.metadata.drop_all(conn)
        Base.metadata.create_all(conn)
        with Session(conn) as session:
            session.add_all([Item(name="pear"), Item(name="plum")])
            session.flush()
            first = Item(name="fig")
            session.add(first)
            session.flush()
            number = first.id
            session.commit()
        with conn.begin_nested() as savepoint:
            conn.execute(text("DELETE FROM older_items"))
            savepoint.rollback()
        changed = conn.execute(text("UPDATE older_items SET name = 'kiwi' WHERE id > 1")).rowcount
        return number, changed, conn.execute(text("SELECT count(*) FROM older_items")).scalar_one()

    return engines.work(engine, work)


def streamed(engines: Engines, engine: Any) -> int:
    """What a cursor on the server has brought."""

    def work(conn: Any) -> int:
        found = conn.execution_options(stream_results=True).execute(text("SELECT id FROM older_items"))
        return sum(len(part) for part in found.partitions(2))

    return int(engines.work(engine, work))


def modes(engines: Engines) -> Any:
    """The autocommit mode keeps what an error would undo; a reader's server refuses a write."""
    loose = engines.make(NAMED, isolation_level="AUTOCOMMIT")

    def fails(conn: Any) -> None:
        conn.execute(text("DELETE FROM older_items WHERE id = 1"))
        raise KeyError

    try:
        engines.work(loose, fails)
    except KeyError:
        kept = engines.ask(loose, "SELECT count(*) FROM older_items")
    try:
        engines.work(engines.reads(loose), lambda conn: conn.execute(text("DELETE FROM older_items")))
    except DBAPIError:
        return kept, "refused"
    return kept, "written"


def lost(engines: Engines, engine: Any) -> Any:
    """A session that ends in a transaction is our error, and `run` does all of it again."""
    postgres = engines.driver in POSTGRES
    ask, end = (
        ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})")
        if postgres
        else ("SELECT connection_id()", "KILL CONNECTION {}")
    )
    attempts: list[int] = []

    with closing(clustersql.Cluster("other", driver="psycopg" if postgres else "pymysql")) as other:
        other.add_node("n1", engines.node)  # type: ignore[attr-defined]

        def work(conn: Any) -> int:
            attempts.append(conn.execute(text(ask)).scalar_one())
            if len(attempts) == 1:
                other.open().execute(end.format(attempts[0]))
            return int(conn.execute(text("SELECT 2")).scalar_one())

        try:
            engines.work(engine, work)
            told = ""
        except OperationalError as error:
            told = str(isinstance(cause(error), clustersql.TransactionLost))
        attempts.clear()
        return told, engines.run(engine, work), len(attempts)


def main(nodes: dict[str, str]) -> None:
    """Print what each driver has answered."""
    print(sqlalchemy.__version__)
    for driver, node in nodes.items():
        with engines_of(driver) as (engines, cluster):
            cluster.add_node("n1", node)
            engines.node = node  # type: ignore[attr-defined]
            engine = engines.make(NAMED)
            found = [rows(engines, engine), streamed(engines, engine), modes(engines)]
            if "sqlite" not in driver:
                found.append(lost(engines, engine))
            own = engines.make(NAMED + "&clustersql_pool=sqlalchemy")
            found.append(engines.ask(own, "SELECT count(*) FROM older_items"))
            engines.work(engine, Base.metadata.drop_all)
            found.append(cluster.metrics()["Pool"]["InFlight"])
        print(driver, json.dumps(found), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
