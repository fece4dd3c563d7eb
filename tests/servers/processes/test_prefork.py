"""Servers that load the program first and fork then: gunicorn with ``--preload``, and Celery's prefork pool."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from clustersql.testing import PostgresCluster
from clustersql.testing.ports import free_ports

HERE = Path(__file__).parent


@pytest.fixture
def postgres(postgres_cluster: PostgresCluster) -> Iterator[PostgresCluster]:
    """In good order, with an empty table for each server program."""
    postgres_cluster.heal()
    for table in ("preloaded", "prefork"):
        postgres_cluster.execute("n1", f"DROP TABLE IF EXISTS {table}")
        postgres_cluster.execute("n1", f"CREATE TABLE {table} (number int)")
        postgres_cluster.execute("n1", f"GRANT ALL ON {table} TO app")
    yield postgres_cluster
    postgres_cluster.heal()


@contextmanager
def served(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own; at the end it is asked to stop, and must."""
    with log.open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=HERE,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield program
        program.send_signal(signal.SIGTERM)
        assert program.wait(60) == 0, log.read_text()[-3000:]
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()


def nodes(postgres: PostgresCluster) -> str:
    return json.dumps({name: postgres.dsn(name) for name in postgres.nodes})


def alive(postgres: PostgresCluster, pids: list[int]) -> list[int]:
    rows = postgres.execute("n1", "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) ORDER BY pid", (pids,))
    return [pid for (pid,) in rows]


def test_gunicorn_preload(postgres: PostgresCluster, tmp_path: Path) -> None:
    """Workers serve with sessions of their own, are replaced, and outlive the primary; the master's sessions live
    through all of it.
    """
    [port] = free_ports(1)
    log, master = tmp_path / "gunicorn.log", tmp_path / "master.json"
    bind = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "2"]
    command = ["gunicorn", "--preload", "--workers", "3", "--timeout", "90", *bind]
    command += ["--config", "gunicorn_conf.py", "preloaded:app"]

    def ask(path: str = "/", method: str = "GET") -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def answers() -> bool:
        try:
            return bool(ask())
        except OSError:
            assert program.poll() is None, log.read_text()[-3000:]
            return False

    with served(command, log, NODES=nodes(postgres), MASTER=str(master)) as program:
        assert eventually(answers), "it serves"
        parent = sorted(json.loads(master.read_text()))
        workers = set()

        def seen(count: int) -> bool:
            workers.add(ask()["worker"])
            return len(workers) >= count

        assert eventually(lambda: seen(2)), "more than one worker serves"
        assert program.pid not in workers
        for number in range(10):
            ask(f"/{number}", "PUT")
        os.kill(min(workers), signal.SIGTERM)  # it ends as Python ends, and another one is forked
        workers -= {min(workers)}
        assert eventually(lambda: seen(3)), "the worker was replaced"
        assert alive(postgres, parent) == parent, "no child has ended a session of the master"

        postgres.kill("n1")
        promotion = threading.Thread(target=postgres.promote, args=("n2",))
        promotion.start()
        for number in range(10, 20):
            ask(f"/{number}", "PUT")
        promotion.join()
        assert eventually(lambda: ask()["numbers"] == list(range(20))), "all that was answered is there, once"
        serving = set(workers)
    assert {told.read_text() for told in tmp_path.glob("closed-*")} == {"0"}, "each has closed its pool at its end"
    assert {int(told.name.removeprefix("closed-")) for told in tmp_path.glob("closed-*")} >= serving
    rows = postgres.execute("n2", "SELECT number FROM preloaded ORDER BY number")
    assert [number for (number,) in rows] == list(range(20))


def test_celery_prefork(postgres: PostgresCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks use the cluster that their worker's parent opened; the primary dies in between."""
    for name in ("queue", "results", "control"):
        (tmp_path / name).mkdir()
    environment = {"NODES": nodes(postgres), "CELERY_FOLDER": str(tmp_path)}
    options = ["--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    log = tmp_path / "celery.log"
    command = ["celery", "--app", "celery_app", "worker", *options, "--loglevel", "INFO"]

    def sent(numbers: range) -> list[Any]:
        return [app.send_task("celery_app.write", (number,)) for number in numbers]

    def results(tasks: list[Any]) -> list[dict[str, Any]]:
        return [task.get(timeout=90, interval=0.05) for task in tasks]

    celery = importlib.import_module("celery")
    app = celery.Celery("sender", broker="filesystem://", backend=f"file://{tmp_path}/results")
    app.conf.broker_transport_options = {
        "data_folder_in": f"{tmp_path}/queue",
        "data_folder_out": f"{tmp_path}/queue",
        "control_folder": f"{tmp_path}/control",
    }
    with served(command, log, **environment) as program:
        told = results(sent(range(10)))
        assert program.pid not in {one["worker"] for one in told}
        [parent] = {one["parent"] for one in told}
        assert parent not in {one["session"] for one in told}
        assert alive(postgres, [parent]) == [parent], "no child has ended the parent's session"
        postgres.kill("n1")
        tasks = sent(range(10, 20))
        postgres.promote("n2")
        results(tasks)
    assert {told.read_text() for told in tmp_path.glob("closed-*")} == {"0"}, (
        "each worker has closed its pool at its end"
    )
    rows = postgres.execute("n2", "SELECT number FROM prefork ORDER BY number")
    assert [number for (number,) in rows] == list(range(20))
