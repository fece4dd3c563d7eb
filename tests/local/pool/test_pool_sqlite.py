"""The pools of both APIs: limits, order, bookkeeping, what is remembered; without servers."""

from __future__ import annotations

import contextlib
import gc
import random
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support import face
from support.waiting import eventually

import clustersql
from clustersql import ConfigError, PoolClosed, PoolTimeout

Make = Callable[..., clustersql.Cluster]


def together(count: int, work: Callable[[int], object]) -> list[BaseException]:
    """Run ``work(n)`` in ``count`` threads; return what they raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as exc:
            errors.append(exc.with_traceback(None))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return errors


@pytest.mark.parametrize("policy", ["least-latency", "race", "round-robin"])
def test_threads_hammer_the_pool(make: Make, policy: str) -> None:
    """32 threads, 200 operations each (40, each step of which changes threads, by the face), 5 connections: nothing is
    lost, none is handed out twice, the sizes are exact.
    """
    db = make(max_size=5, policy=policy).open()
    held: set[int] = set()
    guard = threading.Lock()
    most = [0]
    operations = 40 if isinstance(db, face.FaceDatabase) else 200

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(operations):
            with db.connection(read_only=True) as conn:
                raw = id(conn._state.session.raw)
                with guard:
                    assert raw not in held
                    held.add(raw)
                    most[0] = max(most[0], len(held))
                if rng.random() < 0.5:
                    assert conn.execute("SELECT 1").fetchone() == (1,)
                with guard:
                    held.discard(raw)
            if rng.random() < 0.1:
                assert db.stats()["size"] <= 5

    assert together(32, work) == []
    assert most[0] <= 5
    assert eventually(lambda: not any(node["dialling"] for node in db.stats()["nodes"].values()))
    stats = db.stats()
    assert stats["size"] == stats["idle"] == sum(node["open"] for node in stats["nodes"].values()) <= 5
    assert (stats["in_flight"], stats["waiting"]) == (0, 0)


def test_counters_are_exact(make: Make) -> None:
    """Every acknowledged write is there once."""
    db = make(max_size=3).open()
    errors = together(
        8,
        lambda n: [
            db.run(lambda conn, i=i: conn.execute("INSERT INTO events VALUES (?)", (f"{n}-{i}",))) for i in range(25)
        ],
    )
    assert errors == []
    rows = [name for (name,) in db.execute("SELECT name FROM events")]
    assert sorted(rows) == sorted(f"{n}-{i}" for n in range(8) for i in range(25))


def test_waiters_are_served_in_order(make: Make) -> None:
    """First come, first served, over all nodes together."""
    db = make(max_size=2).open()
    order: list[int] = []
    one, two = db.connection(), db.connection()

    def call(number: int) -> None:
        with db.connection():
            order.append(number)

    threads = []
    for number in range(30):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
        assert eventually(lambda n=number: db.stats()["waiting"] == n + 1)
    one.close()
    for thread in threads:
        thread.join(30)
    two.close()
    assert order == list(range(30))


def test_pool_timeout_and_deadline(make: Make) -> None:
    """Within the operation's own timeout, and nothing is leaked by those who gave up."""
    db = make(max_size=1).open()
    with db.connection():
        began = time.monotonic()
        errors = together(10, lambda n: db.options(timeout=0.2).execute("SELECT 1"))
        assert time.monotonic() - began < 10
    assert len(errors) == 10
    assert all(isinstance(error, PoolTimeout) and isinstance(error, sqlite3.OperationalError) for error in errors)
    assert db.stats()["waiting"] == 0
    assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_close_wakes_those_who_wait(make: Make) -> None:
    """PoolClosed at once; what is in use is closed at its return."""
    cluster = make(max_size=1)
    db = cluster.open()
    conn = db.connection()
    closer = threading.Thread(target=lambda: eventually(lambda: db.stats()["waiting"] == 5) and cluster.close())
    closer.start()
    errors = together(5, lambda n: db.execute("SELECT 1"))
    closer.join(20)
    assert [type(error).__name__ for error in errors] == ["PoolClosed"] * 5
    assert conn.execute("SELECT 1").fetchone() == (1,)
    conn.close()
    assert db.stats()["size"] == 0
    assert db.closed
    assert "closed" in repr(db)


