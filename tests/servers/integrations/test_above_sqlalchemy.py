"""What stands on SQLAlchemy and takes a URL needs no code: each program is the one of its project's own quick start,
with another URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import alembic.config
import flask
import flask_sqlalchemy
import pandas as pd
import pytest
import sqlmodel
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Mapped, mapped_column

import clustersql
from clustersql.testing import PostgresCluster

URL = "postgresql+psycopg:///?plugin=clustersql&clustersql_cluster=shop"

MIGRATION = """
from alembic import op
import sqlalchemy as sa

revision, down_revision = "1", None

def upgrade():
    op.create_table("item", sa.Column("name", sa.String(20), primary_key=True))
    op.execute("INSERT INTO item VALUES ('pear')")

def downgrade():
    op.drop_table("item")
"""


@pytest.fixture(autouse=True)
def shop(postgres_cluster: PostgresCluster) -> Iterator[clustersql.Cluster]:
    """Registered, on real servers; what a test makes there is dropped after it."""
    postgres_cluster.heal()
    cluster = clustersql.register(clustersql.Cluster("shop", driver="psycopg"))
    for name in postgres_cluster.nodes:
        cluster.add_node(name, postgres_cluster.dsn(name))
    yield cluster
    cluster.open().execute('DROP TABLE IF EXISTS hero, "user", item, alembic_version')
    clustersql.unregister("shop")


def served(shop: clustersql.Cluster) -> int:
    """How many checkouts our pool has served: that a program's work has come by here."""
    return sum(node["Checkouts"] for node in shop.metrics()["Nodes"].values())


def test_sqlmodel(shop: clustersql.Cluster) -> None:
    class Hero(sqlmodel.SQLModel, table=True):
        id: int | None = sqlmodel.Field(default=None, primary_key=True)
        name: str

    engine = sqlmodel.create_engine(URL)
    sqlmodel.SQLModel.metadata.create_all(engine)
    with sqlmodel.Session(engine) as session:
        session.add(Hero(name="Deadpond"))
        session.commit()
        assert session.exec(sqlmodel.select(Hero.name)).all() == ["Deadpond"]
    assert served(shop) > 0


def test_flask_sqlalchemy(shop: clustersql.Cluster) -> None:
    app = flask.Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = URL
    db = flask_sqlalchemy.SQLAlchemy(app)

    class User(db.Model):  # type: ignore[name-defined, misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    @app.get("/users")
    def users() -> list[str]:
        return list(db.session.scalars(db.select(User.name)))

    with app.app_context():
        db.create_all()
        db.session.add(User(name="ada"))
        db.session.commit()
    assert app.test_client().get("/users").json == ["ada"]
    assert served(shop) > 0


def migrations(folder: Path, url: str = URL, revision: str = MIGRATION) -> alembic.config.Config:
    """What `alembic init` makes, with our URL in its file and one revision."""
    config = alembic.config.Config(folder / "alembic.ini")
    alembic.command.init(config, str(folder / "migrations"), "generic")
    (folder / "migrations" / "versions" / "1_first.py").write_text(revision)
    env = folder / "migrations" / "env.py"
    # It would silence the loggers of this process for all further tests.
    env.write_text(env.read_text().replace("fileConfig(config.config_file_name)", "pass"))
    made = (folder / "alembic.ini").read_text()
    (folder / "alembic.ini").write_text(re.sub("^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}", made, flags=re.M))
    return alembic.config.Config(folder / "alembic.ini")


def test_alembic_online(shop: clustersql.Cluster, tmp_path: Path) -> None:
    config = migrations(tmp_path)
    alembic.command.upgrade(config, "head")
    with create_engine(URL).connect() as conn:
        assert conn.execute(text("SELECT name FROM item")).scalars().all() == ["pear"]
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "1"
    alembic.command.downgrade(config, "base")
    assert served(shop) > 0


def test_alembic_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes SQL and asks no server."""
    alembic.command.upgrade(migrations(tmp_path), "head", sql=True)
    assert "CREATE TABLE item" in capsys.readouterr().out


def test_pandas(shop: clustersql.Cluster) -> None:
    engine = create_engine(URL)
    pd.DataFrame({"name": ["pear", "plum"], "price": [3, 4]}).to_sql("item", engine, index=False)
    found = pd.read_sql("SELECT name FROM item WHERE price > 3", engine)
    assert list(found["name"]) == ["plum"]
    assert served(shop) > 0
