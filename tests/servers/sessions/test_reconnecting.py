"""Drivers that connect again by themselves: a new session under our handle is a lost session, never a silent one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.stage import Stage, execute, failure, rows
from support.waiting import eventually

import clustersql
from clustersql import ConfigError, TransactionLost

HABITS: dict[str, Callable[[Any], Any]] = {
    "pymysql": lambda conn: conn.ping(reconnect=True),
    "mysqlclient": lambda conn: conn.ping(True),
    "mysql-connector": lambda conn: conn.ping(reconnect=True, attempts=3, delay=0),
    "mariadb": lambda conn: conn.reconnect(),
    "aiomysql": lambda conn: conn.ping(),
    "asyncmy": lambda conn: conn.ping(),
}
"""What programs do before each statement."""

REFUSED: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "pymysql": (lambda conn: conn.connect(),),
    "mysqlclient": (lambda conn: conn.change_user("app", "secret", "app"),),
    "mysql-connector": (
        lambda conn: conn.connect(),
        lambda conn: conn.config(user="app"),
        lambda conn: conn.cmd_change_user("app", "secret", "app"),
        lambda conn: conn.reset_session(),
        lambda conn: conn.cmd_reset_connection(),
    ),
    "mariadb": (
        lambda conn: conn.connect(),
        lambda conn: conn.change_user("app", "secret", "app"),
        lambda conn: conn.reset(),
        lambda conn: setattr(conn, "auto_reconnect", True),
    ),
    "asyncmy": (lambda conn: conn.connect(),),
    "psycopg": (lambda conn: conn.pgconn.reset(), lambda conn: conn.pgconn.reset_start(), lambda conn: conn.connect()),
    "psycopg-aio": (lambda conn: conn.pgconn.reset(),),
    "psycopg2": (lambda conn: conn.reset(),),
    "asyncpg": (lambda conn: conn.reset(),),
}
"""What would put another session, or another state of it, under the handle."""


def lose(stage: Stage, conn: Any) -> None:
    """The network takes the session, and the driver's side can see it."""
    raw = stage.raw(conn)
    stage.a.reset()
    stage.b.reset()
    assert eventually(lambda: stage.call(stage.cluster.driver.is_stale, raw))


def test_the_habit_costs_nothing_where_the_session_lives(mariadb_stage: Stage) -> None:
    """No pin, and the same session for the next user."""
    stage = mariadb_stage
    with stage.db.connection() as conn:
        HABITS[stage.driver](conn)
        stage.insert(conn)
        HABITS[stage.driver](conn)
        assert conn.pins == ()
        raw = stage.raw(conn)
    with stage.db.connection() as conn:
        assert stage.raw(conn) is raw
    assert stage.count() == 1


def test_the_habit_in_a_lost_transaction_is_transaction_lost(mariadb_stage: Stage) -> None:
    """The rest of it must not be committed alone; `run` runs all of it again."""
    stage, attempts = mariadb_stage, []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        for key in (f"{stage.key}-one", f"{stage.key}-two"):
            HABITS[stage.driver](conn)
            stage.insert(conn, key)
            if len(attempts) == 1 and key.endswith("one"):
                lose(stage, conn)

    stage.db.run(work)
    assert (len(attempts), stage.count(f"{stage.key}-one"), stage.count(f"{stage.key}-two")) == (2, 1, 1)
    with stage.db.connection() as conn:
        stage.insert(conn)
        lose(stage, conn)
        for call in (HABITS[stage.driver], stage.insert, lambda conn: conn.commit()):
            assert isinstance(failure(call, conn), TransactionLost)
        conn.rollback()
        HABITS[stage.driver](conn)
        stage.insert(conn)
    assert stage.count() == 1


