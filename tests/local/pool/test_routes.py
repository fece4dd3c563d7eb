"""`conn.route`, `result.route` and `db.route()` in both APIs: why a node serves, without a question to a server."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import face
from support.stage import execute
from support.waiting import eventually

APIS = ("sqlite3", "aiosqlite")


@pytest.fixture(params=APIS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with face.cluster_of(request.param, "books", max_size=1, policy="round-robin") as made:
        for name in ("a", "b"):
            made.add_node(name, database=str(tmp_path / "books.db"))
        made.add_node("c", database=str(tmp_path / "no" / "such.db"))
        yield made


def probed(cluster: Any, *up: str) -> None:
    assert eventually(lambda: {n.name for n in cluster.snapshot().nodes if n.state == "up"} == set(up))
    assert eventually(lambda: all(n.state != "unknown" for n in cluster.snapshot().nodes))


def test_a_connection_a_result_and_a_rehearsal_say_why(cluster: Any) -> None:
    db = cluster.open()
    probed(cluster, "a", "b")
    with db.connection() as conn:
        route = conn.route
        assert (route.node, route.wants, route.cluster) == (conn.node, "primary", "books") == ("a", "primary", "books")
        assert route.why == "a primary is asked for, and it is the only one that can serve"
        against = {each.node: each.against for each in route.candidates}
        assert against["a"] == ()
        assert against["b"] == ("writer='single': a comes before it in the configured order",)
        assert against["c"][0].startswith("reachability: down (")
        assert (route.moves, route.recoveries, route.causal, route.guard) == ((), 0, "", "")
        assert str(route).startswith("a: a primary is asked for")
        assert json.loads(json.dumps(route.as_dict()))["candidates"][0]["chosen"] is True
    assert conn.route is None
    assert db.execute("SELECT 1").route.node == "a"
    cluster.drain("a")
    assert "a: drain: draining" in str(db.route())
    assert db.route().node == "b"
    assert db.options(node="c").route().node == ""
    cluster.undrain("a")


def test_the_choice_is_told_as_it_was_made(cluster: Any) -> None:
    """What became of the nodes later changes nothing of it."""
    db = cluster.open()
    probed(cluster, "a", "b")
    with db.connection() as conn:
        before = conn.route.candidates
        cluster.drain("b")
        assert [each.against for each in conn.route.candidates] == [each.against for each in before]
    result = db.execute("SELECT 1")
    cluster.undrain("b")
    assert "drain: draining (drained by the operator)" in str(result.route)


def test_whose_turn_it_is_does_not_change_by_a_question(cluster: Any) -> None:
    reads = cluster.open().options(read_only=True)
    probed(cluster, "a", "b")
    assert len({reads.route().node for _ in range(5)}) == 1


def test_how_long_a_caller_waited_is_said(cluster: Any) -> None:
    db = cluster.open()
    with db.connection():
        found: list[Any] = []

        def wait() -> None:
            with db.connection() as conn:
                found.append(conn.route)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert eventually(lambda: db.stats()["waiting"] == 1)
    waiting.join()
    assert found[0].waited > 0
    with db.connection() as conn:
        assert conn.route.waited == 0


@pytest.mark.parametrize("cluster", ["sqlite3"], indirect=True)
def test_how_long_one_waited_who_had_other_news_meanwhile(cluster: Any) -> None:
    """It is served by another way then, which leaves the stamp of whoever had the connection before."""
    db = cluster.open()
    with db.connection():
        found: list[float] = []

        def wait() -> None:
            with db.connection() as conn:
                found.append(conn.route.waited)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert eventually(lambda: db.stats()["waiting"] == 1)
        with db._pool._lock:
            for waiter in db._pool.book.waiters:
                waiter.general()
    waiting.join()
    assert found[0] > 0


def test_a_copy_of_a_result_has_the_rows_alone(cluster: Any) -> None:
    result = cluster.open().execute("SELECT 1")
    for other in (pickle.loads(pickle.dumps(result)), copy.copy(result)):
        assert (other.fetchall(), other.route) == ([(1,)], None)


def test_a_node_that_was_lost_is_among_the_moves(cluster: Any) -> None:
    db = cluster.open()
    with db.connection() as conn:
        execute(conn, "SELECT 1")
        first = conn.node
        conn._drop()
        execute(conn, "SELECT 1")
        assert conn.route.moves == (first,)
