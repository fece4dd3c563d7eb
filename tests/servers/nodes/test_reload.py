"""A file that is read again while threads work on a real cluster: no error, and the servers see who came and who went."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import face
from support.load import load
from support.waiting import eventually

import clustersql
from clustersql import Credentials
from clustersql.cluster import was_read
from clustersql.config.file import read
from clustersql.config.reread import Reading
from clustersql.testing import FaultProxy, PostgresCluster

PAGE = Path(__file__).parents[3] / "docs" / "guide.md"
BOTH = ["psycopg", "asyncpg"]
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'"


class File:
    """A cluster's file."""

    def __init__(self, folder: Path, postgres: PostgresCluster) -> None:
        self.path, self.postgres = folder / "clusters.toml", postgres

    def write(self, *names: str, knobs: str = "", login: str = "", called: str = "first", **ports: int) -> Path:
        """Nodes in this order; ``ports`` of those that are not where their server is; ``called``: as what the sessions
        are known there.
        """
        text = f'[clusters.reread]\ndriver = "psycopg"\nasync_driver = "asyncpg"\n{knobs}\n'
        for name in names:
            port = ports.get(name) or self.postgres.port(name)
            who = login or 'user = "app"\npassword = "secret"'
            text += f'[[clusters.reread.nodes]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\n{who}\n'
            text += f'database = "app"\narguments = {{ application_name = "{called}" }}\n'
        self.path.write_text(text)
        return self.path

    def sessions(self, name: str, called: str = "first") -> int:
        """How many of ours the server of a node has."""
        return int(self.postgres.execute(name, OURS.format(called))[0][0])


@pytest.fixture
def file(tmp_path: Path, postgres: PostgresCluster) -> File:
    return File(tmp_path, postgres)


@contextmanager
def loaded(driver: str, path: Path) -> Iterator[Any]:
    """The cluster of the file, in the API of the driver."""
    loop = face.Loop() if driver in face.ASYNC else None
    try:
        if loop is None:
            [cluster] = clustersql.load(path)
        else:
            [config] = read(path)
            cluster = face.cluster(config.name, driver, loop, **config.settings)
            for _, address in config.nodes:
                cluster._add(address)
            clustersql.register(was_read(cluster, Reading(str(path), None, None, config)))
        yield cluster
    finally:
        clustersql.unregister("reread")
        if loop is not None:
            loop.close()


@pytest.mark.parametrize("driver", BOTH)
def test_nodes_come_go_and_move_under_load(postgres: PostgresCluster, file: File, driver: str) -> None:
    postgres.execute("n1", "CREATE TABLE IF NOT EXISTS reread (thread int, serial int)")
    postgres.execute("n1", "GRANT ALL ON reread TO app")
    with FaultProxy(postgres.port("n1")) as proxy, loaded(driver, file.write("n1", "n2")) as cluster:
        db = cluster.open()
        reader = db.options(read_only=True, role="replica")

        def work(thread: int, serial: int) -> None:
            if thread < 4:
                db.execute(f"INSERT INTO reread VALUES ({thread}, {serial})")
            else:
                reader.execute("SELECT 1")

        with load(work, threads=8) as done:
            done.more(50)
            clustersql.reload(file.write("n2", "n1", "n3"))
            assert eventually(lambda: cluster.view.by_name["n3"].usable)
            done.more(50)
            [told] = clustersql.reload(file.write("n3", "n1", n1=proxy.port, called="second", knobs="max_size = 8"))
            assert (told.drained, told.replaced, told.knobs) == (("n2",), ("n1", "n3"), ("max_size",))
            done.more(50)
            assert eventually(lambda: (file.sessions("n1"), file.sessions("n2"), file.sessions("n3")) == (0, 0, 0))
            done.more(50)
        assert done.failed == []
        assert [node.name for node in cluster.view] == ["n3", "n1"]
        assert [bool(file.sessions(name, "second")) for name in ("n1", "n3")] == [True, True]
        assert db.stats()["max_size"] == 8
    postgres.execute("n1", "DROP TABLE reread")


class Slow:
    """A provider that gives nothing before it is let go; the file names it."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, node: Any, refused: bool) -> Credentials:
        self.begun.set()
        self.go_on.wait(60)
        return Credentials("app", "secret")


@pytest.mark.parametrize("driver", BOTH)
def test_a_dial_that_began_before_leads_to_the_new_place(
    file: File, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr("builtins.clustersql_test_slow", slow, raising=False)
    provider = 'credentials = "builtins:clustersql_test_slow"'
    with loaded(driver, file.write("n1", login=provider)) as cluster:
        db = cluster.open().options(read_only=True)
        names: list[str] = []
        asking = threading.Thread(
            target=lambda: names.append(db.execute("SELECT current_setting('application_name')").fetchone()[0])
        )
        asking.start()
        assert slow.begun.wait(30)
        clustersql.reload(file.write("n1", login=provider, called="second"))
        slow.go_on.set()
        asking.join(30)
        assert names == ["second"]
        assert eventually(lambda: file.sessions("n1") == 0)


def test_the_page_s_recipe_for_sighup(file: File) -> None:
    [text] = re.findall(r"^```python\n# sighup\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    before = signal.getsignal(signal.SIGHUP)
    try:
        with loaded("psycopg", file.write("n1")) as cluster:
            exec(compile(text, PAGE, "exec"), {})
            file.write("n2", "n1")
            os.kill(os.getpid(), signal.SIGHUP)
            assert eventually(lambda: [node.name for node in cluster.view] == ["n2", "n1"])
            file.path.write_text("half")
            os.kill(os.getpid(), signal.SIGHUP)  # which the log tells, and nothing else
            assert eventually(lambda: not [each for each in threading.enumerate() if each.name == "reload"])
            assert [node.name for node in cluster.view] == ["n2", "n1"]
    finally:
        signal.signal(signal.SIGHUP, before)
