"""The page of `serve()`, as HTML, as JSON and as a stream of news: whom it is told to, and what is never in it."""

from __future__ import annotations

import json
import re
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from clustersql import Cluster, ConfigError
from clustersql.telemetry.history import History
from clustersql.telemetry.http import Server, serve
from clustersql.telemetry.origin import refused
from clustersql.telemetry.page import parts
from clustersql.telemetry.plots import plot
from clustersql.telemetry.stream import MOST, news

SECRET = "Sw0rdf1sh"


def ask(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def test_the_page_reads_without_javascript_and_allows_no_script_but_its_own(cluster: Cluster) -> None:
    with cluster.open() as db, db.connection() as conn, serve(clusters=[cluster]) as server:
        conn.execute("SELECT 'Sw0rdf1sh'")
        status, headers, text = ask(server, "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "<h2>books" in text
    assert "test_page.py" in text  # who holds the connection
    assert "<code>SELECT ?</code>" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_a_cluster_nobody_has_used_yet_is_probed_by_who_shows_it(cluster: Cluster) -> None:
    with serve(clusters=[cluster]) as server:
        assert eventually(lambda: "a can serve as primary" in ask(server, "/")[2])


def test_state_json_is_what_the_page_shows(cluster: Cluster) -> None:
    with cluster.open(), serve(clusters=[cluster]) as server:
        [told] = json.loads(ask(server, "/state.json")[2])["clusters"]
    assert told.keys() == {"snapshot", "figures", "events"}
    assert told["snapshot"]["cluster"] == "books"
    assert told["figures"].keys() == cluster.metrics().keys()


def test_news_are_the_parts_that_have_changed(cluster: Cluster) -> None:
    history = History(lambda: {"books": cluster}, every=0.01)
    try:
        told = (json.loads(message.removeprefix(b"data: ")) for message in news(history))
        first = next(told)
        assert set(first["parts"]) == set(first["ids"]) >= {"c0-head", "c0-events"}
        cluster.drain("a")
        later = next(each for each in told if "drained" in each["parts"].get("c0-nodes", ""))
        assert set(later["parts"]) < set(later["ids"])
        cluster.undrain("a")
    finally:
        history.close()
    assert list(told) == []


def test_a_stream_ends_with_the_server_and_there_are_not_too_many(cluster: Cluster) -> None:
    with serve(clusters=[cluster]) as server:
        readers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MOST)]
        for each in readers:
            each.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"text/event-stream" in each.recv(4096)
        status, _, text = ask(server, "/live")
        assert (status, f"{MOST} readers are connected already" in text) == (503, True)
    for each in readers:
        with each:
            while each.recv(65536):
                pass


@pytest.mark.parametrize(
    ("host", "origin", "why"),
    [
        ("localhost:80", None, ""),
        ("127.0.0.1:80", "http://127.0.0.1:80", ""),
        ("[::1]:80", None, ""),
        ("10.0.0.7:80", None, ""),
        ("db.example.com", None, ""),
        ("evil.example.com", None, "is no name of this server"),
        ("localhost.evil.com", None, "is no name of this server"),
        ("localhost:80", "http://evil.example.com", "another site"),
        ("localhost:80", "null", "another site"),
        ("localhost:80", "http://localhost:81", "another site"),
        (None, None, "names no host"),
        ("[", None, "names no host"),
    ],
)
def test_host_and_origin_are_checked(host: str | None, origin: str | None, why: str) -> None:
    found = refused(host, origin, "db.example.com")
    assert why in found
    assert bool(found) is bool(why)


@pytest.mark.parametrize("path", ["/", "/live", "/state.json", "/debug/vars"])
def test_another_site_s_page_gets_nothing(cluster: Cluster, path: str) -> None:
    with serve(clusters=[cluster]) as server:
        for headers in ({"Host": "evil.example.com"}, {"Origin": "http://evil.example.com"}):
            status, answered, text = ask(server, path, **headers)
            assert (status, "books" in text) == (403, False)
            assert "access-control-allow-origin" not in answered
        assert ask(server, "/livez", Host="app.internal:8080")[0] == 200  # machines ask under whatever name


def test_who_listens_beyond_this_machine_says_so() -> None:
    with pytest.raises(ConfigError, match=r"listen on 0\.0\.0\.0, beyond this machine.*say expose=True"):
        serve("0.0.0.0", clusters=[])
    with serve("0.0.0.0", clusters=[], expose=True) as server:
        assert ask(server, "/livez")[0] == 200


def test_nothing_of_a_program_or_a_server_is_taken_for_html(tmp_path: Path) -> None:
    cluster = Cluster("<b>x</b>", driver="sqlite3")
    cluster.add_node("<script>n</script>", database=str(tmp_path / "<i>" / "no.db"))
    history = History(lambda: {cluster.name: cluster}, every=0.01)
    try:
        assert eventually(lambda: history.shown()[cluster.name].state["snapshot"]["nodes"][0]["state"] == "down")
        text = "".join(parts(history.shown()).values())
    finally:
        history.close()
        cluster.close()
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "&lt;script&gt;n" in text
    assert not {"<b>x", "<script", "<i>"} & {text[i : i + n] for i in range(len(text)) for n in (3, 4, 7)}


def test_no_password_is_shown(tmp_path: Path) -> None:
    cluster = Cluster("shop", driver="pymysql", connect_timeout=1.0)
    cluster.add_node("a", f"mysql://app:{SECRET}@127.0.0.1:1/shop")
    try:
        with serve(clusters=[cluster]) as server:
            assert eventually(lambda: "down" in ask(server, "/")[2])
            for path in ("/", "/state.json"):
                assert SECRET not in ask(server, path)[2]
            with socket.create_connection(("127.0.0.1", server.port)) as reader:
                reader.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert SECRET not in reader.recv(65536).decode()
    finally:
        cluster.close()


def test_a_cluster_that_is_taken_apart_does_not_end_the_history(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    shown: dict[str, Any] = {"books": cluster, "broken": object()}
    looked = threading.Event()
    history = History(lambda: looked.set() or dict(shown), every=0.01)  # type: ignore[func-returns-value]
    try:
        assert looked.wait(20)
        del shown["broken"]
        assert eventually(lambda: set(history.shown()) == {"books"})
    finally:
        history.close()


def test_a_plot_leaves_gaps_where_nothing_is_known() -> None:
    drawn = plot("lag", {"a": [1.0, None, 3.0], "b": [None]}, "s", {"a": 0, "b": 1})
    assert drawn.count("M", drawn.index("line s0")) == 2
    assert "line s1" not in drawn
    assert "lag: at most 3 s" in drawn
    assert "5 s" in drawn
