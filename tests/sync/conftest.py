"""A cluster whose nodes are several paths to one SQLite file: a pool without servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clustersql

Make = Callable[..., clustersql.Cluster]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a cluster over nodes a, b and c; closed after the test."""
    clusters: list[clustersql.Cluster] = []
    file = tmp_path / "shop.db"
    raw = sqlite3.connect(file)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("CREATE TABLE events (name TEXT)")
    raw.close()

    def made(nodes: str = "a b c", **knobs: Any) -> clustersql.Cluster:
        cluster = clustersql.Cluster(f"pool{len(clusters)}", driver="sqlite3", **({"timeout": 30.0} | knobs))
        for name in nodes.split():
            link = tmp_path / name
            link.is_symlink() or link.symlink_to(file)
            cluster.add_node(name, database=str(link), timeout=30.0)
        clusters.append(cluster)
        return cluster

    yield made
    for cluster in clusters:
        cluster.close()
