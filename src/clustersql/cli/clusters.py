"""Which clusters of a file a command is about, and waiting until their nodes have answered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..cluster import Cluster
from ..config.file import default_path
from ..errors import ConfigError
from ..registry import load, unregister

__all__ = ["loaded", "probed"]

ROUND = 0.02
"""Seconds between two looks at whether every node was asked."""


@contextmanager
def loaded(
    config: Path | None, name: str | None, driver: str | None, only: str | None = None
) -> Iterator[list[Cluster]]:
    """Yield the clusters of a file, or the one called ``only``; they are closed in the end.

    Raises `ConfigError` for a mistake in the file, and for a cluster that it does not have.
    """
    file = config or Path(default_path())
    clusters = load(file, name=name, driver=driver)
    try:
        chosen = [each for each in clusters if only in (None, each.name)]
        if not chosen:
            raise ConfigError(f"{file}: no cluster {only!r}; it has {', '.join(each.name for each in clusters)}")
        for each in chosen:
            if each.driver is None:
                raise ConfigError(f"cluster {each.name!r} has no driver for threads: give one with --driver")
        yield chosen
    finally:
        for each in clusters:
            unregister(each.name)


def probed(cluster: Cluster, seconds: float) -> None:
    """Open a cluster, and wait until every node was asked, for ``seconds`` at most."""
    cluster.open()
    deadline = time.monotonic() + seconds
    while any(node.state == "unknown" for node in cluster.snapshot().nodes) and time.monotonic() < deadline:
        time.sleep(ROUND)
