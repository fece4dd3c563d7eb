"""``stall_after=0``, and a ``max_lag`` on a database that cannot tell its lag: an error in every place where they can
be given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import ConfigError

CANNOT = r"cluster 'shop': max_lag: the lag of a sqlite database cannot be measured here; leave it out, or read from the primary"
STALL = r"stall_after: must be a number of seconds above 0, at most a year, not "


def shop(**knobs: Any) -> clustersql.Cluster:
    made = clustersql.Cluster("shop", driver="sqlite3", async_driver="aiosqlite", read_only=True, **knobs)
    made.add_node("a", "sqlite:///:memory:")
    return made


@pytest.mark.parametrize("value", [0, 0.0, -1, None, "2", float("nan"), float("inf"), True])
def test_stall_after(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=STALL):
        shop(stall_after=value)
    if value in (0, -1):
        file = tmp_path / "c.toml"
        file.write_text(
            f"[clusters.shop]\nstall_after = {value!r}\n[[clusters.shop.nodes]]\nname='a'\nurl='sqlite:///a'"
        )
        with pytest.raises(ConfigError, match=rf"clusters\.shop\.{STALL}"):
            clustersql.load(file)


@pytest.mark.parametrize("value", [5, "16MB"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda cluster, value: shop(max_lag=value),
        lambda cluster, value: cluster.open().options(max_lag=value),
        lambda cluster, value: cluster.open().connection(max_lag=value),
        lambda cluster, value: cluster.dial(max_lag=value),
        lambda cluster, value: cluster.aopen().options(max_lag=value),
        lambda cluster, value: asyncio.run(cluster.adial(max_lag=value)),
    ],
    ids=["knob", "options", "connection", "dial", "aio options", "adial"],
)
def test_max_lag_where_it_cannot_be_measured(ask: Callable[..., Any], value: Any) -> None:
    cluster = shop()
    with pytest.raises(ConfigError, match=CANNOT):
        ask(cluster, value)
    cluster.close()


def test_max_lag_on_an_asyncio_connection() -> None:
    async def main() -> None:
        async with shop().aopen() as db:
            with pytest.raises(ConfigError, match=CANNOT):
                async with db.connection(max_lag=5):
                    pass

    asyncio.run(main())


def test_a_size_where_only_the_time_is_known() -> None:
    cluster = clustersql.Cluster("shop", driver="pymysql")
    cluster.add_node("a", "mysql://app@127.0.0.1:1/shop")
    assert cluster.open().options(max_lag=5)
    with pytest.raises(ConfigError, match="'16MB' is a size, and of a mysql database only the time is known"):
        cluster.open().options(max_lag="16MB")
    cluster.close()
