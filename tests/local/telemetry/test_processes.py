"""Figures of several processes together: each publishes its own, those that are dead are dropped, any answers for all."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.commands import COMMAND, Ran, cli, interruptible
from support.waiting import eventually

from clustersql import Cluster, ConfigError
from clustersql.telemetry import processes
from clustersql.telemetry.processes import Publisher, publish, together
from clustersql.testing.ports import free_ports

__all__ = ["cli", "interruptible"]

HERE = Path(__file__).parent / "workers"
CHECKOUTS = "clustersql_node_checkouts_total"
LABELS = {"cluster": "books", "node": "a"}


def value(text: str, name: str, **labels: str) -> float | None:
    """A sample of a page in Prometheus' format; None: it is not there."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def of(folder: Path, name: str, **labels: str) -> float | None:
    return value(together(folder).decode(), name, **labels)


@contextmanager
def dead(publisher: Publisher) -> Iterator[None]:
    """As if the process of ``publisher`` had been killed: its files are left, and its lock is held by nobody."""
    name = publisher._file.name
    owner = processes._own.pop(name)
    fcntl.lockf(publisher._held, fcntl.LOCK_UN)
    yield
    processes._own[name] = owner


def test_counts_are_added_and_of_beliefs_the_worst_is_told(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster("books", driver="sqlite3", failover_probe=0.02)
    other.add_node("a", database=str(tmp_path / "a.db"))
    with publish(tmp_path, [cluster], every=3600) as one, publish(tmp_path, [other], every=3600) as two:
        for each, times in ((cluster, 2), (other, 3)):
            db = each.open()
            for _ in range(times):
                db.execute("SELECT 1")
        other.drain("a")
        one.write()
        two.write()
        assert of(tmp_path, CHECKOUTS, **LABELS) == 5
        assert of(tmp_path, "db_client_operation_duration_seconds_count") == 5
        assert of(tmp_path, "db_client_operation_duration_seconds_bucket", le="+Inf") == 5
        assert of(tmp_path, "clustersql_node_draining", **LABELS) == 1
        assert of(tmp_path, "clustersql_serving", cluster="books", service="primary") == 0
        assert of(tmp_path, "clustersql_node_state", state="up", **LABELS) == 1
    assert list(tmp_path.glob("clustersql-*")) == []
    assert of(tmp_path, CHECKOUTS) is None
    other.close()


def test_it_publishes_again_and_again_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    with publish(tmp_path, [cluster], every=0.02) as publisher:
        cluster.open().execute("SELECT 1")
        assert eventually(lambda: of(tmp_path, CHECKOUTS) == 1)
        publisher.close()
        publisher.close()
        assert of(tmp_path, CHECKOUTS) is None


def test_what_is_dead_or_no_file_of_ours_is_left_out(cluster: Cluster, tmp_path: Path) -> None:
    cluster.open().execute("SELECT 1")
    (tmp_path / "clustersql-1-no.json").write_text("{}")  # no lock: its process is dead
    with publish(tmp_path, [cluster], every=3600), publish(tmp_path, [cluster], every=3600) as killed:
        assert of(tmp_path, CHECKOUTS) == 2
        killed._file.write_text("{ no json")
        assert of(tmp_path, CHECKOUTS) == 1
        killed.write()
        assert of(tmp_path, CHECKOUTS) == 2
        with dead(killed):
            assert of(tmp_path, CHECKOUTS) == 1
            assert len(list(tmp_path.glob("clustersql-*.json"))) == 1


def test_a_folder_that_is_none_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    for call in (publish, together):
        with pytest.raises(ConfigError, match="set PROMETHEUS_MULTIPROC_DIR"):
            call()
        with pytest.raises(ConfigError, match=r"none is no folder: make it before"):
            call(tmp_path / "none")
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(ConfigError, match=r"cannot be published in .*: no"):
        publish(tmp_path)
    with pytest.raises(ConfigError, match="every must be a number of seconds above 0"):
        publish(tmp_path, every=0)


def test_no_password_is_published(tmp_path: Path) -> None:
    shop = Cluster("shop", driver="pymysql", connect_timeout=1.0)
    shop.add_node("a", "mysql://app:s3cr3t@127.0.0.1:1/shop")
    shop.open()
    try:
        with publish(tmp_path, [shop], every=3600) as publisher:
            assert eventually(lambda: shop.metrics()["Nodes"]["a"]["Errors"] > 0)
            publisher.write()
            assert of(tmp_path, "clustersql_node_errors_total", cluster="shop") > 0  # type: ignore[operator]
            assert "s3cr3t" not in publisher._file.read_text()
    finally:
        shop.close()


@contextmanager
def gunicorn(folder: Path, port: int) -> Iterator[None]:
    command = ["gunicorn", "--preload", "--workers", "8", "--bind", f"127.0.0.1:{port}", "--timeout", "90"]
    log = folder / "gunicorn.log"
    with log.open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", *command, "--config", "gunicorn_conf.py", "publishing:app"],
            cwd=HERE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        program.send_signal(signal.SIGTERM)
        assert program.wait(60) == 0, log.read_text()[-3000:]
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()


def workers(folder: Path) -> set[int]:
    return {int(path.name.split("-")[1]) for path in folder.glob("clustersql-*.json")}


def test_any_of_eight_workers_answers_for_all_and_a_killed_one_is_replaced(tmp_path: Path) -> None:
    [port] = free_ports(1)

    def scraped() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                return answer.read().decode()
        except OSError:  # it does not listen yet, or the worker was killed that had taken the question
            return ""

    def told() -> float | None:
        return value(scraped(), CHECKOUTS, cluster="shop", node="a")

    with gunicorn(tmp_path, port):
        assert eventually(lambda: told() == 24, timeout=120), (tmp_path / "gunicorn.log").read_text()[-3000:]
        before = workers(tmp_path)
        assert len(before) == 8
        assert value(scraped(), "db_client_connection_max", db_client_connection_pool_name="shop") == 24
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: told() == 24 and killed not in workers(tmp_path), timeout=120)
        assert len(workers(tmp_path)) == 8
        done = subprocess.run([*COMMAND, "metrics", "--dir", tmp_path], capture_output=True, text=True, check=True)
        assert value(done.stdout, CHECKOUTS, cluster="shop", node="a") == 24
    assert workers(tmp_path) == set()


def test_the_command_prints_once_or_answers_at_a_port(
    cluster: Cluster, tmp_path: Path, cli: Callable[..., Ran]
) -> None:
    [port] = free_ports(1)
    cluster.open().execute("SELECT 1")
    with publish(tmp_path, [cluster], every=3600):
        assert value(cli("metrics", "--dir", tmp_path).out, CHECKOUTS) == 1
        command = [*COMMAND, "metrics", "--dir", str(tmp_path), "--port", str(port)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
            assert program.stderr is not None
            assert program.stderr.readline() == f"http://127.0.0.1:{port}/metrics\n"
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                assert value(answer.read().decode(), CHECKOUTS) == 1
            taken = cli("metrics", "--dir", tmp_path, "--port", port)
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 130
    assert (taken.status, f"cannot listen on 127.0.0.1:{port}" in taken.err) == (2, True)
    assert (
        cli("metrics", "--dir", tmp_path / "none").err
        == f"clustersql: {tmp_path}/none is no folder: make it before the processes begin\n"
    )
