"""What an engine's URL and keywords may say over a cluster: each mistake is a clear error at start, and shows no
password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import NullPool, QueuePool, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import clustersql
from clustersql.integrations.sqlalchemy import read_only
from clustersql.integrations.sqlalchemy.versions import Versions, major

SHOP = "clustersql_cluster=shop"


@pytest.fixture(autouse=True)
def shop(tmp_path: Path) -> Iterator[clustersql.Cluster]:
    cluster = clustersql.register(clustersql.Cluster("shop", driver="sqlite3", async_driver="aiosqlite"))
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    clustersql.unregister("shop")


def make(query: str, scheme: str = "sqlite+pysqlite", rest: str = "/", **options: Any) -> Any:
    return create_engine(f"{scheme}://{rest}?plugin=clustersql&{query}", **options)


@pytest.mark.parametrize(
    ("query", "kwargs", "expected"),
    [
        ("clustersql_cluster=shpo", {}, r"no cluster 'shpo' is registered.*shop"),
        ("clustersql_clutser=shop", {}, r"no parameter clustersql_clutser.*cluster"),
        (f"{SHOP}&{SHOP}", {}, r"clustersql_cluster stands in it twice"),
        (f"{SHOP}&clustersql_pool=none", {}, r"clustersql_pool must be one of clustersql, sqlalchemy"),
        (f"{SHOP}&clustersql_max_size=3", {}, r"max_size: a cluster with a name has its knobs from where it was made"),
        (f"{SHOP}&clustersql_timeout=soon", {}, r"timeout .* must be a number of seconds above 0"),
        (SHOP, {"rest": "app:s3cret@db1:1/shop"}, r"username, password, host, port beside clustersql_cluster"),
        (f"{SHOP}&host=db1&password=s3cret", {}, r"host, password beside clustersql_cluster"),
        (SHOP, {"scheme": "postgresql+psycopg"}, r"the URL names the driver psycopg, and cluster 'shop' has sqlite3"),
        (SHOP, {"pool_size": 3}, r"max_size: a cluster with a name"),
        (SHOP, {"pool_recycle": 300}, r"max_lifetime: a cluster with a name"),
        (SHOP, {"poolclass": QueuePool}, r"poolclass QueuePool has no effect over a cluster"),
        (SHOP, {"creator": print}, r"creator has no effect over a cluster"),
        (SHOP, {"pool_events": []}, r"pool_events has no effect"),
        (SHOP, {"pool_use_lifo": True}, r"pool_use_lifo has no effect"),
        (SHOP, {"pool_reset_on_return": None}, None),
        ("x=1", {"scheme": "postgresql+psycopg"}, r"the URL names no server: give hosts"),
        (
            f"{SHOP}&clustersql_pool=sqlalchemy",
            {"creator": print},
            r"creator: it would be asked .* in place of the cluster",
        ),
        (
            SHOP,
            {"connect_args": {"host": "db9", "password": "s3cret"}},
            r"connect_args: host, password: address and cred",
        ),
        (
            f"{SHOP}&clustersql_pool=sqlalchemy",
            {"connect_args": {"user": "me"}},
            r"connect_args: user: address and cred",
        ),
        ("host=db1&user=me", {"scheme": "postgresql+psycopg"}, r"the URL, behind \?: user: .*before the @"),
        ("host=db1:x", {"scheme": "postgresql+psycopg"}, r"each host= is NAME or NAME:PORT"),
        ("host=db2", {"scheme": "postgresql+psycopg", "rest": "app:s3cret@db1/shop"}, r"name all by host="),
        ("host=db1&port=5432", {"scheme": "postgresql+psycopg"}, r"port= stands alone"),
        ("host=db1&clustersql_max_size=many", {"scheme": "postgresql+psycopg"}, r"max_size"),
        (
            "host=db1",
            {"scheme": "postgresql+psycopg", "pool_size": 0},
            r"pool_size=0 and max_overflow=-1 mean no limit",
        ),
        ("clustersql_config=/nowhere.toml", {}, r"nowhere"),
    ],
)
def test_mistakes(query: str, kwargs: dict[str, Any], expected: str | None) -> None:
    if expected is None:
        make(query, **kwargs)
        return
    with pytest.raises(clustersql.ConfigError, match=expected) as caught:
        make(query, **kwargs)
    assert "s3cret" not in str(caught.value)


def test_pool_options_are_those_of_a_cluster_of_its_own() -> None:
    engine = make(
        "host=db1&host=db2:7",
        "postgresql+psycopg",
        pool_size=3,
        max_overflow=4,
        pool_recycle=300,
        pool_timeout=2,
        pool_pre_ping=True,
    )
    knobs = engine.dialect.clustersql.cluster.snapshot().as_dict()["knobs"]
    assert (knobs["max_size"], knobs["max_lifetime"]) == (7, 300)
    assert engine.dialect.clustersql.options == {"timeout": 2.0}
    assert engine.dialect.clustersql.cluster.nodes == ["db1", "db2:7"]


def test_an_unlimited_lifetime_and_null_pool_are_accepted() -> None:
    engine = make(SHOP, poolclass=NullPool, pool_recycle=-1, pool_timeout=3)
    assert engine.dialect.clustersql.options == {"timeout": 3.0}
    assert make(SHOP).dialect.clustersql.options == {"timeout": 10.0}


def test_names_stay_the_driver_s() -> None:
    engine = make(SHOP)
    assert (engine.dialect.name, engine.dialect.driver) == ("sqlite", "pysqlite")
    assert engine.url.drivername == "sqlite+pysqlite"
    assert type(engine.dialect).__name__ == "SQLiteDialect_pysqlite"
    assert type(engine.dialect).supports_statement_cache
    assert isinstance(engine.pool, NullPool)


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    file = tmp_path / "clusters.toml"
    node = f'[[clusters.{{0}}.nodes]]\nname = "a"\nurl = "sqlite:///{tmp_path / "a.db"}"\n'
    file.write_text(
        '[clusters.stock]\ndriver = "sqlite3"\n'
        + node.format("stock")
        + '[clusters.mail]\ndriver = "sqlite3"\n'
        + node.format("mail")
    )
    with pytest.raises(clustersql.ConfigError, match="has the clusters stock, mail: say which"):
        make(f"clustersql_config={file}")
    try:
        engines = [make(f"clustersql_config={file}&clustersql_cluster=stock") for _ in range(2)]
        assert (
            engines[0].dialect.clustersql.cluster
            is engines[1].dialect.clustersql.cluster
            is clustersql.registered()["stock"]
        )
        with engines[1].connect() as conn:
            assert conn.execute(text("SELECT 1")).scalar_one() == 1
        engines[1].dispose()
    finally:
        clustersql.unregister("stock")


def test_what_comes_too_late_or_from_elsewhere_is_refused() -> None:
    engine = make(SHOP)
    with pytest.raises(clustersql.ConfigError, match=r"use read_only\(engine\)"):
        engine.execution_options(clustersql_read_only=True)
    with engine.connect() as conn, pytest.raises(clustersql.ConfigError, match=r"use read_only\(engine\)"):
        conn.execution_options(clustersql_read_only=True)
    with pytest.raises(clustersql.ConfigError, match="the engine has no cluster"):
        read_only(create_engine("sqlite://"))


def test_a_driver_for_asyncio_is_the_cluster_s() -> None:
    create_async_engine(f"sqlite+aiosqlite:///?plugin=clustersql&{SHOP}")
    with pytest.raises(
        clustersql.ConfigError, match=r"the URL names the driver asyncpg.*has aiosqlite \(async_driver\)"
    ):
        create_async_engine(f"postgresql+asyncpg:///?plugin=clustersql&{SHOP}")


def test_a_file_of_sqlite_s_by_either_api(shop: clustersql.Cluster) -> None:
    """The dialect's functions are in each session, and no session is opened twice."""
    engine = make(SHOP)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE items (name TEXT)"))
        conn.execute(text("INSERT INTO items VALUES (:name)"), [{"name": "apple"}, {"name": "pear"}])
    with engine.connect() as conn:
        assert conn.execute(text("SELECT name FROM items WHERE name REGEXP '^a'")).all() == [("apple",)]
    assert shop.open().stats()["size"] == 1

    async def main() -> list[str]:
        lazy = create_async_engine(f"sqlite+aiosqlite:///?plugin=clustersql&{SHOP}")
        async with lazy.begin() as conn:
            await conn.execute(text("INSERT INTO items VALUES ('plum')"))
        async with lazy.connect() as conn:
            names = list((await conn.execute(text("SELECT name FROM items WHERE name REGEXP '^p'"))).scalars())
        await lazy.dispose()
        await shop.aopen().close()
        return names

    assert asyncio.run(main()) == ["pear", "plum"]


