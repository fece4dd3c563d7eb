"""MariaDB's deadlock ends the whole transaction, also inside a savepoint: ``run`` runs its function again, and no part
is ever committed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from support.stage import LOCKS, Stage, execute, failure
from support.waiting import eventually

import clustersql
from clustersql import TransactionLost
from clustersql.testing import MariaDBServer

UPDATE = "UPDATE counters SET n = n + 1 WHERE name = %s"


class Deadlock:
    """Another transaction that has row "b", waits for row "a", and has done more, so that InnoDB ends the test's."""

    def __init__(self, server: MariaDBServer, key: str) -> None:
        self.key, self.server = key, server
        names = [(f"{key}-{name}",) for name in ("a", "b", *range(30), "x", "y")]
        for name in names:
            server.execute("n1", "INSERT INTO counters (name, n) VALUES (%s, 0)", name)
        self._raw = pymysql.connect(
            host="127.0.0.1", port=server.port("n1"), user="app", password="secret", database="app", ssl_disabled=True
        )
        with self._raw.cursor() as cursor:
            cursor.executemany(UPDATE, names[1:-2])
        self._thread: threading.Thread | None = None

    def wait_for_a(self) -> None:
        """Let it wait for row "a", which the test's transaction has; the next one to want row "b" closes the circle."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._update)
            self._thread.start()
            waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            assert eventually(lambda: self.server.execute("n1", waiting) == [(1,)], every=LOCKS)

    def _update(self) -> None:
        with self._raw.cursor() as cursor:
            cursor.execute(UPDATE, (f"{self.key}-a",))
        self._raw.commit()

    def end(self) -> None:
        """End it."""
        if self._thread is not None:
            self._thread.join()
        self._raw.close()

    @property
    def counted(self) -> tuple[int, ...]:
        """How often rows "a" and "b" were counted up, by both."""
        rows = self.server.execute(
            "n1", "SELECT n FROM counters WHERE name IN (%s, %s) ORDER BY name", (f"{self.key}-a", f"{self.key}-b")
        )
        return tuple(n for (n,) in rows)


@contextmanager
def deadlock(server: MariaDBServer, key: str) -> Iterator[Deadlock]:
    other = Deadlock(server, key)
    try:
        yield other
    finally:
        other.end()


def touch(conn: Any, other: Deadlock, name: str) -> None:
    execute(conn, UPDATE, (f"{other.key}-{name}",)).close()


def passing_on(conn: Any, other: Deadlock) -> None:
    """The program's own savepoint, as every framework writes it: its ROLLBACK TO must not hide the deadlock."""
    try:
        touch(conn, other, "b")
    except Exception:
        execute(conn, "ROLLBACK TO SAVEPOINT s")
        raise
    execute(conn, "RELEASE SAVEPOINT s")


def swallowing(conn: Any, other: Deadlock) -> None:
    failure(touch, conn, other, "b")


def swallowing_all(conn: Any, other: Deadlock) -> None:
    failure(passing_on, conn, other)


@pytest.mark.parametrize("last", [passing_on, swallowing, swallowing_all])
def test_run_runs_again_whole(mariadb_stage: Stage, last: Callable[[Any, Deadlock], None]) -> None:
    """However the function takes it; and what it does afterwards is no transaction of its own."""
    stage, attempts, told = mariadb_stage, [], []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        conn.on_commit(lambda: told.append(attempts[-1]))
        stage.insert(conn)
        execute(conn, "SAVEPOINT s")
        touch(conn, other, "a")
        if len(attempts) == 1:
            other.wait_for_a()
        last(conn, other)
        stage.insert(conn, f"{stage.key}-more")

    with deadlock(stage.server, stage.key) as other:
        stage.db.run(work)
    assert (attempts, told) == ([1, 2], [2])
    assert (stage.count(), stage.count(f"{stage.key}-more"), other.counted) == (1, 1, (2, 2))


def test_a_block_does_not_commit_what_is_left(mariadb_stage: Stage) -> None:
    """``with db.connection()``: the deadlock was swallowed, so that a part only would be committed: TransactionLost,
    from the deadlock.
    """
    stage = mariadb_stage

    def work() -> None:
        with stage.db.connection() as conn:
            stage.insert(conn)
            touch(conn, other, "a")
            other.wait_for_a()
            swallowing(conn, other)
            stage.insert(conn, f"{stage.key}-more")

    with deadlock(stage.server, stage.key) as other:
        error = failure(work)
    assert isinstance(error, TransactionLost)
    assert isinstance(error.__cause__, stage.errors.Error)
    assert (stage.count(), stage.count(f"{stage.key}-more"), other.counted) == (0, 0, (1, 1))