@pytest.mark.parametrize("autocommit", [False, True])
def test_the_habit_outside_a_transaction_moves(mariadb_stage: Stage, autocommit: bool) -> None:
    """As a read would: read-only and what was set hold on the new session."""
    stage = mariadb_stage
    with stage.db.connection(read_only=True) as conn:
        stage.set(conn, "autocommit", autocommit)
        execute(conn, "SET SESSION lock_wait_timeout = 17")
        conn.commit()
        lose(stage, conn)
        HABITS[stage.driver](conn)
        assert rows(execute(conn, "SELECT @@lock_wait_timeout")) == [(17,)]
        error = failure(stage.insert, conn)
        assert error is not None
        assert stage.cluster.driver.facts(error, stage.raw(conn)).errno == 1792
        conn.rollback()
    assert stage.count() == 0


def test_the_habit_where_something_is_held_moves_nowhere(mariadb_stage: Stage) -> None:
    """A lock is not taken along, and that is said: by the driver's error, as of any read, and by every call
    after it.
    """
    stage = mariadb_stage
    with stage.db.connection() as conn:
        stage.set(conn, "autocommit", True)
        execute(conn, f"SELECT GET_LOCK('{stage.key}', 0)").fetchall()
        lose(stage, conn)
        assert isinstance(failure(HABITS[stage.driver], conn), stage.errors.Error)
        for call in (HABITS[stage.driver], stage.insert):
            assert isinstance(failure(call, conn), TransactionLost)
        conn.rollback()


def test_is_connected_tells(mariadb_stage: Stage) -> None:
    """mysql-connector's question, and the habit that goes with it."""
    stage = mariadb_stage
    if stage.driver != "mysql-connector":
        return
    with stage.db.connection() as conn:
        assert conn.is_connected()
        lose(stage, conn)
        assert not conn.is_connected()
        conn.reconnect(attempts=2)
        assert conn.is_connected()
        assert conn.pins == ()
        stage.insert(conn)
    assert stage.count() == 1


def test_another_session_is_refused_with_a_sentence(stage: Stage) -> None:
    """Before anything is done: the transaction goes on, on the same session."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        raw = stage.raw(conn)
        for call in REFUSED.get(stage.driver, ()):
            error = failure(call, conn)
            assert isinstance(error, ConfigError)
            assert "is refused" in str(error)
        assert stage.raw(conn) is raw
        assert conn.pins == ()
    assert stage.count() == 1
    with stage.db.connection() as conn:
        assert stage.raw(conn) is raw


def test_a_session_that_was_replaced_past_us_is_lost(mariadb_stage: Stage) -> None:
    """By the driver's own object: what was open is not there, so its rest is not committed."""
    stage = mariadb_stage
    past = {
        "mariadb": _allowed_to_reconnect,
        "mysql-connector": lambda raw: raw.reconnect(),
        "mysqlclient": lambda raw: raw.ping(True),
    }
    with stage.db.connection() as conn:
        stage.insert(conn)
        raw = conn.driver_connection
        lose(stage, conn)
        deprecated = stage.driver in ("pymysql", "mysqlclient")
        with pytest.warns(DeprecationWarning, match="reconnect") if deprecated else nullcontext():
            stage.call(past.get(stage.driver, lambda raw: raw.ping(reconnect=True)), raw)
        assert isinstance(failure(conn.commit), TransactionLost)
        conn.rollback()
    assert stage.count() == 0


def _allowed_to_reconnect(raw: Any) -> None:
    raw.auto_reconnect = True
    raw.ping()


@pytest.mark.parametrize("driver", ["mariadb", "mysqlclient"])
def test_a_file_of_defaults_turns_nothing_on(mariadb_stage: Stage, tmp_path: Path, driver: str) -> None:
    """MariaDB's C library takes ``reconnect`` from there too."""
    stage = mariadb_stage
    if stage.driver != driver:
        return
    file = tmp_path / "my.cnf"
    file.write_text("[client]\nreconnect=1\n")
    cluster = clustersql.Cluster("defaults", driver=driver)
    argument = "default_file" if driver == "mariadb" else "read_default_file"
    cluster.add_node("a", **stage.address(stage.a.port), **{argument: str(file)})
    with cluster.open() as db, db.connection() as conn:
        stage.insert(conn)
        lose(stage, conn)
        assert isinstance(failure(stage.insert, conn), TransactionLost)
        conn.rollback()
    cluster.close()
    assert stage.count() == 0
