"""gevent: threads, sockets and locks are greenlets', ours too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustersql.testing import FaultProxy, MariaDBServer, PostgresCluster

PROGRAM = Path(__file__).parent / "greenlets.py"
TABLE = "CREATE TABLE green (name varchar(100))"


@pytest.fixture(params=["psycopg", "pg8000", "pymysql"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(driver: str, request: pytest.FixtureRequest) -> PostgresCluster | MariaDBServer:
    server: PostgresCluster | MariaDBServer = request.getfixturevalue(
        "mariadb_server" if driver == "pymysql" else "postgres_cluster"
    )
    server.heal()
    server.execute("n1", "DROP TABLE IF EXISTS green")
    server.execute("n1", TABLE)
    if driver != "pymysql":
        server.execute("n1", "GRANT ALL ON green TO app")
    return server


def test_many_greenlets_survive_a_deaf_node(
    driver: str, server: PostgresCluster | MariaDBServer, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    """The monitor runs beside them, what hangs is woken, the pool hands over, and nothing happens twice or is lost."""
    a, b = fault_proxy(server.port("n1")), fault_proxy(server.port("n1"))
    told: dict[str, Any] = {"ports": [a.port, b.port], "user": "app", "password": "secret", "database": "app"}
    if driver == "pymysql":
        told["ssl_disabled"] = True
    command = [sys.executable, str(PROGRAM), driver, json.dumps(told)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "working\n"
        a.deaf()
        out, _ = program.communicate("x", timeout=120)
    assert program.returncode == 0
    seen = json.loads(out)
    written, unknown = seen.pop("written"), seen.pop("unknown")
    assert seen == {"errors": [], "several at once": True, "monitor": True, "in flight": 0}
    rows = [name for (name,) in server.execute("n1", "SELECT name FROM green")]
    assert len(rows) == len(set(rows)), "nothing happened twice"
    assert set(written) <= set(rows) <= {*written, *unknown}