def test_a_block_in_autocommit_mode_executes_nothing_alone(mariadb_stage: Stage) -> None:
    """``conn.transaction()``: after a deadlock that was swallowed the server is in no transaction, and what follows
    would commit by itself.
    """
    stage = mariadb_stage
    if stage.loop is not None:  # the face has no blocks; `test_our_blocks_of_asyncio` has them
        stage.db.execute("SELECT 1")
        return
    conn: Any = stage.cluster.connect()
    stage.set(conn, "autocommit", True)

    def work() -> None:
        with conn.transaction():
            touch(conn, other, "a")
            other.wait_for_a()
            swallowing(conn, other)
            failure(stage.insert, conn)

    with deadlock(stage.server, stage.key) as other:
        error = failure(work)
    assert isinstance(error, TransactionLost | stage.errors.Error)
    stage.insert(conn, f"{stage.key}-after")
    conn.close()
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


def test_a_program_that_begins_again_by_itself(mariadb_stage: Stage) -> None:
    """Outside of `run` the driver's meaning: after the deadlock another transaction begins, and commit() commits it."""
    stage = mariadb_stage
    with stage.db.connection() as conn:
        with deadlock(stage.server, stage.key) as other:
            stage.insert(conn)
            touch(conn, other, "a")
            other.wait_for_a()
            error = failure(touch, conn, other, "b")
            assert isinstance(error, stage.errors.Error)
            assert isinstance(failure(execute, conn, "ROLLBACK TO SAVEPOINT s"), TransactionLost)
        stage.insert(conn, f"{stage.key}-again")
        conn.commit()
    assert (stage.count(), stage.count(f"{stage.key}-again")) == (0, 1)


def test_begin_as_text_is_over_with_it(mariadb_stage: Stage) -> None:
    """In autocommit mode the server is in no transaction afterwards: a write whose answer is lost may have happened."""
    stage = mariadb_stage
    conn: Any = stage.cluster.connect()
    conn.set_autocommit(True) if stage.loop is not None else stage.set(conn, "autocommit", True)
    with deadlock(stage.server, stage.key) as other:
        execute(conn, "BEGIN")
        touch(conn, other, "a")
        other.wait_for_a()
        assert isinstance(failure(touch, conn, other, "b"), stage.errors.Error)
    stage.cut(f"{stage.key}-after".encode(), False)
    assert isinstance(failure(stage.insert, conn, f"{stage.key}-after"), clustersql.OutcomeUnknown)
    conn.close()
    assert stage.count(f"{stage.key}-after") == 1


def test_the_code_alone_does_not_leave_a_transaction_open(mariadb_stage: Stage) -> None:
    """A trigger may raise the deadlock's code without any rollback: we roll back, so that it is true, and the next user
    finds nothing.
    """
    stage, attempts = mariadb_stage, []

    def work(conn: Any) -> None:
        attempts.append(1)
        stage.insert(conn)
        if len(attempts) == 1:
            execute(conn, "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")

    stage.db.run(work)
    assert (len(attempts), stage.count()) == (2, 1)


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
@pytest.mark.parametrize("how", ["passes", "is swallowed inside", "is swallowed outside", "in a block of its own"])
def test_our_blocks_of_asyncio(request: pytest.FixtureRequest, driver: str, how: str) -> None:
    """A block that is a savepoint, and one that is the transaction."""
    key, server = f"{driver}-{how}", request.getfixturevalue("_mariadb")

    async def main(other: Deadlock) -> list[int]:
        cluster = clustersql.Cluster("blocks", async_driver=driver, timeout=20.0)
        cluster.add_node("a", host="127.0.0.1", port=server.port("n1"), user="app", password="secret", database="app")
        attempts = []

        async def update(conn: Any, name: str) -> None:
            await conn.execute(UPDATE, (f"{key}-{name}",))

        async def collide(conn: Any) -> None:
            await update(conn, "a")
            if len(attempts) == 1:
                await asyncio.to_thread(other.wait_for_a)
            await update(conn, "b")

        async def swallow(conn: Any) -> None:
            try:
                await collide(conn)
            except Exception:
                assert len(attempts) == 1

        async def work(conn: Any) -> None:
            attempts.append(1)
            if how != "in a block of its own":
                await update(conn, "x")
            try:
                async with conn.transaction():
                    await (swallow(conn) if "inside" in how else collide(conn))
            except Exception:
                if "outside" not in how:
                    raise
            await conn.execute(UPDATE, (f"{key}-y",))

        async with cluster.aopen() as db:
            await db.run(work)
        return attempts

    with deadlock(server, key) as other:
        attempts = asyncio.run(main(other))
    assert (len(attempts), other.counted) == (2, (2, 2))
    [(n,)] = server.execute("n1", "SELECT n FROM counters WHERE name = %s", (f"{key}-y",))
    assert n == 1
