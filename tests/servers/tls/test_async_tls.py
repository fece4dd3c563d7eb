"""The asyncio drivers through TLS: their contract once more, for there a transport has another one below it, which has
the socket; and what a URL says of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import face

import clustersql
from clustersql import ConfigError
from clustersql.drivers import load_async
from clustersql.drivers.aiomysql import with_tls
from clustersql.drivers.contract import Target
from clustersql.testing import FaultProxy, MariaDBServer, PostgresCluster
from clustersql.testing.async_contract import AsyncServerContract, AsyncSubject
from clustersql.testing.certificates import make_certificates
from clustersql.testing.processes import Account


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresCluster]:
    with PostgresCluster(1, tls=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True) as server:
        yield server


def _subject(driver: str, port: int, **arguments: Any) -> AsyncSubject:
    target = Target(host="127.0.0.1", port=port, user="app", password="secret", database="app", arguments=arguments)
    return AsyncSubject(load_async(driver), target)


def sockets_to(port: int) -> list[str]:
    """This process's sockets that are connected to ``port``."""
    remote = f":{port:04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{words[9]}]" for words in lines if words[2].endswith(remote)}
    own = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own descriptor
            own.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(inodes.intersection(own))


class TestPostgres(AsyncServerContract):
    @pytest.fixture(params=["psycopg", "asyncpg"])
    def subject(self, request: Any, postgres: PostgresCluster) -> AsyncSubject:
        return _subject(request.param, postgres.port("n1"), sslmode="verify-ca", sslrootcert=postgres.ca_file)

    async def test_it_is_encrypted(self, subject: AsyncSubject, raw: Any) -> None:
        question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert await subject.driver.ask(raw, [question]) == [[(True,)]]


class TestMariaDB(AsyncServerContract):
    @pytest.fixture(params=["aiomysql", "asyncmy"])
    def subject(self, request: Any, mariadb: MariaDBServer) -> AsyncSubject:
        context = ssl.create_default_context(cafile=mariadb.ca_file)
        return _subject(request.param, mariadb.port(), ssl=context)

    async def test_it_is_encrypted(self, subject: AsyncSubject, raw: Any) -> None:
        [[(_, version)]] = await subject.driver.ask(raw, ["SHOW SESSION STATUS LIKE 'Ssl_version'"])
        assert version.startswith("TLS")


PAGE = Path(__file__).parents[3] / "docs" / "tls.md"
VERSION = "SHOW SESSION STATUS LIKE 'Ssl_version'"


@pytest.mark.parametrize("driver", ["asyncpg", "aiomysql", "asyncmy"])
def test_the_page_s_example(driver: str, request: pytest.FixtureRequest) -> None:
    """As it stands, but for the host, the port and the file of the authority."""
    server = request.getfixturevalue("postgres" if driver == "asyncpg" else "mariadb")
    [text] = re.findall(
        rf"^```python\n# {driver.replace('asyncmy', 'aiomysql')}\n(.*?)^```$", PAGE.read_text(), re.M | re.S
    )
    [dsn] = re.findall(r'add_node\("db1", f?"(.*)"\)', text)
    dsn = dsn.replace("{verified}", "".join(re.findall(r'verified = "(.*)"', text)))
    dsn = re.sub(r"dbhost1:\d+", f"127.0.0.1:{server.port()}", dsn.replace("/etc/shop/ca.pem", server.ca_file))
    question = VERSION if driver != "asyncpg" else "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with face.cluster_of(driver, "shop") as cluster:
        cluster.add_node("db1", dsn)
        [row] = cluster.open().execute(question).fetchall()
    assert row[-1] is True or row[-1].startswith("TLS")


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
def test_what_is_refused(driver: str, mariadb: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that signed nothing of the server's, and, where it counts, another name."""
    real = socket.getaddrinfo
    here = {"db.test": "127.0.0.1", b"db.test": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **more: real(here.get(host, host), *args, **more))
    make_certificates(tmp_path / "tls", Account())

    def error(dsn: str) -> str:
        with face.cluster_of(driver, "shop") as cluster:
            cluster.add_node("n1", dsn)
            try:
                cluster.open().options(timeout=2.0).execute("SELECT 1")
            except clustersql.NoNodeAvailable as exc:
                return f"{exc} {exc.__cause__}"
            return ""

    dsn = mariadb.dsn()
    elsewhere = dsn.replace("127.0.0.1", "db.test")
    assert "certificate" in error(f"{dsn}?ssl_ca={tmp_path}/tls/ca.pem").lower()
    assert error(f"{dsn}?ssl_ca={mariadb.ca_file}&ssl_verify_identity=true") == ""
    assert "db.test" in error(f"{elsewhere}?ssl_ca={mariadb.ca_file}&ssl_verify_identity=true")
    assert error(f"{elsewhere}?ssl_ca={mariadb.ca_file}") == ""
    assert error(f"{dsn}?ssl_ca={tmp_path}/tls/ca.pem&ssl_verify_cert=false") == ""


@pytest.mark.parametrize("driver", ["psycopg", "aiomysql", "asyncmy"])
def test_a_dial_that_is_given_up_leaves_no_socket(driver: str, request: pytest.FixtureRequest) -> None:
    """The server hangs after the handshake of TLS: whoever waits for its goodbye waits for long."""
    server = request.getfixturevalue("postgres" if driver == "psycopg" else "mariadb")

    async def dial(port: int) -> list[str]:
        tls = {"sslmode": "require"} if driver == "psycopg" else {"ssl_ca": str(server.ca_file)}
        subject = _subject(driver, port, **tls)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await subject.driver.dial(subject.target, 5.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sockets_to(port)

    with FaultProxy(server.port("n1")) as proxy:
        proxy.forget_on(rb"\x17\x03\x03", before=True)
        assert asyncio.run(dial(proxy.port)) == []


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
def test_a_server_without_tls_is_refused(driver: str, mariadb_server: MariaDBServer, mariadb: MariaDBServer) -> None:
    """Aiomysql itself would go on in the clear, which is what somebody who wants to read along would make of it."""
    with face.cluster_of(driver, "shop") as cluster:
        cluster.add_node("n1", f"{mariadb_server.dsn()}?ssl_ca={mariadb.ca_file}")
        with pytest.raises(
            clustersql.NoNodeAvailable, match=r"the server offers no TLS, and ssl was asked for|WRONG_VERSION"
        ):
            cluster.open().options(timeout=2.0).execute("SELECT 1")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"ssl_ca": "/no/such/ca.pem"}, r"ssl_ca='/no/such/ca.pem': No such file"),
        ({"ssl_verify_identity": True}, r"ssl_verify_identity without ssl_ca"),
        ({"ssl_ca": "ca.pem", "ssl": True}, r"ssl and ssl_ca: give the context, or what it is to be made of"),
    ],
)
def test_bad_input(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        with_tls(arguments)
