"""The recipes for FastAPI and aiohttp, through a kill, a demotion and a drain on real servers: no request fails."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from servers.integrations.story import Stage, Story, event_loop

import clustersql
from clustersql.testing.processes import wait_until

Request = Callable[[str, str], Coroutine[Any, Any, tuple[int, Any]]]
"""Sends a request by its method and path; returns the answer's status and what it holds."""


@asynccontextmanager
async def fastapi() -> AsyncIterator[Request]:
    app = importlib.import_module("api").app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):

        async def request(method: str, path: str) -> tuple[int, Any]:
            answer = await client.request(method, path)
            return answer.status_code, answer.json()

        yield request


@asynccontextmanager
async def aiohttp() -> AsyncIterator[Request]:
    app = importlib.import_module("web_app").make_app()
    async with TestClient(TestServer(app)) as client:

        async def request(method: str, path: str) -> tuple[int, Any]:
            async with client.request(method, path) as answer:
                return answer.status, await answer.json()

        yield request


@pytest.fixture(params=[fastapi, aiohttp], ids=lambda serve: serve.__name__)
def story(request: pytest.FixtureRequest, stage: Callable[[str], Stage]) -> Iterator[Story]:
    """``way_in`` sends a request to the application, which runs in an event loop of its own."""
    set_up = stage("psycopg")
    with event_loop() as run:
        serving = request.param()
        send = run(serving.__aenter__())
        try:
            run(create(cluster()))
            set_up.wait_for(0)
            yield Story(set_up, cluster(), lambda method, path: run(send(method, path)))
        finally:
            run(serving.__aexit__(None, None, None))


def cluster() -> clustersql.Cluster:
    """The one that the application has loaded."""
    from clustersql.registry import get

    return get("shop")


async def create(shop: clustersql.Cluster) -> None:
    """In the loop of the application, whose database this is."""
    await shop.aopen().execute("DROP TABLE IF EXISTS orders")
    await shop.aopen().execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")


def put(story: Story, *numbers: int) -> None:
    for number in numbers:
        assert story.way_in("PUT", f"/orders/{number}") == (200, number)


def orders(story: Story) -> Any:
    return story.way_in("GET", "/orders")


def test_kill(story: Story) -> None:
    put(story, 1)
    story.stage.wait_for(1)
    story.stage.kill()
    put(story, 2, 3)
    assert orders(story) == (200, [1, 2, 3])


def test_demotion(story: Story) -> None:
    put(story, 1)
    story.stage.wait_for(1)
    story.stage.demote()
    put(story, 2, 3)
    assert orders(story) == (200, [1, 2, 3])


def test_drain(story: Story) -> None:
    put(story, 1)
    story.stage.wait_for(1)
    story.cluster.remove_node("n1")
    story.stage.demote()
    put(story, 2)
    assert orders(story) == (200, [1, 2])


def test_every_connection_is_back_after_the_requests(story: Story) -> None:
    put(story, *range(1, 20))
    wait_until(lambda: story.cluster.metrics()["Pool"]["InFlight"] == 0, "nothing is checked out")
    assert story.cluster.metrics()["Pool"]["Size"] <= 2
