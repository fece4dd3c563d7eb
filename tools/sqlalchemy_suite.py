"""SQLAlchemy's own compliance suite through both pools, beside the driver alone: the same result of each test, but for
those in `EXPECTED`.

``make sqlalchemy-suite``; ARGS: the drivers, of `DRIVERS`; SUITE_ARGS: further arguments of pytest ("-k JoinTest"). Not
part of ``make test``: a run per driver and pool takes minutes.  The suite is the installed SQLAlchemy's
(`sqlalchemy.testing.suite`), with the requirements that it sets for dialects of third parties.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from clustersql.testing import MariaDBServer, PostgresCluster

DRIVERS = {
    "psycopg": ("postgresql+psycopg", "driver", "psycopg"),
    "asyncpg": ("postgresql+asyncpg", "async_driver", "asyncpg"),
    "pymysql": ("mysql+pymysql", "driver", "pymysql"),
    "aiomysql": ("mysql+aiomysql", "async_driver", "aiomysql"),
    "sqlite3": ("sqlite+pysqlite", "driver", "sqlite3"),
}
"""Ours -> the scheme of SQLAlchemy's URL, and the cluster's keyword with its value."""
WAYS = {"clustersql": "alone", "sqlalchemy": "pooled"}
"""Whose pool is over the cluster -> what it is compared with: the driver with `NullPool`, or with SQLAlchemy's pool."""
EXPECTED: dict[str, str] = {}
"""Tests whose result is another one through us, by the end of their names, and why."""

CONFTEST = """
import os
import shlex
import pytest
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
import sqlalchemy
from sqlalchemy.testing import engines
import clustersql

cluster = clustersql.Cluster("suite", **{os.environ["SUITE_KEY"]: os.environ["SUITE_DRIVER"]})
cluster.add_node("n1", os.environ["SUITE_NODE"])
clustersql.register(cluster)
if os.environ["SUITE_WAY"] in ("alone", "clustersql"):
    made = engines.testing_engine
    def testing_engine(url=None, options=None, **kw):
        return made(url, {"poolclass": sqlalchemy.NullPool, **(options or {})}, **kw)
    engines.testing_engine = testing_engine

from sqlalchemy.testing.plugin.pytestplugin import *
"""
CONFIG = """[sqla_testing]
requirement_cls=sqlalchemy.testing.requirements:SuiteRequirements
profile_file=profiles.txt
[db]
default={url}
[tool:pytest]
python_files=test_*.py
"""


@contextmanager
def server(driver: str, folder: Path) -> Iterator[str]:
    """Start what the driver needs; gives what stands behind the scheme of its URL."""
    if driver == "sqlite3":
        yield f"/{folder / 'suite.db'}"
        return
    kind = PostgresCluster if driver in ("psycopg", "asyncpg") else MariaDBServer
    with kind() as servers:
        yield f"app:secret@127.0.0.1:{servers.port('n1')}/app"


def outcomes(way: str, driver: str, place: str, folder: Path) -> dict[str, str]:
    """Run the suite, and return what became of each test."""
    scheme, key, name = DRIVERS[driver]
    plugin = f"plugin=clustersql&clustersql_cluster=suite&clustersql_pool={way}"
    url = f"{scheme}:///?{plugin}" if way in WAYS else f"{scheme}://{place}"
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_suite.py").write_text("from sqlalchemy.testing.suite import *\n")
    (folder / "setup.cfg").write_text(CONFIG.format(url=url.replace("%", "%%")))
    node = f"{scheme.partition('+')[0]}://{place}"
    environment = os.environ | {"SUITE_KEY": key, "SUITE_DRIVER": name, "SUITE_NODE": node, "SUITE_WAY": way}
    report = folder / f"{way}.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:clustersql",
        f"--junitxml={report}",
        *shlex.split(os.environ.get("SUITE_ARGS", "")),
        "test_suite.py",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    (folder / f"{way}.log").write_text(done.stdout + done.stderr)
    if not report.exists():
        raise SystemExit(f"{driver}, {way}: the suite did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return {
        f"{case.get('classname')}.{case.get('name')}": _outcome(case)
        for case in ElementTree.parse(report).iter("testcase")
    }


def _outcome(case: ElementTree.Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def main(drivers: list[str]) -> int:
    """Compare, and return how many tests differ that nobody has explained."""
    different = 0
    for driver in drivers:
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            with server(driver, folder) as place:
                found = {way: outcomes(way, driver, place, folder) for pair in WAYS.items() for way in reversed(pair)}
            for way, results in found.items():
                counts = {
                    kind: list(results.values()).count(kind) for kind in ("passed", "failure", "error", "skipped")
                }
                print(f"{driver:10} {way:11} {counts}", flush=True)
                if way not in WAYS:
                    continue
                alone = found[WAYS[way]]
                wrong = [test for test in sorted({*alone, *results}) if alone.get(test) != results.get(test)]
                for test in wrong:
                    why = next((f" ({why})" for name, why in EXPECTED.items() if test.endswith(name)), "")
                    different += not why
                    print(f"   {test}: alone {alone.get(test)}, through us {results.get(test)}{why}", flush=True)
                if wrong and os.environ.get("SUITE_LOG"):
                    print((folder / f"{way}.log").read_text()[-20000:])
    return different


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:] or list(DRIVERS))))
