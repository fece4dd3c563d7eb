"""Who waits for notifications is woken when the node is gone, frozen, or no primary any more; and is left alone when
nothing happens.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import face
from support.waiting import eventually

from clustersql.testing import PostgresCluster

DRIVERS = ("psycopg", "psycopg2", "pg8000", "psycopg-aio", "asyncpg")
TUNED = {"stall_after": 0.3, "probe_interval": 0.2, "connect_timeout": 1.0, "breaker_base": 0.2, "breaker_cap": 0.5}
PATIENCE = 30.0
"""Seconds until a waiter counts as forgotten, on a machine that has much else to do; it would wait for ever."""


def by_notifies(conn: Any, heard: Callable[[str], None]) -> None:
    """psycopg: a generator that waits."""
    conn.autocommit = True
    for note in conn.notifies():
        heard(note.payload)


def by_select(conn: Any, heard: Callable[[str], None]) -> None:
    """psycopg2: the program waits for the socket, and has the driver look."""
    while True:
        select.select([conn], [], [])
        conn.poll()
        while conn.notifies:
            heard(conn.notifies.pop().payload)


def by_socket(conn: Any, heard: Callable[[str], None]) -> None:
    """pg8000: notifications come with the answer to a statement."""
    sock = conn._state.session.raw._usock
    while True:
        select.select([sock], [], [])
        with conn.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
        conn.commit()
        while conn.notifications:
            heard(conn.notifications.popleft()[2])


def by_notifies_in_the_loop(conn: Any, heard: Callable[[str], None]) -> None:
    """Psycopg's asyncio API."""
    conn.set_autocommit(True)

    async def follow() -> None:
        async for note in conn._inner.notifies():
            heard(note.payload)

    conn._loop.call(follow)


def by_listener(conn: Any, heard: Callable[[str], None]) -> None:
    """asyncpg: nothing of it waits; who wants to know of the end says so."""
    ended = threading.Event()
    conn.add_listener("news", lambda raw, pid, channel, payload: heard(payload))
    conn.add_termination_listener(lambda raw: ended.set())
    ended.wait()
    conn.execute("SELECT 1")


WAITS = {
    "psycopg": by_notifies,
    "psycopg2": by_select,
    "pg8000": by_socket,
    "psycopg-aio": by_notifies_in_the_loop,
    "asyncpg": by_listener,
}


class Waiter:
    """A thread that listens: what it has heard, and what ended it."""

    def __init__(self, db: Any, driver: str) -> None:
        self.heard: list[str] = []
        self.error: BaseException | None = None
        self.listening = threading.Event()
        self._db, self._driver = db, driver
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.listening.wait(PATIENCE)

    def _run(self) -> None:
        conn = self._db.connection(move=False)
        try:
            with conn.cursor() as cursor:
                cursor.execute("LISTEN news")
            conn.commit()
            assert [pin.what for pin in conn.pins] == ["LISTEN news"]
            self.listening.set()
            WAITS[self._driver](conn, self.heard.append)
        except Exception as exc:
            self.error = exc.with_traceback(None)
        finally:
            conn.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ended(self) -> bool:
        """Whether it ends in time."""
        self._thread.join(PATIENCE)
        return not self.alive


@pytest.fixture(params=DRIVERS)
def database(postgres: PostgresCluster, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster that notices quickly, and knows its nodes."""
    with face.cluster_of(request.param, "listening", **TUNED) as cluster:
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        database = cluster.open()
        assert eventually(lambda: all(node["State"] == "up" for node in cluster.metrics()["Nodes"].values()))
        database.execute("SELECT 1")
        yield cluster, database, request.param
    postgres.heal()


def is_driver_s(cluster: Any, error: BaseException | None) -> bool:
    """An error of the driver's, or of the socket that the program waits on itself."""
    return isinstance(
        error,
        (cluster.driver.error, OSError) if isinstance(cluster.driver.error, type) else (*cluster.driver.error, OSError),
    )


def test_silence_on_a_live_node_is_no_stall(database: Any, postgres: PostgresCluster) -> None:
    """Nothing for ten times ``stall_after``, with the node asked all the while: then the notification comes."""
    cluster, db, driver = database
    waiter = Waiter(db, driver)
    time.sleep(10 * TUNED["stall_after"])
    assert waiter.alive
    assert cluster.metrics()["Pool"]["Hung"] == 0
    assert eventually(lambda: postgres.execute("n1", "NOTIFY news, 'hello'") is not None and "hello" in waiter.heard)
    postgres.terminate_sessions("n1")  # so that it ends; a server that hangs up wakes it by itself
    assert waiter.ended()
    assert is_driver_s(cluster, waiter.error)
    assert cluster.metrics()["Pool"]["Hung"] == 0


def test_a_waiter_on_a_frozen_node_is_woken(database: Any, postgres: PostgresCluster) -> None:
    """No packet ever comes: the monitor has found that the node does not answer, and shuts the socket down."""
    cluster, db, driver = database
    waiter = Waiter(db, driver)
    postgres.freeze("n1")
    assert waiter.ended()
    assert is_driver_s(cluster, waiter.error)
    assert cluster.metrics()["Pool"]["Hung"] == 1


def test_a_waiter_on_a_demoted_primary_is_woken(database: Any, postgres: PostgresCluster) -> None:
    """Its sessions are kept, but what is new happens elsewhere."""
    cluster, db, driver = database
    waiter = Waiter(db, driver)
    postgres.set_read_only("n1")
    assert waiter.ended()
    assert is_driver_s(cluster, waiter.error)
