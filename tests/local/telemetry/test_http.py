"""Figures and health over HTTP, from a real server on loopback."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.waiting import eventually

import clustersql
from clustersql import Cluster, ConfigError
from clustersql.telemetry.http import Server, serve


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("broken", driver="sqlite3")
    cluster.add_node("b", database=str(tmp_path / "no" / "such" / "folder.db"))
    yield cluster
    cluster.close()


def get(server: Server, path: str, method: str = "GET") -> tuple[int, Any]:
    request = Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urlopen(request, timeout=10) as answer:
            status, body = answer.status, answer.read()
    except HTTPError as exc:
        with exc:
            status, body = exc.code, exc.read()
    return status, json.loads(body) if body else None


def answered(server: Server, wanted: int) -> Any:
    """What ``/healthz`` says once it says so with that status."""
    last: list[Any] = []

    def there() -> bool:
        last[:] = get(server, "/healthz")
        return bool(last[0] == wanted)

    assert eventually(there), last
    return last[1]


def test_the_figures_are_those_of_metrics(cluster: Cluster) -> None:
    with cluster.open() as db, serve(clusters=[cluster]) as server:
        db.execute("SELECT 1")
        status, body = get(server, "/debug/vars")
        assert status == 200
        assert body["books"]["Nodes"]["a"]["Connections"] >= 1
        assert body["books"].keys() == cluster.metrics().keys()


def test_a_cluster_nobody_has_used_yet_is_probed_from_the_first_question_on(cluster: Cluster) -> None:
    with serve(clusters=[cluster]) as server:
        body = answered(server, 200)
    assert body == {
        "healthy": True,
        "clusters": {"books": {"healthy": True, "wanted": "primary", "usable": ["a"], "why": {}}},
    }


def test_one_cluster_without_a_usable_node_makes_503_and_is_named(cluster: Cluster, broken: Cluster) -> None:
    with serve(clusters=[cluster, broken]) as server:
        deadline = time.monotonic() + 20
        while True:
            status, body = get(server, "/healthz")
            good, bad = body["clusters"]["books"], body["clusters"]["broken"]
            if good["healthy"] and "unable to open" in bad["why"]["b"]:
                break
            assert time.monotonic() < deadline, body
            time.sleep(0.02)
        assert status == 503
        assert bad["usable"] == []


def test_registered_clusters_are_shown_as_they_are_now(cluster: Cluster) -> None:
    with serve() as server:
        assert "books" not in get(server, "/debug/vars")[1]
        clustersql.register(cluster)
        try:
            assert "books" in get(server, "/debug/vars")[1]
            answered(server, 200)
        finally:
            clustersql.unregister("books")
        assert "books" not in get(server, "/healthz")[1]["clusters"]


def test_closed_and_empty_clusters_are_not_healthy(cluster: Cluster) -> None:
    empty = Cluster("empty", driver="sqlite3")
    cluster.open()
    cluster.close()
    with serve(clusters=[empty, cluster]) as server:
        status, body = get(server, "/healthz")
    assert status == 503
    assert body["clusters"]["books"]["why"] == {"": "closed"}
    assert "has no nodes" in body["clusters"]["empty"]["why"][""]


def test_no_password_is_shown() -> None:
    cluster = Cluster("shop", driver="pymysql", connect_timeout=1.0)
    cluster.add_node("a", "mysql://app:s3cr3t@127.0.0.1:1/shop")
    try:
        with serve(clusters=[cluster]) as server:
            for path in ("/healthz", "/debug/vars", "/healthz"):
                assert "s3cr3t" not in str(get(server, path))
    finally:
        cluster.close()


def test_other_paths_and_methods() -> None:
    with serve(clusters=[]) as server:
        assert get(server, "/healthz?verbose=1") == (200, {"healthy": True, "clusters": {}})
        assert get(server, "/nothing") == (
            404,
            {"error": "there are /, /live, /state.json, /metrics, /debug/vars, /livez, /readyz, /healthz"},
        )
        assert get(server, "/healthz", "HEAD") == (200, None)


def test_it_listens_on_loopback_and_says_nothing_of_requests(capfd: pytest.CaptureFixture[str]) -> None:
    with serve(clusters=[]) as server:
        assert server._server.server_address[0] == "127.0.0.1"
        get(server, "/healthz")
        with socket.create_connection(("127.0.0.1", server.port)) as rude:
            rude.sendall(b"nonsense\r\n\r\n")
            rude.recv(100)
    assert capfd.readouterr() == ("", "")


def test_closing_frees_the_port_though_a_client_keeps_its_connection() -> None:
    server = serve(clusters=[])
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 8  # the client is let go after 10 s of silence: that is not waited for
        server.close()
    with serve(port=server.port, clusters=[]) as again:
        assert repr(again) == f"<clustersql.telemetry.http.Server 127.0.0.1:{server.port}>"
    assert repr(again).endswith(" closed>")


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with serve(clusters=[]) as server:
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{server.port}: "):
            serve(port=server.port)
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:99999"):
            serve(port=99999)
