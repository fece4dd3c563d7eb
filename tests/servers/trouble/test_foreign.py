"""An exception that is not the driver's, in the middle of its call: it passes as it is, and nobody reads the answer
that was pending.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from support import face
from support.breaking import POISON, HardStop, SoftLimit, converting, refusing, signalled
from support.stage import DRIVERS, INSERT, MARIADB, Stage, execute, rows

from clustersql import ClusterError, TransactionLost

KINDS = (SoftLimit, TimeoutError, ConnectionResetError, HardStop)
"""What breaks in: as such, as what a socket would raise, and as what no `except Exception` catches."""


@dataclass(frozen=True)
class Frozen(Exception):
    """Takes no note: many a program's own is so by mistake."""

    number: int


THREADS = [driver for driver in DRIVERS if driver not in face.ASYNC]

POISONED = f"SELECT {POISON}"

CALLS_BACK = [driver for driver in DRIVERS if driver != "mariadb"]
"""mariadb takes no iterator of parameters, and leaves a converter's exception to the interpreter, which raises it
anywhere.
"""

in_threads = pytest.mark.parametrize("stage", THREADS, indirect=True)


def sleep(stage: Stage) -> str:
    """A statement that takes a third of a second."""
    return "SELECT 'of user A' FROM pg_sleep(0.3)" if stage.postgres else "SELECT 'of user A', SLEEP(0.3)"


def own_errors(stage: Stage) -> tuple[type[BaseException], ...]:
    error = stage.cluster.driver.error
    return error if isinstance(error, tuple) else (error,)


def broken_by(stage: Stage, kind: type[BaseException], function: Any, *args: Any) -> BaseException:
    """Call ``function``, which a ``kind`` breaks into; returns what it raised: that, or what the driver has made of it,
    never ours.
    """
    with pytest.raises(
        (kind, *own_errors(stage), SystemError)
    ) as raised:  # mariadb leaves a converter's to the interpreter
        function(*args)
    seen = raised.value
    assert not isinstance(seen, ClusterError), repr(seen)
    chain, each = [], seen
    while each is not None:
        chain.append(each)
        each = each.__cause__ or each.__context__  # type: ignore[assignment]
    assert any(isinstance(each, kind) for each in chain), chain
    for each in chain:
        each.__traceback__ = None  # its frames would keep the driver's cursors
    return seen


@contextmanager
def unharmed(stage: Stage, db: Any = None, cluster: Any = None) -> Iterator[None]:
    """After the block the next users get their own rows, no node was blamed, and nobody holds a connection."""
    db, cluster = stage.db if db is None else db, stage.cluster if cluster is None else cluster
    db.execute("SELECT 0")
    before = [(node.name, node.generation) for node in cluster.view.nodes]
    yield
    for n in range(3):
        assert rows(db.execute(f"SELECT {n}")) == [(n,)]
    with db.connection() as conn:
        assert rows(execute(conn, "SELECT 7")) == [(7,)]
    assert db.stats()["in_flight"] == 0
    assert [(node.name, node.generation) for node in cluster.view.nodes] == before
    assert all(node.usable for node in cluster.view.nodes)


@in_threads
def test_a_handler_that_raises_in_the_middle_of_a_statement(stage: Stage) -> None:
    """In autocommit mode, and in ``run``, which does not call its function again."""
    calls: list[int] = []

    def work(conn: Any, arm: Any) -> None:
        calls.append(conn.attempt)
        stage.insert(conn)
        arm(0.1)
        execute(conn, sleep(stage))

    with unharmed(stage):
        for kind in KINDS[::2]:
            stage.db.execute("SELECT 0")
            with signalled(kind(), 0.1):
                broken_by(stage, kind, stage.db.execute, sleep(stage))
        for kind in KINDS[1::2]:
            with signalled(kind()) as arm:
                broken_by(stage, kind, stage.db.run, work, arm)
    assert calls == [1, 1]
    assert stage.count() == 0


@in_threads
def test_a_transaction_that_was_broken_into_is_never_committed_in_part(stage: Stage) -> None:
    """The function swallows what broke in, and goes on: COMMIT says so, and a rollback begins anew on another
    session.
    """
    with unharmed(stage), stage.db.connection() as conn:
        stage.insert(conn)
        with signalled(SoftLimit(), 0.1):
            broken_by(stage, SoftLimit, execute, conn, sleep(stage))
        for again in (lambda: stage.insert(conn), conn.commit):  # COMMIT says so once, and is the end of it
            with pytest.raises(TransactionLost):
                again()
        conn.rollback()
        stage.insert(conn, f"{stage.key}-anew")
    assert (stage.count(), stage.count(f"{stage.key}-anew")) == (0, 1)


@in_threads
def test_a_handler_that_raises_at_commit(stage: Stage) -> None:
    """The exception says that nobody knows, nothing is told to ``on_commit``, and `run` does not call again."""
    calls, told = [], []

    def work(conn: Any) -> None:
        calls.append(conn.attempt)
        conn.on_commit(lambda: told.append(1))
        stage.insert(conn)
        if conn.attempt == 1:
            stage.a.delay(0.3)

    with unharmed(stage):
        with signalled(SoftLimit(), 0.15):
            error = broken_by(stage, SoftLimit, stage.db.run, work)
        stage.a.delay(0.0)
    assert any("OutcomeUnknown" in note for note in error.__notes__)
    assert (calls, told) == ([1], [])


