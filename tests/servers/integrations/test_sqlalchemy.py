"""SQLAlchemy with its own pool over a cluster (`clustersql_pool=sqlalchemy`), through a kill, a demotion and a drain on
real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from servers.integrations.story import Stage, Story, until_it_works
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

import clustersql
from clustersql import Cluster
from clustersql.testing.processes import wait_until

URLS = {"psycopg": "postgresql+psycopg:///", "pymysql": "mysql+pymysql:///"}
PLUGIN = "?plugin=clustersql&clustersql_pool=sqlalchemy&clustersql_cluster="


@pytest.fixture(params=list(URLS))
def story(request: pytest.FixtureRequest, stage: Callable[[str], Stage]) -> Iterator[Story]:
    set_up = stage(request.param)
    [shop] = clustersql.load("clusters.toml")
    engine = create_engine(URLS[request.param] + PLUGIN + "shop")
    with engine.begin() as conn:
        conn.execute(text("DROP TABLE IF EXISTS orders"))
        conn.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    set_up.wait_for(0)
    yield Story(set_up, shop, engine)
    engine.dispose()


def fill_pool(engine: Engine, size: int = 5) -> None:
    """Let the engine's pool hold so many idle connections."""
    with ExitStack() as stack:
        for _ in range(size):
            stack.enter_context(engine.connect()).execute(text("SELECT 1"))


def node(story: Story) -> str:
    with story.way_in.connect() as conn:
        return story.stage.node(conn.execute(text(story.stage.port_sql)).scalar_one())


def insert(story: Story, number: int) -> None:
    with story.way_in.begin() as conn:
        conn.execute(text("INSERT INTO orders VALUES (:id)"), {"id": number})


def count(story: Story) -> int:
    with story.way_in.connect() as conn:
        return int(conn.execute(text("SELECT COUNT(*) FROM orders")).scalar_one())


def test_kill(story: Story) -> None:
    """The one statement that meets the dead node fails; of the other connections to it none is handed out any more."""
    fill_pool(story.way_in)
    assert node(story) == "n1"
    story.stage.kill()
    until_it_works(lambda: insert(story, 1), DBAPIError, at_most=1)
    assert node(story) == "n2"
    for number in range(2, 10):
        insert(story, number)
    assert count(story) == 9


def test_demotion(story: Story) -> None:
    """The sessions of the demoted node stay open, but the pool does not stay on them."""
    fill_pool(story.way_in)
    story.stage.demote()
    until_it_works(lambda: insert(story, 1), DBAPIError, at_most=1)
    assert node(story) == "n2"
    for number in range(2, 10):
        insert(story, number)
    assert count(story) == 9


def test_drain(story: Story) -> None:
    """Work in progress on a node that is removed ends normally, and what follows goes elsewhere: no error at all."""
    fill_pool(story.way_in)
    with story.way_in.begin() as conn:
        conn.execute(text("INSERT INTO orders VALUES (1)"))
        story.cluster.remove_node("n1")
        conn.execute(text("INSERT INTO orders VALUES (2)"))
    story.stage.wait_for(2)
    story.stage.demote()
    insert(story, 3)
    assert node(story) == "n2"
    assert count(story) == 3


def test_an_error_of_the_statement_costs_no_connection(story: Story) -> None:
    fill_pool(story.way_in, 1)
    with story.way_in.connect() as conn:
        raw = conn.connection.driver_connection
        with pytest.raises(DBAPIError):
            conn.execute(text("SELECT nonsense FROM nowhere"))
    assert story.cluster.is_current(raw)
    with story.way_in.connect() as conn:
        assert conn.connection.driver_connection is raw


def test_an_engine_for_reports_is_spread_over_every_node(story: Story) -> None:
    """With a cluster of its own, read-only and round-robin."""
    stage = story.stage
    with (
        # The stagger: on a busy machine the next node is dialled too, may answer first, and then serves twice.
        closing(Cluster("reports", driver=stage.driver, read_only=True, policy="round-robin", stagger=20.0)) as reports,
        ExitStack() as stack,
    ):
        for name in stage.servers.nodes:
            reports.add_node(name, stage.servers.dsn(name))
        clustersql.register(reports)
        stack.callback(clustersql.unregister, "reports")
        engine = create_engine(URLS[stage.driver] + PLUGIN + "reports")
        stack.callback(engine.dispose)
        reports.open()
        wait_until(lambda: all(node.usable for node in reports.view), "all nodes are known", timeout=20)
        conns = [stack.enter_context(engine.connect()) for _ in range(3)]
        ports = {conn.execute(text(stage.port_sql)).scalar_one() for conn in conns}
        assert {stage.node(port) for port in ports} == {"n1", "n2", "n3"}
        for conn in conns:
            with pytest.raises(DBAPIError, match=r"(?i)read.only"):
                conn.execute(text("INSERT INTO orders VALUES (1)"))
