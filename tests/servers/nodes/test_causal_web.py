"""A bookmark that travels with requests: in a cookie or a header, under WSGI and ASGI; whatever is brought, no request
fails for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from flask import Flask, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.standbys import hold_back
from support.waiting import eventually

import clustersql
from clustersql.integrations import asgi, wsgi
from clustersql.testing import PostgresCluster

READ, WRITE = "SELECT n FROM counters WHERE name = 'c'", "UPDATE counters SET n = n + 1 WHERE name = 'c'"


@pytest.fixture
def shop(postgres: PostgresCluster) -> Iterator[clustersql.Cluster]:
    """A cluster whose replicas are far behind: a read that is right was the primary's, and one that was a replica's is
    not.
    """
    postgres.execute("n1", "TRUNCATE counters")
    postgres.execute("n1", "INSERT INTO counters VALUES ('c', 0)")
    cluster = clustersql.Cluster("shop", driver="psycopg", async_driver="psycopg", probe_interval=0.2)
    for name in postgres.nodes:
        cluster.add_node(name, postgres.dsn(name))
    hold_back(postgres, "n2", "n3")
    try:
        yield cluster
    finally:
        cluster.close()
        for name in ("n2", "n3"):
            postgres.execute(name, "ALTER SYSTEM RESET recovery_min_apply_delay")
            postgres.execute(name, "SELECT pg_reload_conf()")


def flask(db: Any, **how: Any) -> Any:
    app = Flask("shop")

    @app.get("/")
    def read() -> str:
        return str(wsgi.causal(request.environ).options(read_only=True).execute(READ).fetchone()[0])

    @app.post("/")
    def write() -> str:
        wsgi.causal(request.environ).execute(WRITE)
        return ""

    app.wsgi_app = wsgi.CausalMiddleware(app.wsgi_app, db, **how)  # type: ignore[method-assign]
    return app


def starlette(db: Any, **how: Any) -> Any:
    async def read(request: Request) -> Response:
        result = await asgi.causal(request.scope).options(read_only=True).execute(READ)
        return Response(str(result.fetchone()[0]))

    async def write(request: Request) -> Response:
        await asgi.causal(request.scope).execute(WRITE)
        return Response()

    app = Starlette(routes=[Route("/", read, methods=["GET"]), Route("/", write, methods=["POST"])])
    app.add_middleware(asgi.CausalMiddleware, db=db, **how)
    return app


Send = Callable[..., tuple[int, str, dict[str, str], str]]


def play(shop: clustersql.Cluster, send: Send) -> None:
    """``send(method, cookie)`` gives the status, the body, the headers, and the cookie that came."""
    status, _, _, cookie = send("POST", "")
    assert (status, cookie[:4]) == (200, "1~p~")
    assert send("GET", cookie)[:2] == (200, "1")
    refused = shop.metrics()["CausalReads"]["refused"]
    lineage = cookie.split("~")[2]
    bad = ["nonsense", "2~p~1~1~1", "1~p~1~1~1", f"1~p~{lineage}~1~ffffffffff", "1~g~" + "0" * 32, "\xe9", "x" * 5000]
    for number, wrong in enumerate(bad, 1):
        status, body, _, renewed = send("GET", wrong)
        assert (status, body) == (200, "1"), wrong
        assert renewed.startswith("1~p~"), wrong
        assert send("GET", renewed)[:2] == (200, "1")
        assert shop.metrics()["CausalReads"]["refused"] == refused + number, wrong
    assert send("POST", "nonsense")[0] == 200


def test_wsgi_by_a_cookie(shop: clustersql.Cluster) -> None:
    with shop.open() as db:
        client = flask(db).test_client(use_cookies=False)

        def send(method: str, cookie: str) -> tuple[int, str, dict[str, str], str]:
            answer = client.open(
                "/", method=method, headers={"Cookie": f"a=b; clustersql={cookie}; c"} if cookie else {}
            )
            brought = answer.headers.get("Set-Cookie", "").partition(";")[0].partition("=")[2]
            return answer.status_code, answer.text, dict(answer.headers), brought

        play(shop, send)
        attributes = send("POST", "")[2]["Set-Cookie"].split("; ", 1)[1]
        assert attributes == "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
        assert client.post("/", base_url="https://shop").headers["Set-Cookie"].endswith("; Secure")
        assert eventually(lambda: "Set-Cookie" not in send("GET", "")[2]), "a replica's read has nothing to tell"


def test_asgi_by_a_header(shop: clustersql.Cluster) -> None:
    loop = asyncio.new_event_loop()
    db = shop.aopen()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(starlette(db, header="X-Seen")), base_url="http://shop")

    def send(method: str, brought: str) -> tuple[int, str, dict[str, str], str]:
        headers = [(b"X-Seen", brought.encode("latin-1"))] if brought else []
        answer = loop.run_until_complete(client.request(method, "/", headers=headers))
        return answer.status_code, answer.text, dict(answer.headers), answer.headers.get("X-Seen", "")

    try:
        play(shop, send)
        assert "set-cookie" not in send("POST", "")[2]
    finally:
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(db.close())
        loop.close()


def test_a_bookmark_that_cannot_be_had_is_no_error_of_the_request(
    shop: clustersql.Cluster, postgres: PostgresCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The server that has served the write is gone when its position is asked for: the request has done its work."""
    with shop.open() as db:

        def program(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            wsgi.causal(environ).execute(WRITE)
            postgres.kill("n1")
            start_response("200 OK", [])
            return [b"done"]

        told: list[Any] = []
        serve = wsgi.CausalMiddleware(program, db)
        try:
            assert serve({}, lambda *answer: told.append(answer)) == [b"done"]
        finally:
            postgres.start("n1")
    assert told == [("200 OK", [])]
    assert "a request's bookmark could not be told" in caplog.text


def test_websockets_have_a_view_and_the_life_of_the_program_has_none(shop: clustersql.Cluster) -> None:
    scopes: list[Any] = []

    async def program(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "websocket.accept"})

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        serve = asgi.CausalMiddleware(program, shop.aopen())
        for kind in ("websocket", "lifespan"):
            await serve({"type": kind, "headers": []}, None, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(main()) == [{"type": "websocket.accept"}] * 2
    assert asgi.causal(scopes[0]) is scopes[0]["clustersql"]
    with pytest.raises(clustersql.ConfigError, match=r"put clustersql\.integrations\.asgi\.Causal"):
        asgi.causal(scopes[1])
    with pytest.raises(clustersql.ConfigError, match=r"put clustersql\.integrations\.wsgi\.Causal"):
        wsgi.causal({})


@pytest.mark.parametrize(
    "how", [{"cookie": "a b"}, {"cookie": ""}, {"header": "X:"}, {"max_age": 0}, {"max_age": True}]
)
def test_wrong_words_are_said_at_once(shop: clustersql.Cluster, how: dict[str, Any]) -> None:
    for kind in (wsgi, asgi):
        with pytest.raises(clustersql.ConfigError, match=next(iter(how))):
            kind.CausalMiddleware(None, None, **how)  # type: ignore[arg-type]
