"""``via``: what stands before a node's server, and what is a mistake with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import Cluster, ConfigError

URL = "postgresql://app:secret@db1:6432/shop"
VIA = "pgbouncer-transaction"


def mistake(driver: str = "psycopg", url: str | None = URL, **fields: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Cluster("shop", driver=driver).add_node("pg1", url, **fields)
    return str(caught.value)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_drivers_that_can(driver: str) -> None:
    cluster = Cluster("shop", driver=driver)
    cluster.add_node("pg1", URL, via=VIA)
    cluster.add_node("pg2", f"{URL}?via={VIA}")
    assert cluster._topology.is_shared("pg1")
    assert cluster._topology.is_shared("pg2")
    assert VIA in repr(cluster._topology.addresses["pg1"])


def test_other_values_are_told_what_is_valid() -> None:
    assert "pgbouncer-transaction" in mistake(via="pgbouncer-session")
    assert "did you mean pgbouncer-transaction?" in mistake(via="pgbouncer-transactions")
    assert "via" in mistake(via=True)


def test_drivers_that_cannot() -> None:
    told = mistake("pymysql", "mysql://app:secret@db1/shop", via=VIA)
    assert "pymysql cannot work through pgbouncer" in told
    assert "psycopg2" in told
    cluster = Cluster("shop", driver="psycopg", async_driver="asyncpg")
    cluster.add_node("pg1", URL, via=VIA)
    assert cluster._load_async().abilities.shared


@pytest.mark.parametrize(
    ("driver", "argument", "value", "told"),
    [
        ("psycopg", "options", "-c work_mem=1MB", "ALTER ROLE"),
        ("psycopg", "prepare_threshold", 5, "prepared by a name"),
        ("psycopg", "prepare_threshold", 0, "prepared by a name"),
    ],
)
def test_arguments_that_cannot_hold(driver: str, argument: str, value: Any, told: str) -> None:
    assert told in mistake(driver, via=VIA, **{argument: value})
    Cluster("shop", driver=driver).add_node("pg1", URL, **{argument: value})


def test_arguments_of_asyncpg() -> None:
    def add(**fields: Any) -> None:
        Cluster("shop", async_driver="asyncpg").add_node("pg1", URL, via=VIA, **fields)

    add(statement_cache_size=0, server_settings={"application_name": "shop"})
    with pytest.raises(ConfigError, match="work_mem"):
        add(server_settings={"application_name": "shop", "work_mem": "1MB"})
    with pytest.raises(ConfigError, match="prepared by a name"):
        add(statement_cache_size=100)


def test_in_a_dsn_and_in_a_call() -> None:
    assert "options" in mistake(url="host=db1 options='-c work_mem=1MB'", via=VIA)


def test_in_a_file(tmp_path: Path) -> None:
    text = (
        f'[clusters.pooled]\ndriver = "psycopg"\n[[clusters.pooled.nodes]]\nname = "pg1"\nurl = "{URL}"\nvia = "VIA"\n'
    )
    file = tmp_path / "config.toml"
    file.write_text(text.replace("VIA", "pgbouncer"))
    with pytest.raises(ConfigError, match=r"clusters\.pooled\.nodes\[0\]\.via: must be one of pgbouncer-transaction"):
        clustersql.load(file)
    file.write_text(text.replace("VIA", VIA))
    [cluster] = clustersql.load(file)
    clustersql.unregister("pooled")
    assert cluster._topology.is_shared("pg1")
