"""The documentation's recipes as files of a project, beside a ``clusters.toml`` for real servers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.integrations.story import Stage, blocks

import clustersql
from clustersql.drivers import NAMES

SERVERS = dict.fromkeys(("psycopg", "asyncpg"), "postgres_cluster")
SERVERS |= dict.fromkeys(("pymysql", "mysqlclient", "aiomysql", "asyncmy"), "galera_cluster")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of the page; what is imported from it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, code in blocks().items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.parent != tmp_path:
            (file.parent / "__init__.py").touch()
        file.write_text(code)
    ours = {name.removesuffix(".py").split("/")[0] for name in blocks()}
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        del sys.modules[name]


@pytest.fixture
def stage(project: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Stage]]:
    """Makes the stage for a driver: its servers in order, and named in the project's ``clusters.toml``."""

    def make(driver: str) -> Stage:
        servers = request.getfixturevalue(SERVERS[driver])
        servers.heal()
        nodes = [f'[[clusters.shop.nodes]]\nname = "{n}"\nurl = "{servers.dsn(n)}"\n' for n in servers.nodes]
        key = "driver" if driver in NAMES else "async_driver"
        (project / "clusters.toml").write_text(f'[clusters.shop]\n{key} = "{driver}"\n' + "".join(nodes))
        return Stage(driver, servers)

    yield make
    clustersql.unregister("shop")
