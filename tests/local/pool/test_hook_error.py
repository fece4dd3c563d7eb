"""An error of the user's own ``on_connect`` or password function: it reaches the caller at once, and says nothing about
the node.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

import clustersql
from clustersql import NoNodeAvailable

KNOBS: dict[str, Any] = {"probe_interval": 0.05, "timeout": 5.0, "max_size": 2}


class Hook:
    """Raises once it is told to; of a dead connection it raises what the driver does."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.dead = False
        self.calls = 0

    def __call__(self, raw: Any) -> None:
        self.calls += 1
        if self.dead:
            raise LookupError("the settings could not be read") from sqlite3.OperationalError("disk I/O error")
        if self.error is not None:
            raise self.error


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def cluster(tmp_path: Path, hook: Hook) -> Any:
    one = clustersql.Cluster("hooked", driver="sqlite3", async_driver="aiosqlite", on_connect=hook, **KNOBS)
    one.add_node("a", f"sqlite:///{tmp_path}/a.db")
    yield one
    one.close()


def waited(cluster: Any, function: Callable[[], Any]) -> Any:
    """The error of what either API was asked for, in a loop of its own."""

    async def called() -> Any:
        with pytest.raises(NoNodeAvailable) as raised:
            async with cluster.aopen():
                await function()
        return raised.value

    return asyncio.run(called())


class Expired(BaseException):
    """As gevent's Timeout: no Exception."""


OWN = [
    ValueError("no such tenant"),
    TimeoutError("of the settings' server"),
    sqlite3.ProgrammingError("near SELEKT"),
    Expired("1 s"),
]
WAYS = ["pool", "connect", "dial", "apool", "aconnect", "adial"]


def refused(cluster: Any, what: str) -> Any:
    """The error of whoever asks for a connection in one of `WAYS`."""
    if what == "pool":
        with pytest.raises(NoNodeAvailable) as raised, cluster.open() as db:
            db.execute("SELECT 1")
        return raised.value
    if what in ("connect", "dial"):
        with pytest.raises(NoNodeAvailable) as raised:
            getattr(cluster, what)()
        return raised.value
    functions = {"apool": lambda: cluster.aopen().execute("SELECT 1"), "aconnect": cluster.aconnect}
    return waited(cluster, functions.get(what, cluster.adial))


@pytest.mark.parametrize("error", OWN, ids=repr)
@pytest.mark.parametrize("what", WAYS)
def test_the_hook_s_error_is_the_cause_and_no_news(cluster: Any, hook: Hook, error: BaseException, what: str) -> None:
    hook.error = error
    failed = refused(cluster, what)
    assert failed.__cause__ is error
    assert f"a: on_connect raised {type(error).__name__}" in str(failed)
    assert cluster._topology.view.by_name["a"].reach.value == "up"
    hook.error = None
    with cluster.open() as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_a_probe_whose_hook_raises_has_its_answer(cluster: Any, hook: Hook) -> None:
    """The probes dial anew, and the hook raises in each: the node stays, and so do its idle connections."""
    with cluster.open() as db:
        db.execute("SELECT 1")
        hook.error, before = ValueError("no such tenant"), hook.calls
        kept = db._pool._prober._kept
        for _ in range(3):
            if (raw := kept.take("a")) is not None:
                kept.close(raw)
            db._pool._prober._last.clear()
            eventually(lambda before=before: hook.calls > before)  # type: ignore[misc]
            before = hook.calls
        assert cluster._topology.view.by_name["a"].reach.value == "up"
        assert db.execute("SELECT 1").fetchall() == [(1,)], "on the connection that was idle"


def test_a_hook_that_met_the_end_of_its_connection_is_news(cluster: Any, hook: Hook) -> None:
    """It made an error of its own of the driver's: the node is as unreachable as with that one."""
    hook.dead = True
    with pytest.raises(NoNodeAvailable), cluster.open().options(timeout=0.5).connection():
        pass
    assert cluster._topology.view.by_name["a"].reach.value != "up"


@pytest.mark.parametrize(
    "error", [PermissionError("no token"), sqlite3.OperationalError("of its own"), Expired("1 s")], ids=repr
)
@pytest.mark.parametrize("what", WAYS)
def test_the_password_functions_error_is_the_cause_and_no_news(hook: Hook, error: BaseException, what: str) -> None:
    """It was the vault that failed.  The node was not even dialled: what was known of it stays, and the next dial asks
    again.
    """
    hook.error = error

    def password() -> str | None:
        hook(None)
        return None

    cluster = clustersql.Cluster("vault", driver="psycopg", async_driver="psycopg", **KNOBS)
    cluster.add_node("a", host="127.0.0.1", port=1, user="app", database="app", password=password)
    failed = refused(cluster, what)
    assert failed.__cause__ is error
    assert f"a: the password function raised {type(error).__name__}: {error}" in str(failed)
    node = cluster.view.by_name["a"]
    assert (node.reach.value, node.generation) == ("unknown", 0)
    hook.error = None
    with pytest.raises(NoNodeAvailable, match=r"(?i)refused"):
        cluster.dial(timeout=0.5)
    cluster.close()


@pytest.mark.parametrize("what", ["pool", "apool"])
def test_a_password_function_that_hangs_is_no_news(what: str) -> None:
    """It is waited for as long as for the node, and named: the node was not even dialled."""
    over = threading.Event()

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    cluster = clustersql.Cluster("vault", driver="psycopg", async_driver="psycopg", connect_timeout=0.2, **KNOBS)
    password: Any = never if what == "apool" else lambda: over.wait() or None
    cluster.add_node("a", host="127.0.0.1", port=1, user="app", database="app", password=password)
    failed = refused(cluster, what)
    over.set()
    assert "a: the password function raised TimeoutError: it did not answer within 0.2 s" in str(failed)
    node = cluster.view.by_name["a"]
    assert (node.reach.value, node.generation) == ("unknown", 0)
    cluster.close()
