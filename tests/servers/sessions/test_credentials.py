"""Credentials that change under load: a provider is asked at every dial, and once more where the login is refused.
While it gives nothing, those of before stay in use.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import face
from support.load import load
from support.stage import DRIVERS, POSTGRES
from support.waiting import eventually

from clustersql import Credentials, NoNodeAvailable
from clustersql.testing import MariaDBServer, PostgresCluster

BOTH = ("psycopg", "asyncpg")
"""One driver for threads and one of asyncio: what does not depend on the driver."""


class Vault:
    """Gives the user and password that it knows, and the new ones only when it is told that those are refused."""

    def __init__(self, lease: float | None = None) -> None:
        self.lease, self.nodes, self.refusals = lease, [], 0
        self.known, self.latest = ("rotated_1", "one"), ("rotated_1", "one")

    def __call__(self, node: Any, refused: bool) -> Credentials:
        self.nodes.append(node)
        if refused:
            self.refusals += 1
            self.known = self.latest
        return Credentials(*self.known, None if self.lease is None else time.time() + self.lease)


def rotate(server: Any, vault: Vault, number: int, password: str) -> None:
    """The user and the password become others, and the old user's sessions are ended."""
    vault.latest = (f"rotated_{number}", password)
    if isinstance(server, PostgresCluster):
        server.execute("n1", f"DROP ROLE IF EXISTS rotated_{number}")
        server.execute("n1", f"CREATE ROLE rotated_{number} LOGIN PASSWORD '{password}'")
        server.execute("n1", "ALTER ROLE rotated_1 NOLOGIN" if number > 1 else "SELECT 1")
    else:
        server.execute("n1", f"CREATE OR REPLACE USER rotated_{number} IDENTIFIED BY '{password}'")
        server.execute("n1", "ALTER USER rotated_1 ACCOUNT LOCK" if number > 1 else "SELECT 1")
    if number > 1:
        server.terminate_sessions("n1")


def at(server: Any, vault: Any) -> dict[str, Any]:
    host, port = re.search(r"@([\d.]+):(\d+)/", server.dsn("n1")).groups()  # type: ignore[union-attr]
    database = "app" if isinstance(server, PostgresCluster) else "information_schema"
    return {"host": host, "port": int(port), "database": database, "credentials": vault}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_rotation_under_load(postgres: PostgresCluster, mariadb_server: MariaDBServer, driver: str) -> None:
    server: Any = postgres if driver in POSTGRES else mariadb_server
    vault = Vault()
    rotate(server, vault, 1, "one")
    with face.cluster_of(driver, "vault", timeout=20.0, probe_interval=0.2) as cluster:
        cluster.add_node("n1", **at(server, vault))
        reader = cluster.open().options(read_only=True)
        with load(lambda thread, serial: reader.execute("SELECT 1"), threads=8) as reads:
            reads.more(50)
            rotate(server, vault, 2, "two")
            reads.more(50)
        assert reads.failed == []
        assert reader.execute("SELECT current_user").fetchone()[0].partition("@")[0] == "rotated_2"
    assert vault.refusals
    asked = vault.nodes[0]
    assert (asked.name, asked.host, asked.port) == ("n1", at(server, vault)["host"], at(server, vault)["port"])


@pytest.mark.parametrize("driver", BOTH)
def test_a_session_is_retired_before_its_lease_ends(postgres: PostgresCluster, driver: str) -> None:
    vault = Vault(lease=1.5)
    rotate(postgres, vault, 1, "one")
    with face.cluster_of(driver, "vault", timeout=20.0) as cluster:
        cluster.add_node("n1", **at(postgres, vault))
        reader = cluster.open().options(read_only=True)
        pid = "SELECT pg_backend_pid()"
        first = reader.execute(pid).fetchone()[0]
        assert eventually(lambda: reader.execute(pid).fetchone()[0] != first)


