"""The cluster that is looked at: one file of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clustersql import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", failover_probe=0.02)
    cluster.add_node("a", database=str(tmp_path / "a.db"))
    yield cluster
    cluster.close()
