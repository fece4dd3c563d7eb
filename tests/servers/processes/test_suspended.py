"""A process that is suspended (SIGSTOP, a laptop's lid, a frozen virtual machine) and goes on: it knows that it was
itself who stood still.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from clustersql.testing import PostgresCluster

PROGRAM = Path(__file__).parent / "sleeper.py"
ASLEEP = 4.0
"""Seconds: four times the program's stall_after and connect_timeout."""


@pytest.fixture
def postgres(postgres_cluster: PostgresCluster) -> PostgresCluster:
    postgres_cluster.heal()
    for statement in (
        "DROP TABLE IF EXISTS asleep",
        "CREATE TABLE asleep (name text)",
        "GRANT ALL ON asleep TO app",
    ):
        postgres_cluster.execute("n1", statement)
    return postgres_cluster


PROGRAMS = {
    "psycopg": ("threads", "psycopg"),
    "pg8000": ("threads", "pg8000"),
    "psycopg-aio": ("asyncio", "psycopg"),
    "asyncpg-aio": ("asyncio", "asyncpg"),
}


@pytest.mark.parametrize("ended", [False, True], ids=["sessions live", "sessions ended meanwhile"])
def test_suspended_processes_go_on(postgres: PostgresCluster, ended: bool) -> None:
    """No node that lives is judged dead, an answer that came meanwhile is read, and the first operation succeeds, on
    new connections if need be.
    """
    urls = json.dumps({name: postgres.dsn(name) for name in ("n1", "n2")})
    with ExitStack() as stack:
        programs = {}
        for name, chosen in PROGRAMS.items():
            command = [sys.executable, str(PROGRAM), *chosen, urls]
            program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            programs[name] = stack.enter_context(program)
            stack.callback(program.kill)
        for program in programs.values():
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
        for program in programs.values():
            os.kill(program.pid, signal.SIGSTOP)
        if ended:
            assert postgres.terminate_sessions("n1") >= 2 * len(programs)
        time.sleep(ASLEEP)
        for program in programs.values():
            os.kill(program.pid, signal.SIGCONT)
        seen = {name: json.loads(program.communicate("go\n", timeout=90)[0]) for name, program in programs.items()}
    for name, told in seen.items():
        rows = [f"{name} in run", f"{name} single"]
        assert told == {"rows": rows, "slow": ["slow"], "usable": True, "hung": 0, "said": []}, name