def test_options_are_an_immutable_view(make: Make) -> None:
    """The original stays as it is; mistakes are all named at once; the pool is shared."""
    db = make().open()
    reader = db.options(read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO events VALUES ('never')")
    db.execute("INSERT INTO events VALUES ('written')")
    assert reader.execute("SELECT name FROM events").fetchall() == [("written",)]
    assert reader.stats()["size"] == db.stats()["size"]
    with pytest.raises(ConfigError) as caught:
        db.options(timeout=-1, role="queen")
    assert "timeout" in str(caught.value)
    assert "role" in str(caught.value)
    with pytest.raises(TypeError):
        db.options(tiemout=1)  # type: ignore[call-arg]
    with db.connection() as conn, pytest.raises(ConfigError, match="did you mean timeout"), conn.options(tiemout=1):
        pass
    with db.connection() as conn:
        with conn.options(timeout=0.5):
            assert conn.execute("SELECT 1").fetchone() == (1,)
        conn.execute("SELECT 1")


def test_result_is_detached(make: Make) -> None:
    """Rows, description and counts outlive the connection, which is back in the pool."""
    db = make(max_size=1).open()
    db.run(lambda conn: conn.cursor().executemany("INSERT INTO events VALUES (?)", [(str(i),) for i in range(5)]))
    result = db.execute("SELECT name FROM events ORDER BY name")
    assert db.stats()["in_flight"] == 0
    assert result.description[0][0] == "name"
    assert len(result) == 5
    assert result.fetchone() == ("0",)
    assert result.fetchmany(2) == [("1",), ("2",)]
    assert list(result) == [("3",), ("4",)]
    assert (result.fetchone(), result.fetchall()) == (None, [])
    written = db.execute("UPDATE events SET name = 'x'")
    assert (written.rowcount, written.description, written.fetchall()) == (5, None, [])
    assert "5 rows" in repr(db.execute("SELECT name FROM events"))


def test_block_commits_or_rolls_back(make: Make) -> None:
    """``with db.connection()`` has our meaning."""
    db = make().open()
    with db.connection() as conn:
        conn.execute("INSERT INTO events VALUES ('kept')")
    with contextlib.suppress(KeyError), db.connection() as conn:
        conn.execute("INSERT INTO events VALUES ('undone')")
        raise KeyError
    conn = db.connection()
    conn.execute("INSERT INTO events VALUES ('given back')")
    conn.close()
    assert db.execute("SELECT name FROM events").fetchall() == [("kept",)]


def test_autocommit_mode_is_remembered(make: Make) -> None:
    """It is set when it differs, not at every checkout: no round trip for nothing."""
    switched: list[str] = []
    cluster = make(nodes="a", max_size=1)
    real = cluster.driver.set_autocommit

    def counted(raw: Any, on: bool) -> Any:
        switched.append(str(on))
        return real(raw, on)

    cluster.driver.set_autocommit = counted  # type: ignore[method-assign]
    db = cluster.open()
    for _ in range(5):
        db.execute("SELECT 1")
    assert switched == ["True"]
    for _ in range(5):
        with db.connection() as conn:
            conn.execute("SELECT 1")
    assert switched == ["True", "False"]


def test_uncontended_checkout_sends_nothing(make: Make) -> None:
    """Checkout and return of an idle connection run no statement at all."""
    statements: list[str] = []
    cluster = make(nodes="a", max_size=1, on_connect=lambda raw: raw.set_trace_callback(statements.append))
    db = cluster.open()
    with db.connection() as conn:
        conn.execute("SELECT 1")
    statements.clear()
    for _ in range(10):
        with db.connection():
            pass
    assert statements == []


def test_attributes_and_pragmas_do_not_leak(make: Make) -> None:
    """What a tenant changed on its connection is gone at the next checkout."""
    db = make(nodes="a", max_size=1).open()
    with db.connection() as conn:
        conn.row_factory = sqlite3.Row
    with db.connection() as conn:
        assert conn.row_factory is None
        conn.isolation_level = "EXCLUSIVE"
    with db.connection() as conn:
        assert conn.isolation_level == ""
        conn.execute("PRAGMA cache_size = 17")
        conn.execute("CREATE TEMP TABLE mine (a)")
    with db.connection() as conn:
        assert conn.execute("PRAGMA cache_size").fetchone() != (17,)
        with pytest.raises(sqlite3.OperationalError):
            conn.execute("SELECT * FROM mine")
    with db.connection(read_only=True) as conn:
        conn.execute("SELECT 1")
    with db.connection() as conn:
        conn.execute("INSERT INTO events VALUES ('writable again')")


def test_forgotten_connection_is_reclaimed(make: Make) -> None:
    """Its room is free again before the next caller queues; the warning names the place."""
    db = make(max_size=1).open()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        db.connection().execute("SELECT 1")
        gc.collect()
        assert db.options(timeout=10).execute("SELECT 1").fetchone() == (1,)
    place = "face.py:" if isinstance(db, face.FaceDatabase) else "test_pool_sqlite.py:"
    assert any(place in str(w.message) for w in caught if issubclass(w.category, ResourceWarning))


def test_handle_after_its_return(make: Make) -> None:
    """Every use raises; closing again does no harm."""
    db = make().open()
    with db.connection() as conn:
        cursor = conn.execute("SELECT 1")
    for use in (
        conn.cursor,
        conn.commit,
        conn.rollback,
        cursor.fetchall,
        lambda: cursor.execute("SELECT 1"),
        lambda: list(cursor),
    ):
        with pytest.raises(PoolClosed) as caught:
            use()
        assert isinstance(caught.value, sqlite3.Error)
    conn.close()
    assert "closed" in repr(conn)
    assert "returned" in repr(cursor)


def test_nodes_come_and_go(make: Make) -> None:
    """Added while traffic runs and removed: no error; the last one's removal is told in plain words."""
    cluster = make(max_size=8)
    db = cluster.open()
    stop = threading.Event()
    errors: list[BaseException] = []
    address = dict(cluster._topology.addresses["a"].arguments) | {"database": cluster._topology.addresses["a"].database}

    def change() -> None:
        for _ in range(30):
            cluster.remove_node("b")
            time.sleep(0.002)
            cluster.add_node("b", **address)
            time.sleep(0.002)
        stop.set()

    changer = threading.Thread(target=change)
    changer.start()

    def work(number: int) -> None:
        while not stop.is_set():
            db.options(read_only=True).execute("SELECT 1")

    errors += together(6, work)
    changer.join(20)
    assert errors == []
    for name in "abc":
        cluster.remove_node(name)
    assert cluster.nodes == []
    assert eventually(lambda: db.stats()["size"] == 0)
    with pytest.raises(clustersql.NoNodeAvailable, match="has no nodes"):
        db.options(timeout=0.2).execute("SELECT 1")


def test_session_is_drained_when_its_node_is_removed(make: Make) -> None:
    """Work in progress ends normally; then the connection is closed."""
    cluster = make(nodes="a")
    db = cluster.open()
    with db.connection() as conn:
        conn.execute("INSERT INTO events VALUES ('in progress')")
        cluster.remove_node("a")
        conn.execute("INSERT INTO events VALUES ('still')")
    assert eventually(lambda: db.stats()["size"] == 0)
    assert make(nodes="b").open().execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_lifetime_and_idle_time(make: Make) -> None:
    """Old connections are replaced, idle ones are closed, ``min_idle`` are kept."""
    brief = make(max_idle_time=0.1).open()
    brief.execute("SELECT 1")
    assert eventually(lambda: brief.stats()["size"] == 0)
    raws: list[Any] = []
    young = make(max_lifetime=0.1, on_connect=raws.append).open()
    assert eventually(lambda: young.execute("SELECT 1") and len(raws) >= 6)
    kept = make(min_idle=3).open()
    # At least: a node that answered first may have got some before a better one was known.
    assert eventually(lambda: kept.stats()["idle"] >= 3)


def test_repr_tells_the_truth(make: Make) -> None:
    """Each managed object says what it is and in which state."""
    cluster = make(max_size=4)
    db = cluster.open()
    api = "clustersql.aio" if isinstance(db, face.FaceDatabase) else "clustersql"
    with db.connection() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert repr(conn) == f"<{api}.Connection to '{cluster.name}' on {conn.node}>"
        assert repr(cursor) == f"<{api}.Cursor on {conn.node}>"
        assert repr(db) == f"<{api}.Database '{cluster.name}': 1 in flight, 0 idle, at most 4>"
        assert "size=1/4 idle=0 in_flight=1 waiting=0>" in repr(db._pool)
    assert repr(db) == f"<{api}.Database '{cluster.name}': 0 in flight, 1 idle, at most 4>"
    assert repr(cluster) == f"<clustersql.Cluster '{cluster.name}' {cluster.driver.name} nodes=['a', 'b', 'c']>"


def test_a_connection_of_one_thread_is_dialled_in_that_thread(make_over: Make) -> None:
    """With ``check_same_thread``, as a program has it that opened the file itself; what others use is refused it."""
    cluster = make_over("sqlite3")
    raw = cluster.dial(check_same_thread=True)
    raw.execute("INSERT INTO events VALUES ('mine')")
    raw.commit()
    refused: list[type[BaseException]] = []

    def elsewhere() -> None:
        try:
            raw.execute("SELECT 1")
        except sqlite3.ProgrammingError as exc:
            refused.append(type(exc))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert refused == [sqlite3.ProgrammingError]
    raw.close()
    conn = cluster.connect(check_same_thread=True)
    assert conn.execute("SELECT name FROM events").fetchall() == [("mine",)]
    conn.close()
    cluster.add_node("shared", database=":memory:", check_same_thread=True)
    with pytest.raises(clustersql.NoNodeAvailable, match="used by several threads"):
        cluster.dial(node="shared", timeout=5.0)
