"""Driver arguments and `on_connect` of one use of a cluster: whose sessions go to whom, under one limit, on
both APIs.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.waiting import eventually

import clustersql
from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Session, Waiter
from clustersql.core.policies.named import policy
from clustersql.core.steps import Served
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.use import Use
from clustersql.core.view.view import View, Want
from clustersql.pool.uses import MOST

Make = Callable[..., clustersql.Cluster]


def told(conn: Any) -> list[str]:
    """What hooks have noted in this session."""
    return [name for (name,) in conn.execute("SELECT name FROM temp.noted").fetchall()]


def noting(name: str) -> Callable[[Any], object]:
    """A hook that notes its name in the session, on either API."""

    def note(raw: Any) -> object:
        raw = getattr(raw, "_conn", raw)  # aiosqlite's own waits for nothing either: the file is ours
        raw.execute("CREATE TEMP TABLE IF NOT EXISTS noted (name TEXT)")
        raw.execute("INSERT INTO noted VALUES (?)", (name,))
        return None

    return note


def test_each_use_gets_sessions_that_were_made_for_it(make_sync: Make) -> None:
    cluster = make_sync(nodes="a", on_connect=noting("cluster"))
    one, other = noting("one"), noting("other")
    first, same, second = (cluster.open(on_connect=hook) for hook in (one, one, other))
    for db, notes in ((first, ["cluster", "one"]), (second, ["cluster", "other"]), (cluster.open(), ["cluster"])):
        for _ in range(2):
            with db.connection() as conn:
                assert told(conn) == notes
    with same.connection() as conn:
        assert told(conn) == ["cluster", "one"]
    assert cluster.open().stats()["nodes"]["a"]["open"] == 3, (
        "one session per use, and the second database had that of the first"
    )


def test_arguments_reach_the_driver_and_only_who_has_asked(make: Make) -> None:
    cluster = make(nodes="a")
    plain, timed = cluster.open(), cluster.open(arguments={"cached_statements": 7, "isolation_level": "IMMEDIATE"})
    for _ in range(2):
        with plain.connection() as conn:
            assert conn.isolation_level == ""
        with timed.connection() as conn:
            assert conn.isolation_level == "IMMEDIATE"
    assert timed.options(timeout=3.0).stats()["size"] == 2
    assert cluster.open(arguments={}).stats()["size"] == 2


def test_all_uses_share_one_limit_and_one_end(make: Make) -> None:
    cluster = make(nodes="a", max_size=2, timeout=5.0)
    uses = [cluster.open(arguments={"cached_statements": number}) for number in (5, 6, 7)]
    for db in uses:  # the third one closes an idle connection of another
        with db.connection() as conn:
            conn.execute("SELECT 1")
        assert db.stats()["size"] <= 2
    with uses[0].connection(), uses[1].connection(), pytest.raises(clustersql.PoolTimeout):
        uses[2].connection(timeout=0.2)
    cluster.close()
    with pytest.raises(clustersql.PoolClosed):
        uses[1].connection()


def test_sessions_of_a_use_that_nobody_has_any_more_are_closed(make: Make) -> None:
    cluster = make(nodes="a")
    plain = cluster.open()
    db = cluster.open(arguments={"cached_statements": 5})
    with db.connection() as conn, plain.connection():
        conn.execute("SELECT 1")
    assert plain.stats()["size"] == 2
    del db, conn
    gc.collect()
    assert eventually(lambda: plain.stats()["size"] == 1), "the session of the use is closed"


def test_min_idle_is_kept_of_each_use_that_was_asked_for(make: Make) -> None:
    """But not of one whose hook no session has survived: it is called for its own callers only."""
    cluster = make(nodes="a", min_idle=2, max_size=12)
    calls: list[Any] = []

    def fails(raw: Any) -> None:
        calls.append(raw)
        raise RuntimeError("not yet")

    never = cluster.open(on_connect=fails)
    with pytest.raises((RuntimeError, clustersql.NoNodeAvailable)):
        never.connection(timeout=0.5)
    called = len(calls)
    uses = [cluster.open(arguments={"cached_statements": number}) for number in (5, 6)]
    for db in uses:
        with db.connection() as conn:
            conn.execute("SELECT 1")

    def idle() -> Counter[Use | None]:
        shelves = uses[0]._pool.book.shelves.values()
        return Counter(session.use for shelf in shelves for session in tuple(shelf.idle))

    wanted = [db._want.use for db in uses]
    assert eventually(lambda: all(idle()[use] >= 2 for use in wanted))
    assert len(calls) == called
    gone = wanted.pop()
    del uses[1], db, conn
    gc.collect()
    assert eventually(lambda: idle()[gone] == 0), "nobody can ask for it any more"
    assert eventually(lambda: idle()[wanted[0]] >= 2)


def test_what_was_asked_for_is_not_remembered_where_nothing_is_kept(make: Make) -> None:
    """Nobody would ever take it out again."""
    db = make(nodes="a").open(arguments={"cached_statements": 5})
    with db.connection() as conn:
        conn.execute("SELECT 1")
    assert db._pool._asked == set()


def test_too_many_uses_are_refused_unless_they_are_dropped(make: Make) -> None:
    cluster = make(nodes="a")
    for number in range(3 * MOST):  # each is dropped before the next
        cluster.open(arguments={"cached_statements": number})
    held = [cluster.open(arguments={"cached_statements": number}) for number in range(MOST)]
    assert cluster.open(arguments={"cached_statements": 0}) is not held[0]
    with pytest.raises(clustersql.ConfigError, match=r"8 combinations of arguments= and on_connect= in use already"):
        cluster.open(arguments={"cached_statements": MOST})
    held.pop()
    cluster.open(arguments={"cached_statements": MOST})


@pytest.mark.parametrize(
    ("use", "text"),
    [
        ({"arguments": {"host": "h", "password": "s3cret"}}, r"host, password: address and credentials are the node's"),
        ({"arguments": ["timeout"]}, r"arguments must be a mapping"),
        ({"arguments": {1: 2}}, r"arguments must be a mapping"),
        ({"on_connect": "SET x"}, r"on_connect|open\(\)"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Make, use: dict[str, Any], text: str) -> None:
    with pytest.raises(clustersql.ConfigError, match=text) as caught:
        make(nodes="a").open(**use)
    assert "s3cret" not in str(caught.value)


def test_what_only_its_own_thread_may_use_is_not_pooled(make_sync: Make) -> None:
    with pytest.raises(clustersql.ConfigError, match="leave check_same_thread out"):
        make_sync(nodes="a").open(arguments={"check_same_thread": True})


def test_an_async_hook_is_awaited(make_over: Make) -> None:
    async def note(raw: Any) -> None:
        await raw.execute("CREATE TEMP TABLE noted (name TEXT)")
        await raw.execute("INSERT INTO noted VALUES ('awaited')")
        await raw.commit()

    with make_over("aiosqlite", nodes="a").open(on_connect=note).connection() as conn:
        assert told(conn) == ["awaited"]
    with pytest.raises(clustersql.ConfigError, match="give a plain function as on_connect"):
        make_over("sqlite3", nodes="a").open(on_connect=note)


def test_a_waiter_is_not_served_the_session_of_another_use() -> None:
    view = observe(observe(View(), Added("a"), 0.0), Answered("a", Report(Role.PRIMARY)), 0.0)
    book = Book(1, 2, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    use = Use({"cached_statements": 5}, None)
    _, actions = book.begin_dial("a")
    assert actions.dial is not None
    session = Session(object(), actions.dial, view.by_name["a"].generation)
    session.use = use
    book.dialled(session, 0.01, 0.0)
    assert book.take(Want(), 0.0) is None
    assert book.take(Want(use=use), 0.0) is session
    stranger, friend = Waiter(Want()), Waiter(Want(use=use))
    for waiter in (stranger, friend):
        book.enqueue(waiter)
        assert not book.begin_dial("a", waiter)[0], "there is no room"
    book.give_back(session, 1.0)
    assert list(friend.events) == [Served(session)]
    assert list(stranger.events) == []
