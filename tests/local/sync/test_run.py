"""Who may call ``run``, with what, and what follows its commit: the threads' API.  `aio.test_run` has the twin."""

from __future__ import annotations

import contextvars
import functools
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import greenlet
import pytest

import clustersql
from clustersql import ConfigError, PoolClosed
from clustersql.connection.running import Running, here
from clustersql.sync.database import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """With two connections: what needs a third would wait."""
    cluster = clustersql.Cluster("running", driver="sqlite3", max_size=2, timeout=10)
    cluster.add_node("file", f"sqlite:///{tmp_path}/running.db?check_same_thread=false")
    with cluster.open() as database:
        database.execute("CREATE TABLE t (n INTEGER UNIQUE)")
        yield database


def numbers(db: Database) -> list[int]:
    return [n for (n,) in db.execute("SELECT n FROM t ORDER BY n").fetchall()]


def record(conn: Any, n: int) -> int:
    conn.execute("INSERT INTO t VALUES (?)", (n,))
    return n


# -- who may call it ---------------------------------------------------------------------------------------------------


def test_inside_the_function_it_is_refused(db: Database) -> None:
    """By whatever view, in a context of its own too: the inner transaction would be another one."""
    for inner in (
        lambda conn: db.run(record, 1),
        lambda conn: db.options(timeout=5).run(record, 1),
        lambda conn: contextvars.copy_context().run(db.run, record, 1),
    ):
        with pytest.raises(ConfigError, match=r"inside db.run\(\)"):
            db.run(inner)
    assert numbers(db) == []
    assert db.run(record, 1) == 1


def test_another_cluster_is_not_meant(db: Database, tmp_path: Path) -> None:
    other = clustersql.Cluster("other", driver="sqlite3")
    other.add_node("file", f"sqlite:///{tmp_path}/other.db")
    with other.open() as inner:
        assert db.run(lambda conn: inner.run(lambda again: again.execute("SELECT 5").fetchone())) == (5,)


def test_a_thread_of_the_function_has_a_run_of_its_own(db: Database) -> None:
    """While the function is called, and when it is over: it has only inherited the context."""
    over = threading.Event()

    def later(context: contextvars.Context) -> int:
        assert over.wait(10)
        return context.run(db.run, record, 2)

    with ThreadPoolExecutor(1) as threads:

        def work(conn: Any) -> Any:
            context = contextvars.copy_context()
            read = threads.submit(context.run, db.run, lambda own: own.execute("SELECT 7").fetchone())
            assert read.result(10) == (7,)
            record(conn, 1)
            return threads.submit(later, contextvars.copy_context())

        pending = db.run(work)
        over.set()
        assert pending.result(10) == 2
    assert numbers(db) == [1, 2]


def test_a_context_that_outlives_the_run_holds_nobody_up(db: Database) -> None:
    """Not in the same thread either."""
    context = db.run(lambda conn: contextvars.copy_context())
    assert context.run(db.run, record, 1) == 1


def test_a_run_that_is_left_in_another_context_is_over_in_both() -> None:
    """A coroutine that is thrown away is closed by the garbage collector, wherever that runs."""
    pool, context = object(), contextvars.copy_context()
    running = Running(pool, here(), "thrown away")
    context.run(running.__enter__)
    with pytest.raises(ConfigError):
        context.run(Running(pool, here(), "inside").__enter__)
    running.__exit__(None, None, None)
    context.run(Running(pool, here(), "afterwards").__enter__)


def test_a_greenlet_of_the_function_has_a_run_of_its_own(db: Database) -> None:
    def work(conn: Any) -> Any:
        child = greenlet.greenlet(lambda: db.run(lambda own: own.execute("SELECT 7").fetchone()))
        child.gr_context = contextvars.copy_context()
        return child.switch()

    assert db.run(work) == (7,)


