"""SQLAlchemy's asyncio engine with its own pool over a cluster, through a kill, a demotion and a drain on
real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from servers.integrations.story import Stage, Story, event_loop, until_it_works
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import clustersql

URLS = {
    "psycopg": "postgresql+psycopg://",
    "asyncpg": "postgresql+asyncpg://",
    "aiomysql": "mysql+aiomysql://",
    "asyncmy": "mysql+asyncmy://",
}
PLUGIN = "?plugin=clustersql&clustersql_pool=sqlalchemy&clustersql_cluster=shop"


@dataclass
class Way:
    """The engine, and what runs a coroutine in its event loop."""

    engine: AsyncEngine
    run: Callable[..., Any]


@pytest.fixture(params=list(URLS))
def story(request: pytest.FixtureRequest, stage: Callable[[str], Stage]) -> Iterator[Story]:
    set_up = stage(request.param)
    [shop] = clustersql.load("clusters.toml")
    engine = create_async_engine(f"{URLS[request.param]}/{PLUGIN}")
    with event_loop() as run:
        try:
            run(create(engine))
            set_up.wait_for(0)
            yield Story(set_up, shop, Way(engine, run))
        finally:
            run(end(engine, shop))


async def create(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await conn.execute(text("DROP TABLE IF EXISTS orders"))
        await conn.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))


async def end(engine: AsyncEngine, shop: clustersql.Cluster) -> None:
    """As the page says."""
    await engine.dispose()
    await shop.aopen().close()


def fill_pool(story: Story, size: int = 5) -> None:
    """Let the engine's pool hold so many idle connections."""

    async def fill() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(size):
                conn = await stack.enter_async_context(story.way_in.engine.connect())
                await conn.execute(text("SELECT 1"))

    story.way_in.run(fill())


def asked(story: Story, sql: str) -> Any:
    async def ask() -> Any:
        async with story.way_in.engine.connect() as conn:
            return (await conn.execute(text(sql))).scalar_one()

    return story.way_in.run(ask())


def node(story: Story) -> str:
    return story.stage.node(asked(story, story.stage.port_sql))


def count(story: Story) -> int:
    return int(asked(story, "SELECT COUNT(*) FROM orders"))


def insert(story: Story, number: int) -> None:
    async def work() -> None:
        async with story.way_in.engine.begin() as conn:
            await conn.execute(text("INSERT INTO orders VALUES (:id)"), {"id": number})

    story.way_in.run(work())


def test_kill(story: Story) -> None:
    """The one statement that meets the dead node fails; of the other connections to it none is handed out any more."""
    fill_pool(story)
    assert node(story) == "n1"
    story.stage.kill()
    until_it_works(lambda: insert(story, 1), DBAPIError, at_most=1)
    assert node(story) == "n2"
    for number in range(2, 10):
        insert(story, number)
    assert count(story) == 9


def test_demotion(story: Story) -> None:
    """The sessions of the demoted node stay open, but the pool does not stay on them."""
    fill_pool(story)
    story.stage.demote()
    until_it_works(lambda: insert(story, 1), DBAPIError, at_most=1)
    assert node(story) == "n2"
    for number in range(2, 10):
        insert(story, number)
    assert count(story) == 9


def test_drain(story: Story) -> None:
    """Work in progress on a node that is removed ends normally, and what follows goes elsewhere: no error at all."""
    fill_pool(story)

    async def work() -> None:
        async with story.way_in.engine.begin() as conn:
            await conn.execute(text("INSERT INTO orders VALUES (1)"))
            story.cluster.remove_node("n1")
            await conn.execute(text("INSERT INTO orders VALUES (2)"))

    story.way_in.run(work())
    story.stage.wait_for(2)
    story.stage.demote()
    insert(story, 3)
    assert node(story) == "n2"
    assert count(story) == 3


def test_an_error_of_the_statement_costs_no_connection(story: Story) -> None:
    async def work() -> None:
        async with story.way_in.engine.connect() as conn:
            raw = (await conn.get_raw_connection()).driver_connection
            with pytest.raises(DBAPIError):
                await conn.execute(text("SELECT nonsense FROM nowhere"))
        assert story.cluster.is_current(raw)
        async with story.way_in.engine.connect() as conn:
            assert (await conn.get_raw_connection()).driver_connection is raw

    story.way_in.run(work())
