"""One question to Patroni over a real socket, in both APIs: what comes back, how long it may take, and what is said of
a server that is none.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.patroni import FakePatroni, member

from clustersql.aio import patroni as aio_patroni
from clustersql.config.address import Template
from clustersql.config.patroni import Place
from clustersql.core.view.members import Members
from clustersql.nodes.patroni import LARGEST
from clustersql.sync import patroni as sync_patroni
from clustersql.testing.certificates import make_certificates
from clustersql.testing.processes import Account

Ask = Callable[..., Members]
PATIENT = 20.0
SHORT = 0.2


@pytest.fixture(params=["sync", "aio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask Patroni at some URLs, in one of the APIs; return what is told."""

    def asked(*urls: str, seconds: float = PATIENT) -> Members:
        places = tuple(map(Place, urls))
        if request.param == "sync":
            return sync_patroni.ask_patroni(places, seconds)[1]
        return asyncio.run(aio_patroni.ask_patroni(places, seconds))[1]

    return asked


@pytest.fixture
def patroni() -> Iterator[FakePatroni]:
    with FakePatroni([member("p1", "db1", 5432, "leader"), member("p2", "db2", 5432)]) as fake:
        yield fake


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patroni") / "tls"
    make_certificates(folder, Account())
    return folder


def test_the_members_are_told(ask: Ask, patroni: FakePatroni) -> None:
    told = ask(patroni.url)
    assert ([(one.name, one.leads) for one in told.members], told.why) == ([("p1", True), ("p2", False)], "")
    assert patroni.asked == [("/cluster", None)]


def test_the_next_is_asked_when_one_is_down(ask: Ask, patroni: FakePatroni) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert len(ask(f"http://127.0.0.1:{taken.getsockname()[1]}", patroni.url).members) == 2


def test_credentials_are_sent_and_never_shown(ask: Ask, patroni: FakePatroni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATRONI_PASSWORD", "s3cr:t")
    url = patroni.url.replace("//", "//monitor:${PATRONI_PASSWORD}@")
    assert ask(Template(url)).why == ""
    assert patroni.asked == [("/cluster", "Basic bW9uaXRvcjpzM2NyOnQ=")]
    patroni.answer = lambda: (401, b"")
    told = ask(patroni.url.replace("//", "//monitor:s3cr%3At@"))
    assert told.why == f"http://monitor:***@127.0.0.1:{patroni.port}: it answers HTTP 401"


def test_a_variable_that_is_not_set_is_told(ask: Ask) -> None:
    assert "the environment variable NOT_SET is not set" in ask(Template("http://u:${NOT_SET}@127.0.0.1")).why


def test_a_variable_that_makes_no_address_is_told(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "db1:secret")
    assert ask(Template("http://${WHERE}")).why == "http://${WHERE}: its port must be a whole number from 1 to 65535"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, b'{"members": []}'), "it answers HTTP 503"),
        ((302, b""), "it answers HTTP 302"),
        ((200, b"<html>a login page</html>"), "its answer is no JSON"),
        ((200, b""), "its answer is no JSON"),
        ((200, b"[" * 100_000), "its answer is no JSON"),
        ((200, b"\xff\xfe\x00"), "its answer is no JSON"),
        ((200, b'{"status": "ok"}'), "its answer is not Patroni's: it has no list of members"),
        (b"N\x00\x00\x00 an error of another protocol\n", "its answer is no HTTP"),
        (b"", "its answer is no HTTP"),
        ((200, b" " * (LARGEST + 1)), f"its answer is longer than {LARGEST} bytes"),
    ],
    ids=["503", "redirect", "html", "empty", "deep", "binary", "no-patroni", "no-http", "nothing", "long"],
)
def test_what_is_not_patroni_is_told(ask: Ask, patroni: FakePatroni, answer: Any, why: str) -> None:
    patroni.answer = lambda: answer
    assert ask(patroni.url).why == f"{patroni.url}: {why}"
    patroni.answer = patroni.honest
    assert len(ask(patroni.url).members) == 2


def test_one_that_says_nothing_is_not_waited_for(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert ask(url, seconds=SHORT).why == f"{url}: timed out"


def test_one_that_says_a_byte_now_and_then_is_not_waited_for(ask: Ask, patroni: FakePatroni) -> None:
    """Each of its bytes comes in time, and the answer as a whole never."""
    ended = patroni.dribble(SHORT / 10)
    assert ask(patroni.url, seconds=SHORT).why == f"{patroni.url}: timed out"
    assert ended.wait(PATIENT), "the connection was left open"


def test_through_tls_the_certificate_is_verified(ask: Ask, certificates: Path) -> None:
    with FakePatroni([member("p1", "db1", 5432, "leader")], tls=certificates) as patroni:
        trusted = f"{patroni.url}?cafile={certificates / 'ca.pem'}"
        assert [one.name for one in ask(trusted).members] == ["p1"]
        assert "certificate verify failed" in ask(patroni.url).why.lower()
        assert len(patroni.asked) == 1, "a question was put to a server that was not verified"
        missing = ask(f"{patroni.url}?cafile=/nowhere/ca.pem").why
        assert missing == f"{patroni.url}?cafile=/nowhere/ca.pem: cafile: [Errno 2] No such file or directory"


def test_a_client_certificate_is_shown(ask: Ask, certificates: Path, tmp_path: Path) -> None:
    ours, key, locked = (tmp_path / name for name in ("our.pem", "our.key", "locked.key"))
    new = ["openssl", "req", "-x509", "-subj", "/CN=us", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", ours]
    subprocess.run(new, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", key, "-out", locked], check=True, capture_output=True
    )
    members = [member("p1", "db1", 5432, "leader")]
    with FakePatroni(members, tls=certificates, clients=ours) as patroni:
        trusted = f"{patroni.url}?cafile={certificates / 'ca.pem'}"
        assert [one.name for one in ask(f"{trusted}&certfile={ours}&keyfile={key}").members] == ["p1"]
        assert ask(trusted).why != ""
        assert "keyfile: it has a passphrase" in ask(f"{trusted}&certfile={ours}&keyfile={locked}").why
        assert "certfile" in ask(f"{trusted}&certfile={tmp_path / 'none.pem'}").why


def test_a_cancelled_question_leaves_nothing(patroni: FakePatroni) -> None:
    ended = patroni.dribble(0.01)

    async def cancelled() -> None:
        task = asyncio.create_task(aio_patroni.ask_patroni((Place(patroni.url),), PATIENT))
        while not patroni.asked:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert ended.wait(PATIENT)