@pytest.mark.parametrize("ending", ["run", "with", "commit", "text"])
def test_a_hook_may_run(db: Database, ending: str) -> None:
    """The transaction has ended, also where the function has committed by itself."""

    def work(conn: Any) -> None:
        conn.on_commit(lambda: db.run(record, 2))
        record(conn, 1)
        if ending == "commit":
            conn.commit()
        elif ending == "text":
            conn.execute("COMMIT")

    if ending == "with":
        with db.connection() as conn:
            work(conn)
    else:
        db.run(work)
    assert numbers(db) == [1, 2]


@pytest.mark.parametrize("ending", ["run", "with"])
def test_a_hook_gets_the_connection_that_has_committed(db: Database, ending: str) -> None:
    """With all others in use it would wait for it for ever."""

    def work(conn: Any) -> None:
        conn.on_commit(lambda: db.execute("INSERT INTO t VALUES (2)"))
        record(conn, 1)

    with db.connection() as other:
        other.execute("SELECT 1")
        if ending == "run":
            db.options(timeout=5).run(work)
        else:
            with db.connection() as conn:
                work(conn)
    assert numbers(db) == [1, 2]


# -- with what ---------------------------------------------------------------------------------------------------------


async def later(conn: Any) -> None:
    raise AssertionError("executed")


def one_by_one(conn: Any) -> Iterator[int]:
    yield record(conn, 1)


async def both(conn: Any) -> AsyncIterator[int]:
    yield record(conn, 1)


class Later:
    async def __call__(self, conn: Any) -> None:
        raise AssertionError("executed")

    async def method(self, conn: Any) -> None:
        raise AssertionError("executed")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (later, "an async function, later"),
        (functools.partial(later), "an async function, later"),
        (functools.partial(functools.partial(Later().method)), "an async function, Later.method"),
        (Later(), "an async function, Later"),
        (one_by_one, "a generator function, one_by_one"),
        (functools.partial(one_by_one), "a generator function"),
        (both, "an async generator function, both"),
        ("SELECT 1", "takes a function, not 'str'"),
    ],
)
def test_what_would_execute_nothing_is_refused_beforehand(db: Database, function: Any, words: str) -> None:
    before = db.stats()["nodes"]["file"]["checkouts"]
    with pytest.raises(ConfigError, match=words):
        db.run(function)
    assert db.stats()["nodes"]["file"]["checkouts"] == before


@pytest.mark.parametrize("inner", [later, Later(), one_by_one, both], ids=lambda f: type(f).__name__)
def test_what_has_executed_nothing_is_not_committed(db: Database, inner: Callable[[Any], Any]) -> None:
    """Around it is a plain function: it is found out by what that returns, and what was done before is undone."""

    def work(conn: Any) -> Any:
        record(conn, 1)
        return inner(conn)

    with pytest.raises(ConfigError, match="nothing was executed"):
        db.run(work)
    gc.collect()  # a coroutine that nobody has awaited would warn here
    assert numbers(db) == []


def test_a_generator_over_what_was_read_is_a_value(db: Database) -> None:
    def work(conn: Any) -> Iterator[int]:
        rows = conn.execute("SELECT 1 UNION SELECT 2").fetchall()
        return (n for (n,) in rows)

    assert list(db.run(work)) == [1, 2]


@pytest.mark.parametrize("function", [later, functools.partial(later), Later(), one_by_one, both, None])
def test_a_hook_must_be_a_plain_function(db: Database, function: Any) -> None:
    """Refused where it is given, so that the transaction does not happen."""

    def work(conn: Any) -> None:
        record(conn, 1)
        conn.on_commit(function)

    with pytest.raises(ConfigError, match=r"on_commit\(\)"):
        db.run(work)
    assert numbers(db) == []


def test_a_hook_that_returns_a_coroutine_says_so(db: Database) -> None:
    with pytest.raises(ConfigError, match="returned a coroutine") as raised:
        db.run(lambda conn: conn.on_commit(lambda: later(conn)))
    assert "the transaction is committed" in raised.value.__notes__[0]


# -- hooks that raise --------------------------------------------------------------------------------------------------


