"""asyncpg's own methods, which are how its programs work: recovered and counted as statements of a cursor are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from support.stage import Stage, failure

from clustersql import OutcomeUnknown, TransactionLost

INSERT = "INSERT INTO events (name) VALUES ($1)"
SELECT = "SELECT name FROM events WHERE name = $1"
before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@pytest.fixture
def asyncpg_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for asyncpg."""
    yield from _stage("asyncpg", request)


def test_they_return_what_asyncpg_s_do(asyncpg_stage: Stage) -> None:
    """Rows, one row, one value, and the server's status."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        assert conn.execute(INSERT, stage.key) == "INSERT 0 1"
        assert conn.executemany(INSERT, [(stage.key,)] * 2) is None
        assert [row["name"] for row in conn.fetch(SELECT, stage.key)] == [stage.key] * 3
        assert conn.fetchrow(SELECT, stage.key)["name"] == stage.key
        assert conn.fetchval(SELECT, stage.key) == stage.key
        assert conn.pins == ()
    assert stage.count() == 3


@pytest.mark.parametrize("method", ["execute", "fetch", "fetchrow", "fetchval"])
@before_or_after
def test_the_first_statement_is_executed_again(asyncpg_stage: Stage, method: str, before: bool) -> None:
    """Nothing can have committed: the transaction goes on elsewhere and happens exactly once."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        stage.cut(stage.key_bytes, before)
        getattr(conn, method)(f"{INSERT} RETURNING name", stage.key)
    assert (stage.count(), stage.recoveries) == (1, 1)


@before_or_after
def test_a_later_statement_loses_the_transaction(asyncpg_stage: Stage, before: bool) -> None:
    """The error is one of asyncpg's too; nothing is there."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        conn.execute(INSERT, f"{stage.key}-first")
        stage.cut(stage.key_bytes + b"-later", before)
        error = failure(conn.fetchval, f"{INSERT} RETURNING id", f"{stage.key}-later")
        assert isinstance(error, TransactionLost)
        assert isinstance(error, stage.cluster.driver.operational_error)
        conn.rollback()
    assert (stage.count(f"{stage.key}-first"), stage.count(f"{stage.key}-later")) == (0, 0)


@before_or_after
def test_a_write_in_autocommit_mode_is_unknown(asyncpg_stage: Stage, before: bool) -> None:
    """Sent, no answer: it is there once, or not at all."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        conn.set_autocommit(True)
        stage.cut(stage.key_bytes, before)
        assert isinstance(failure(conn.execute, INSERT, stage.key), OutcomeUnknown)
    assert stage.count() == (0 if before else 1)


@before_or_after
def test_several_statements_in_one_string_are_unknown(asyncpg_stage: Stage, before: bool) -> None:
    """Asyncpg's ``execute`` takes them; what came before the fault may have been committed."""
    stage = asyncpg_stage
    insert = f"INSERT INTO events (name) VALUES ('{stage.key}')"
    with stage.db.connection() as conn:
        conn.set_autocommit(True)
        stage.cut(stage.key_bytes, before)
        assert isinstance(failure(conn.execute, f"{insert}; COMMIT; {insert}"), OutcomeUnknown)
    assert stage.count() == (0 if before else 2)


def test_what_passes_by_pins_the_connection(asyncpg_stage: Stage) -> None:
    """A prepared statement of the caller's own lives in one session."""
    stage = asyncpg_stage
    with stage.db.connection() as conn:
        statement = conn.prepare("SELECT 1")
        assert stage.call(statement.fetchval) == 1
        assert [pin.what for pin in conn.pins] == ["prepare()"]


@pytest.mark.parametrize("name", ["executemany", "copy_records_to_table"])
def test_rows_that_can_be_read_once_only(asyncpg_stage: Stage, name: str) -> None:
    """Never a part of them in silence: a further attempt of ``run`` does not read on, and a COPY is not run again."""
    stage = asyncpg_stage
    rows = ((f"{stage.key}-{i}",) for i in range(5))
    attempts: list[int] = []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        if name == "executemany":
            conn.executemany(command="INSERT INTO events (name) VALUES ($1)", args=rows)
        else:
            conn.copy_records_to_table("events", records=rows, columns=["name"])

    stage.cut(f"{stage.key}-2".encode(), True)
    assert failure(stage.db.run, work) is not None
    assert attempts == ([1, 2] if name == "executemany" else [1])
    assert stage.ask("SELECT count(*) FROM events WHERE name LIKE %s", f"{stage.key}%") == [(0,)]
