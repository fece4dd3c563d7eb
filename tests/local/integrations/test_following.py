"""Who takes part in a causal view: the connections of its cluster, in its context."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import clustersql
from clustersql.integrations import asgi, wsgi
from clustersql.integrations.following import following, taking_part


@pytest.fixture
def shop() -> Iterator[clustersql.Cluster]:
    """A cluster of PostgreSQL whose servers nobody asks."""
    cluster = clustersql.Cluster("shop", driver="psycopg", async_driver="psycopg")
    cluster.add_node("a", host="127.0.0.1", port=1)
    yield cluster
    cluster.close()


def memory(database: Any) -> Any:
    return database._options.memory


def test_both_apis_of_the_view_s_cluster_take_part_within_the_block(shop: clustersql.Cluster) -> None:
    """Each keeps its own options; what belongs to another cluster is left alone."""
    db = shop.open()
    reads = shop.open().options(read_only=True, after="1~p~1~1~1")
    view = db.causal()
    stranger = clustersql.Cluster("shop", driver="psycopg")
    stranger.add_node("a", host="127.0.0.1", port=1)
    other = stranger.open()
    assert taking_part(reads) is reads
    with following(view):
        found, tasks = taking_part(reads), taking_part(shop.aopen())
        assert memory(found) is memory(tasks) is memory(view)
        assert (found._options.read_only, found._options.after) == (True, "1~p~1~1~1")
        assert taking_part(other) is other
        with following(shop.aopen().causal()) as inner:
            assert memory(taking_part(db)) is memory(inner)
        assert memory(taking_part(db)) is memory(view)
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(taking_part(db)))
        thread.start()
        thread.join()
        assert seen == [db], "another context follows nothing"
    assert taking_part(db) is db
    stranger.close()


def test_only_a_causal_view_can_be_followed(shop: clustersql.Cluster) -> None:
    with pytest.raises(clustersql.ConfigError, match="this view remembers nothing"), following(shop.open()):
        raise AssertionError
    with pytest.raises(clustersql.ConfigError, match=r"following\(\): give a view that db\.causal\(\) has returned"):
        following("1~p~1~1~1").__enter__()


def test_a_request_under_the_middleware_follows_its_view(shop: clustersql.Cluster) -> None:
    """And nothing does after it."""
    seen: list[Any] = []

    def program(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append((memory(taking_part(shop.open())), memory(wsgi.causal(environ))))
        return []

    async def task(scope: Any, receive: Any, send: Any) -> None:
        seen.append((memory(taking_part(shop.aopen())), memory(asgi.causal(scope))))

    wsgi.CausalMiddleware(program, shop.open())({}, print)
    scope = {"type": "http", "headers": []}
    asyncio.run(asgi.CausalMiddleware(task, shop.aopen())(scope, None, None))  # type: ignore[arg-type]
    assert [found is given is not None for found, given in seen] == [True, True]
    assert memory(taking_part(shop.open())) is None