def commit_by(db: Database, ending: str, work: Callable[[Any], Any]) -> None:
    if ending == "run":
        db.run(work)
        return
    with db.connection() as conn:
        work(conn)
        if ending == "commit":
            conn.commit()
        elif ending == "text":
            conn.execute("COMMIT")


endings = pytest.mark.parametrize("ending", ["run", "with", "commit", "text"])


@endings
@pytest.mark.parametrize("nothing", [False, True], ids=["work", "nothing-executed"])
def test_the_later_hooks_are_called_and_nothing_is_run_again(db: Database, ending: str, nothing: bool) -> None:
    """Also when it raises what the driver raises for a conflict, after which a function is run again."""
    told: list[str] = []
    conflict = sqlite3.OperationalError("database is locked")
    conflict.sqlite_errorcode = sqlite3.SQLITE_BUSY

    def fails(error: Exception) -> None:
        told.append(type(error).__name__)
        raise error

    def work(conn: Any) -> None:
        told.append("called")
        conn.on_commit(lambda: fails(conflict))
        conn.on_commit(lambda: fails(ValueError("second")))
        conn.on_commit(lambda: told.append("last"))
        if not nothing or ending == "text":
            record(conn, 1)

    with pytest.raises(sqlite3.OperationalError) as raised:
        commit_by(db, ending, work)
    assert told == ["called", "OperationalError", "ValueError", "last"]
    assert raised.value is conflict
    assert "is committed" in conflict.__notes__[0]
    assert "ValueError: second" in conflict.__notes__[1]
    assert numbers(db) == ([] if nothing and ending != "text" else [1])
    assert db.stats()["in_flight"] == 0


def test_inside_run_a_function_whose_own_commit_has_called_hooks_is_not_called_again(db: Database) -> None:
    """Nothing was executed, so nothing was committed; but hooks were called, and each is called once."""
    calls: list[int] = []

    def work(conn: Any) -> None:
        calls.append(conn.attempt)
        conn.on_commit(lambda: calls.append(0))
        conn.commit()
        raise db._pool.driver.module.OperationalError("database is locked")

    with pytest.raises(db._pool.driver.module.OperationalError):
        db.run(work)
    assert calls == [1, 0]


@endings
def test_an_interrupt_in_a_hook_goes_before_errors(db: Database, ending: str) -> None:
    told: list[str] = []

    def fails(error: BaseException) -> None:
        raise error

    def work(conn: Any) -> None:
        record(conn, 1)
        conn.on_commit(lambda: fails(ValueError("first")))
        conn.on_commit(lambda: fails(KeyboardInterrupt()))
        conn.on_commit(lambda: told.append("last"))

    with pytest.raises(KeyboardInterrupt) as raised:
        commit_by(db, ending, work)
    assert told == ["last"]
    assert any("ValueError: first" in note for note in raised.value.__notes__)
    assert numbers(db) == [1]


def test_a_hook_of_a_hook_is_of_the_next_transaction(db: Database) -> None:
    """Where there is none, because the connection was given back, that is said."""
    told: list[str] = []

    def first(conn: Any) -> None:
        told.append("first")
        conn.on_commit(lambda: told.append("second"))

    with db.connection() as conn:
        record(conn, 1)
        conn.on_commit(lambda: first(conn))
        conn.commit()
        assert told == ["first"]
        record(conn, 2)
    assert told == ["first", "second"]

    with pytest.raises(PoolClosed, match="given back"):
        db.run(lambda conn: conn.on_commit(lambda: first(conn)))


def test_a_block_without_a_statement_calls_its_hooks_and_a_closed_one_does_not(db: Database) -> None:
    told: list[str] = []
    with db.connection() as conn:
        conn.on_commit(lambda: told.append("empty"))
    with db.connection() as conn:
        conn.on_commit(lambda: told.append("never"))
        record(conn, 1)
        conn.close()
    with pytest.raises(ValueError, match="fails"), db.connection() as conn:  # noqa: PT012
        conn.on_commit(lambda: told.append("never"))
        raise ValueError("fails")
    assert told == ["empty"]
    assert numbers(db) == []