class Failing:
    """A provider that fails in one way after the other, and gives what the vault knows when that is None."""

    def __init__(self, vault: Vault) -> None:
        self.vault, self.fails = vault, None
        self.let_go = threading.Event()
        self.hanging = 0

    def __call__(self, node: Any, refused: bool) -> Any:
        fails: Callable[[], Any] | None = self.fails
        return self.vault(node, refused) if fails is None else fails()

    def raises(self) -> Any:
        raise PermissionError("the vault is sealed")

    def gives_nonsense(self) -> Any:
        return "secret"

    def hangs(self) -> Any:
        self.hanging += 1
        self.let_go.wait(20)
        return None

    async def hangs_in_the_loop(self) -> Any:
        self.hanging += 1
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("driver", "way"),
    [(driver, way) for driver in BOTH for way in ("raises", "gives_nonsense", "hangs")]
    + [("asyncpg", "hangs_in_the_loop")],
)
def test_while_a_provider_fails_the_old_credentials_stay_in_use(
    postgres: PostgresCluster, driver: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    vault = Vault()
    rotate(postgres, vault, 1, "one")
    provider = Failing(vault)
    told = {
        "raises": "PermissionError: the vault is sealed",
        "gives_nonsense": "must return Credentials, not str",
        "hangs": "the credentials provider did not answer within 1.5 s",
        "hangs_in_the_loop": "the credentials provider did not answer within 1.5 s",
    }
    try:
        with face.cluster_of(driver, "vault", timeout=20.0, connect_timeout=3.0, probe_interval=30.0) as cluster:
            cluster.add_node("n1", **at(postgres, provider))
            db = cluster.open()
            db.execute("SELECT 1")
            provider.fails = getattr(provider, way)
            held = [db.connection(read_only=True) for _ in range(6)]
            for conn in held:
                cursor = conn.cursor()
                cursor.execute("SELECT current_user")
                assert cursor.fetchone()[0] == "rotated_1"
            assert provider.hanging <= 3, "once it hangs nobody else is sent there"
            [event] = [event for event in cluster.events() if "those that have logged in last stay" in event.text]
            assert (told[way] in event.text, event.node) == (True, "n1")
            [line] = [text for _, _, text in caplog.record_tuples if "stay in use" in text]
            assert "secret" not in line.replace("secret'", "")
            provider.fails = None
            provider.let_go.set()
            for conn in held:
                conn.close()
            rotate(postgres, vault, 2, "two")
            whom = "SELECT current_user"
            assert eventually(lambda: db.options(read_only=True).execute(whom).fetchone()[0] == "rotated_2")
    finally:
        provider.let_go.set()


@pytest.mark.parametrize("driver", BOTH)
def test_a_provider_that_hangs_where_nothing_has_logged_in_yet_is_late(postgres: PostgresCluster, driver: str) -> None:
    """That is no news about the node, and it serves as soon as the provider answers."""
    vault = Vault()
    rotate(postgres, vault, 1, "one")
    provider = Failing(vault)
    provider.fails = provider.hangs
    try:
        with face.cluster_of(driver, "vault", timeout=20.0, connect_timeout=0.3) as cluster:
            cluster.add_node("n1", **at(postgres, provider))
            reader = cluster.open().options(read_only=True)
            with pytest.raises(NoNodeAvailable, match=r"did not answer within 0\.3 s"):
                reader.execute("SELECT 1")
            assert "misconfigured" not in cluster.view.by_name["n1"].why
            provider.fails = None
            provider.let_go.set()
            cluster.reconfigure(connect_timeout=5.0)
            assert eventually(lambda: cluster.view.by_name["n1"].usable)
            assert reader.execute("SELECT current_user").fetchone()[0] == "rotated_1"
    finally:
        provider.let_go.set()


def failure(function: Callable[[], object]) -> str:
    """What it fails with, and what that came of; "": it does not."""
    try:
        function()
    except Exception as exc:
        return f"{exc} {exc.__cause__}"
    return ""


@pytest.mark.parametrize("driver", BOTH)
def test_old_credentials_that_the_server_refuses_are_used_no_more(postgres: PostgresCluster, driver: str) -> None:
    """What is told then is what the provider said, and the first answer of its mends it."""
    vault = Vault()
    rotate(postgres, vault, 1, "one")
    provider = Failing(vault)
    with face.cluster_of(driver, "vault", timeout=20.0, connect_timeout=2.0) as cluster:
        cluster.add_node("n1", **at(postgres, provider))
        db = cluster.open().options(read_only=True)
        assert db.execute("SELECT current_user").fetchone()[0] == "rotated_1"
        provider.fails = provider.raises
        rotate(postgres, vault, 2, "two")
        brief = db.options(timeout=2.0)
        assert eventually(lambda: "the vault is sealed" in failure(lambda: brief.execute("SELECT 1")))
        provider.fails = None
        assert db.execute("SELECT current_user").fetchone()[0] == "rotated_2"
