"""A connection that a framework dialled and waits on is woken when its node is down; without a Database of ours being
open.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.face import cluster_of
from support.stage import DRIVERS, POSTGRES, failure, in_order
from support.waiting import eventually

from clustersql import Cluster
from clustersql.core.view.node import Reach
from clustersql.drivers.base import sockets
from clustersql.testing import FaultProxy, PostgresCluster

TUNED = {"stall_after": 0.3, "probe_interval": 0.2, "connect_timeout": 1.0, "policy": in_order}


class Way:
    """A cluster whose only user is `dial`; its one node lies behind a proxy."""

    def __init__(self, cluster: Any, driver: str, proxy: FaultProxy) -> None:
        self.cluster, self.proxy, self.driver = cluster, proxy, cluster.driver
        self.loop = getattr(cluster, "loop", None)
        self.sleep = "SELECT pg_sleep({})" if driver in POSTGRES else "SELECT SLEEP({})"

    def ask(self, raw: Any, sql: str) -> Any:
        """Run a statement as a framework does, past us."""
        if self.loop is not None:
            return self.loop.call(self.driver.ask, raw, (sql,))
        cursor = raw.cursor()
        cursor.execute(sql)
        return cursor.fetchall()

    def in_background(self, raw: Any, sql: str) -> tuple[threading.Thread, list[Any]]:
        """The thread that does so, and what it ends with."""
        ended: list[Any] = []
        thread = threading.Thread(target=lambda: ended.append(failure(self.ask, raw, sql)), daemon=True)
        thread.start()
        return thread, ended

    def close(self, raw: Any) -> None:
        """Close a connection of the driver."""
        if self.loop is not None:
            self.loop.call(self.driver.close, raw)
        else:
            self.driver.close(raw)


@pytest.fixture(params=DRIVERS)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    driver: str = request.param
    server: Any = request.getfixturevalue("postgres" if driver in POSTGRES else "_mariadb")
    with FaultProxy(server.port("n1")) as proxy, cluster_of(driver, "dialled", **TUNED) as cluster:
        fields = {"ssl_disabled": True} if driver == "pymysql" else {}
        cluster.add_node(
            "n1", host="127.0.0.1", port=proxy.port, user="app", password="secret", database="app", **fields
        )
        yield Way(cluster, driver, proxy)
        proxy.heal()


def test_a_call_on_a_deaf_path_is_woken(way: Way) -> None:
    """With the driver's error, which `observe` knows for the end of the connection; the next one is as good as ever."""
    raw = way.cluster.dial()
    assert way.cluster.is_current(raw)
    way.proxy.deaf()
    thread, ended = way.in_background(raw, "SELECT 1")
    thread.join(30)
    assert isinstance(ended[0], way.driver.error), ended
    assert way.cluster.observe(raw, ended[0]).lost
    assert not way.cluster.is_current(raw)
    assert eventually(lambda: way.cluster.metrics()["Pool"]["Hung"] >= 1)
    way.close(raw)
    way.proxy.heal()
    fresh = way.cluster.dial()
    assert way.ask(fresh, "SELECT 1")
    assert way.cluster.is_current(fresh)
    way.close(fresh)


@pytest.mark.parametrize("way", ["psycopg", "asyncpg", "pymysql"], indirect=True)
def test_a_slow_statement_of_a_node_that_answers_is_left_alone(way: Way) -> None:
    """However long it is silent: many times what a node may be before it is asked."""
    raw = way.cluster.dial()
    thread, ended = way.in_background(raw, way.sleep.format(2))
    thread.join(30)
    assert ended == [None]
    way.close(raw)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg-aio", "asyncpg"])
def test_a_frozen_primary_wakes_its_own_and_nobody_else(driver: str, postgres: PostgresCluster) -> None:
    """Those of other nodes, and of a node that has come back, are left alone; so is what is no socket any more but has
    its number.
    """
    with cluster_of(driver, "frozen", **TUNED) as cluster:
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        way = Way(cluster, driver, None)  # type: ignore[arg-type]
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            socket.create_connection(listening.getsockname()) as stranger,
        ):
            hangs, closed, other = cluster.dial(), cluster.dial(), cluster.dial(read_only=True, node="n2")
            number = cluster.driver.descriptor(closed)
            way.close(closed)
            os.dup2(stranger.fileno(), number)
            postgres.freeze("n1")
            thread, ended = way.in_background(hangs, "SELECT 1")
            slow, slept = way.in_background(other, way.sleep.format(2))
            thread.join(30)
            assert isinstance(ended[0], cluster.driver.error), ended
            assert eventually(lambda: cluster.view.by_name["n1"].reach is Reach.DOWN)
            stranger.send(b"still open")
            slow.join(30)
            assert slept == [None]
            os.close(number)
        postgres.thaw("n1")
        assert eventually(lambda: cluster.view.by_name["n1"].reach is Reach.UP)
        back = cluster.dial()
        assert way.ask(back, "SELECT 1")
        for raw in (hangs, other, back):
            way.close(raw)


def test_what_a_node_that_refuses_new_connections_still_sends_is_read(postgres: PostgresCluster) -> None:
    """A proxy that lets nobody in any more, before a session that goes on: the node is down, and the session
    at work.
    """
    with FaultProxy(postgres.port("n1")) as proxy:
        cluster = Cluster("closing", driver="psycopg", **TUNED | {"stall_after": 1.0})
        cluster.add_node("n1", postgres.dsn("n1").replace(str(postgres.port("n1")), str(proxy.port)))
        raw = cluster.dial()
        stop = threading.Event()
        errors: list[BaseException | None] = []

        def work() -> None:
            while not stop.wait(0.1):
                errors.append(failure(raw.execute, "SELECT 1"))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        proxy.close_on_accept()
        refused = lambda: failure(cluster.dial, timeout=0.5) is not None  # noqa: E731
        assert eventually(lambda: refused() and cluster.view.by_name["n1"].reach is Reach.DOWN)
        assert eventually(lambda: len(errors) >= 15)
        stop.set()
        thread.join()
        assert set(errors) == {None}
        raw.close()
        cluster.close()


def test_a_socket_whose_number_means_a_file_by_now(tmp_path: Any) -> None:
    """It is not shut down, nothing is left open, and nothing is put in its place."""
    one, other = socket.socketpair()
    number, known = one.fileno(), sockets.identity(one.fileno())
    one.detach()
    with (tmp_path / "file").open("w") as file:
        os.dup2(file.fileno(), number)
        before = len(os.listdir("/proc/self/fd"))
        assert sockets.shut_down(number, known) is False
        sockets.cut_off(number, known)
        assert len(os.listdir("/proc/self/fd")) == before
        os.write(number, b"still a file")
    os.close(number)
    assert (tmp_path / "file").read_text() == "still a file"
    other.close()
