"""A cluster whose nodes are several paths to one SQLite file: a pool without servers."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import face

import clustersql

Make = Callable[..., clustersql.Cluster]


@pytest.fixture
def make_over(tmp_path: Path) -> Iterator[Make]:
    """Make a cluster over nodes a, b and c by way of a driver; closed after the test."""
    names = itertools.count()
    file = tmp_path / "shop.db"
    raw = sqlite3.connect(file)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("CREATE TABLE events (name TEXT)")
    raw.close()
    with ExitStack() as stack:

        def made(driver: str, nodes: str = "a b c", **knobs: Any) -> clustersql.Cluster:
            name, knobs = f"pool{next(names)}", {"timeout": 30.0} | knobs
            cluster = stack.enter_context(face.cluster_of(driver, name, **knobs))
            for name in nodes.split():
                link = tmp_path / name
                link.is_symlink() or link.symlink_to(file)
                cluster.add_node(name, database=str(link), timeout=30.0)
            return cluster

        yield made


@pytest.fixture(params=["sqlite3", "aiosqlite"])
def make(request: pytest.FixtureRequest, make_over: Make) -> Make:
    """`make_over` each of the two drivers: that of threads, and that of asyncio, which `face` drives."""
    return partial(make_over, request.param)


@pytest.fixture
def make_sync(make_over: Make) -> Make:
    """`make_over` that of threads, for what asyncio's API has not, or has in another way."""
    return partial(make_over, "sqlite3")
