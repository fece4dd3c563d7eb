"""A fork in the middle of work: children go on with connections of their own, and the parent's outlive them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clustersql.testing import MariaDBServer, PostgresCluster

PROGRAM = Path(__file__).parent / "preforking.py"
GUARDING = PROGRAM.with_name("guarding.py")
DRIVERS = ["sqlite3", "psycopg", "psycopg2", "pg8000", "pymysql", "mysqlclient", "mysql-connector", "mariadb"]


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if driver == "sqlite3":
        return {"database": str(tmp_path / "fork.db")}
    server: PostgresCluster | MariaDBServer = request.getfixturevalue(
        "postgres_cluster" if driver in ("psycopg", "psycopg2", "pg8000") else "mariadb_server"
    )
    server.heal()
    return {"host": "127.0.0.1", "port": server.port("n1"), "user": "app", "password": "secret", "database": "app"}


def outcome(program: Path, driver: str, address: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", str(program), driver, json.dumps(address)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"it hangs: {(late.stderr or b'').decode()}")
    assert (ran.returncode, ran.stderr) == (0, "")
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_a_parent_with_a_used_pool_and_four_children(driver: str, address: dict[str, Any]) -> None:
    told = outcome(PROGRAM, driver, address)
    assert told["ends"] == [0, 0, 0, 0]
    assert told["rows"] == [[4]], "each child did its work, once"
    assert told["after"] == told["before"], "the parent's sessions are the ones that it had"
    for child in told["children"]:
        session = child.pop("session")
        assert session not in told["before"].values(), "a child has a session of its own"
        assert child == {
            "held": "PoolClosed",
            "cursor": "PoolClosed",
            "fetch": "PoolClosed",
            "outside": "PoolClosed",
            "outside cursor": "PoolClosed",
            "dialled is current": False,
            "dialled": True,
            "monitor": True,
        }


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_the_commit_guard_of_two_children(driver: str, address: dict[str, Any]) -> None:
    """One of two processes does the work of a key; the parent's open transaction, its id and its tokens are its own."""
    told = outcome(GUARDING, driver, address)
    assert (told["ends"], told["settled"], told["to delete"]) == ([0, 0], "committed", 1)
    assert told["rows"] == ["before", "child", "child", "held", "once"]
    assert sorted(child.pop("once") for child in told["children"]) == ["AlreadyCommitted", "none"]
    assert told["children"] == 2 * [{"to delete": 0, "deleting": False, "held": "PoolClosed"}]