@in_threads
def test_a_handler_that_raises_in_a_rollback(stage: Stage) -> None:
    """The session is closed, which rolls back; what comes next is a new transaction."""
    with unharmed(stage), stage.db.connection() as conn:
        stage.insert(conn)
        stage.a.delay(0.3)
        with signalled(SoftLimit(), 0.15):
            broken_by(stage, SoftLimit, conn.rollback)
        stage.a.delay(0.0)
        stage.insert(conn, f"{stage.key}-anew")
    assert (stage.count(), stage.count(f"{stage.key}-anew")) == (0, 1)


@in_threads
def test_a_handler_that_raises_while_the_connection_is_given_back(stage: Stage) -> None:
    """It is not kept back, and the connection goes nowhere."""
    with unharmed(stage):
        conn = stage.db.connection()
        stage.insert(conn)
        stage.a.delay(0.3)
        with signalled(SoftLimit(), 0.15):
            broken_by(stage, SoftLimit, conn.close)
        stage.a.delay(0.0)
    assert stage.count() == 0


@in_threads
def test_a_handler_that_raises_in_a_checkout(stage: Stage) -> None:
    """While a dial is awaited, and while the mode of a connection is set: no connection, and no room in the pool, is
    lost.
    """
    cluster = stage.make(max_size=1, stagger=30.0)
    with cluster.open() as db, unharmed(stage, db, cluster):
        for options in ({"read_only": True}, {}):
            stage.a.delay(0.3)
            with signalled(SoftLimit(), 0.15):
                broken_by(stage, SoftLimit, lambda options=options: db.connection(**options))
            stage.a.delay(0.0)
    outside = stage.make(stagger=30.0)
    stage.a.delay(0.3)
    for dial in (outside.dial, outside.connect):
        with signalled(SoftLimit(), 0.15):
            broken_by(stage, SoftLimit, dial)
    stage.a.delay(0.0)
    outside.dial().close()


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("stage", [driver for driver in MARIADB if driver in THREADS], indirect=True)
def test_a_handler_that_raises_while_rows_are_read(stage: Stage) -> None:
    """MariaDB's cursors that read rows when they are asked for: half a packet was read."""

    def read(db: Any) -> None:
        with db.connection() as conn:
            cursor = stage.unbuffered(conn)
            cursor.execute("SELECT seq FROM seq_1_to_1000000")
            while cursor.fetchone():
                pass

    with unharmed(stage), signalled(SoftLimit(), 0.1):
        broken_by(stage, SoftLimit, read, stage.db)
    stage.raws.clear()
    gc.collect()  # the drivers' unbuffered cursors complain when they are collected after their connection


@pytest.mark.parametrize("stage", CALLS_BACK, indirect=True)
def test_a_value_that_its_converter_refuses(stage: Stage) -> None:
    """In autocommit mode and in ``run``, whatever the exception looks like."""
    for kind in (ValueError, TimeoutError):
        arguments, on_connect = converting(stage.driver, refusing(kind()))
        cluster = stage.make(**({"on_connect": on_connect} if on_connect else {}))
        for name in ("a", "b"):
            cluster.remove_node(name)
            cluster.add_node(name, **stage.address(getattr(stage, name).port), **arguments)
        calls: list[int] = []

        def work(conn: Any, calls: list[int] = calls) -> None:
            calls.append(conn.attempt)
            stage.insert(conn)
            execute(conn, POISONED).fetchall()

        with cluster.open() as db, unharmed(stage, db, cluster):
            assert rows(db.execute("SELECT 5")) == [(5,)]
            broken_by(stage, kind, db.execute, POISONED)
            broken_by(stage, kind, db.run, work)
        assert calls == [1]
    assert stage.count() == 0


@pytest.mark.parametrize("stage", CALLS_BACK, indirect=True)
def test_parameters_that_raise(stage: Stage) -> None:
    """A generator of parameters raises in the middle of `executemany`: it passes, and what came before is
    rolled back.
    """

    def parameters(error: BaseException) -> Iterator[tuple[str]]:
        yield (stage.key,)
        raise error

    def many(conn: Any, error: BaseException) -> None:
        conn.cursor().executemany(INSERT, parameters(error))

    with unharmed(stage):
        for kind in KINDS:
            broken_by(stage, kind, stage.db.run, many, kind())
    assert stage.count() == 0


@pytest.mark.parametrize("stage", ["pymysql", "aiomysql"], indirect=True)
def test_an_exception_that_takes_no_note(stage: Stage) -> None:
    """It passes all the same, and its session is closed: what could not be noted is no reason to keep that."""
    with unharmed(stage):
        conn: Any = stage.cluster.connect()
        conn.set_autocommit(True) if stage.loop is not None else conn.autocommit(True)

        def parameters() -> Iterator[tuple[str]]:
            yield (stage.key,)
            raise Frozen(1)

        with pytest.raises(Frozen):
            conn.cursor().executemany("UPDATE events SET name = %s", parameters())
        assert conn.node is None
        conn.close()


@pytest.mark.parametrize("stage", ["pymysql"], indirect=True)
def test_the_collector_reads_nothing_of_a_result_that_was_broken_into(stage: Stage) -> None:
    """PyMySQL's unbuffered result reads its rest when it is collected, also where its connection is closed."""

    def work(conn: Any) -> None:
        conn.decoders = {**conn.decoders, 3: refusing(SoftLimit()), 8: refusing(SoftLimit())}
        cursor = stage.unbuffered(conn)
        cursor.execute(f"SELECT {POISON} UNION ALL SELECT {POISON} UNION ALL SELECT 1")
        cursor.fetchmany(3)

    broken_by(stage, SoftLimit, stage.db.run, work)
    gc.collect()  # what is raised there is an error of this test
    assert rows(stage.db.execute("SELECT 1")) == [(1,)]