@pytest.mark.parametrize(
    ("raw", "version"),
    [
        (SimpleNamespace(info=SimpleNamespace(server_version=170002)), 17),
        (SimpleNamespace(get_server_version=lambda: SimpleNamespace(major=16)), 16),
        (SimpleNamespace(get_server_info=lambda: "5.5.5-10.11.6-MariaDB"), 10),
        (SimpleNamespace(get_server_info=lambda: "8.4.1"), 8),
        (SimpleNamespace(), None),
    ],
)
def test_another_major_version_is_told_once(raw: Any, version: int | None, caplog: pytest.LogCaptureFixture) -> None:
    assert major(raw) == version
    dialect = SimpleNamespace(server_version_info=None)
    versions = Versions(dialect)
    versions.look(raw)  # before the first connection was looked into
    dialect.server_version_info = (version or 1, 2)
    versions.look(raw)
    assert caplog.records == []
    dialect.server_version_info = (99, 2)
    versions.look(raw)
    versions.look(raw)
    assert len(caplog.records) == (0 if version is None else 1)


def test_the_autocommit_mode_of_either_api(shop: clustersql.Cluster) -> None:
    """On aiosqlite too, whose dialect sets it past the connection: what is written there is not rolled back."""
    with make(SHOP, isolation_level="AUTOCOMMIT").connect() as conn:
        conn.execute(text("CREATE TABLE items (name TEXT)"))
        conn.execute(text("INSERT INTO items VALUES ('apple')"))

    async def main() -> list[str]:
        lazy = create_async_engine(f"sqlite+aiosqlite:///?plugin=clustersql&{SHOP}")
        loose = lazy.execution_options(isolation_level="AUTOCOMMIT")
        async with loose.connect() as conn:
            await conn.execute(text("INSERT INTO items VALUES ('pear')"))
        async with lazy.connect() as conn:
            await conn.execute(text("INSERT INTO items VALUES ('plum')"))
        async with lazy.connect() as conn:
            names = list((await conn.execute(text("SELECT name FROM items"))).scalars())
        await lazy.dispose()
        await shop.aopen().close()
        return names

    assert asyncio.run(main()) == ["apple", "pear"]
