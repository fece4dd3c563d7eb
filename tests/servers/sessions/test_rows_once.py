"""Rows that can be read once only, of `executemany` or of COPY: never a part of them committed in silence."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from servers.conftest import _stage
from support.stage import DRIVERS, INSERT, Stage, failure

from clustersql import OutcomeUnknown, TransactionLost

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@pytest.fixture(params=tuple(driver for driver in DRIVERS if driver != "mariadb"))
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each driver that takes an iterator; mariadb takes lists and tuples only."""
    yield from _stage(request.param, request)


@pytest.fixture
def pg8000_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for pg8000."""
    yield from _stage("pg8000", request)


def rows_of(stage: Stage) -> list[tuple[str]]:
    return [(f"{stage.key}-{i}",) for i in range(5)]


def generated(stage: Stage) -> Any:
    """The rows, to be read once only."""
    return (row for row in rows_of(stage))


def there(stage: Stage) -> int:
    stage.count()  # waits for pg8000's server
    return int(stage.ask("SELECT count(*) FROM events WHERE name LIKE %s", f"{stage.key}%")[0][0])


def cut(stage: Stage, before: bool) -> None:
    """Cut at the third row."""
    stage.cut(rows_of(stage)[2][0].encode(), before)


def many(conn: Any, rows: Any, **options: Any) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(INSERT, rows, **options)


@before_or_after
def test_first_statement_of_a_transaction(stage: Stage, before: bool) -> None:
    """Not sent again: all of it is gone, and said so."""
    with stage.db.connection() as conn:
        cut(stage, before)
        error = failure(many, conn, generated(stage))
        assert isinstance(error, TransactionLost)
        assert any("read once only" in note for note in error.__cause__.__notes__)  # type: ignore[union-attr]
        conn.rollback()
        many(conn, generated(stage))
    assert there(stage) == 5


def test_a_list_is_sent_again(stage: Stage) -> None:
    """Elsewhere, and the caller sees no error."""
    with stage.db.connection() as conn:
        cut(stage, before=False)
        many(conn, rows_of(stage))
    assert (there(stage), stage.recoveries) == (5, 1)


def test_run_with_rows_that_its_function_makes(stage: Stage) -> None:
    """The function is called again, and makes them anew."""
    attempts: list[int] = []

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        many(conn, generated(stage))

    cut(stage, before=False)
    stage.db.run(work)
    assert (attempts, there(stage)) == ([1, 2], 5)


@pytest.mark.parametrize("later", [False, True], ids=["in it", "after it"])
def test_run_with_rows_from_outside(stage: Stage, later: bool) -> None:
    """A further attempt would get the rest of them, or none: nothing is committed, and the caller is told."""
    rows = iter(rows_of(stage))
    swallowed: list[BaseException | None] = []

    def work(conn: Any) -> None:
        given = (row for row in rows)
        if conn.attempt == 1:
            many(conn, given)
        else:
            swallowed.append(failure(many, conn, given))
        stage.insert(conn, f"{stage.key}-later")

    stage.cut(f"{stage.key}-{'later' if later else 2}".encode(), True)
    error = failure(stage.db.run, work)
    assert isinstance(error, TransactionLost)
    assert "read rows from the same iterator" in str(error)
    assert swallowed == [error]
    assert there(stage) == 0


def test_conflict(postgres_stage: Stage) -> None:
    """The server rolled back: rows in a list are sent again on the same session, others are not."""
    stage = postgres_stage
    rows = [(f"conflict-{stage.key}",), (f"conflict-{stage.key}-2",)]
    for given in (iter(rows), rows):
        stage.ask("ALTER SEQUENCE conflicts RESTART")
        with stage.db.connection() as conn:
            error = failure(many, conn, given)
            conn.commit() if error is None else conn.rollback()
        assert isinstance(error, type(None) if given is rows else stage.errors.Error)
    assert stage.count(rows[0][0]) == 1


@before_or_after
def test_autocommit_and_declared_idempotent(stage: Stage, before: bool) -> None:
    """A part may have been committed, and the rest is not sent: nobody knows what has happened."""
    with stage.db.options(idempotent=True).connection() as conn:
        stage.set(conn, "autocommit", True)
        cut(stage, before)
        assert isinstance(failure(many, conn, generated(stage)), OutcomeUnknown)
    assert all(stage.count(name) <= 1 for (name,) in rows_of(stage))


def test_rows_that_raise(stage: Stage) -> None:
    """What the iterator raises is the caller's own, and no row is committed."""

    def rows() -> Iterator[tuple[str]]:
        yield from rows_of(stage)[:3]
        raise KeyError("mine")

    def work(conn: Any) -> None:
        attempts.append(conn.attempt)
        many(conn, rows())

    attempts: list[int] = []
    assert "mine" in str(failure(stage.db.run, work))  # mysql-connector makes an error of its own of it
    assert (attempts, there(stage)) == ([1], 0)
    assert [tuple(row) for row in stage.db.execute("SELECT 1")] == [(1,)]


def test_returning(psycopg_stage: Stage) -> None:
    """With psycopg's ``returning=True`` it is no other."""
    stage = psycopg_stage
    with stage.db.connection() as conn:
        cut(stage, before=False)
        assert isinstance(failure(many, conn, generated(stage), returning=True), TransactionLost)
        conn.rollback()
    assert there(stage) == 0


def test_a_stream_of_copy(pg8000_stage: Stage) -> None:
    """pg8000's own option of ``execute``: the rest of it is never all that is committed, and ``run`` stops."""
    stage = pg8000_stage
    text = "".join(f"{stage.key}-{i}\n" for i in range(20_000)).encode()
    statement, halfway = "COPY events (name) FROM STDIN", f"{stage.key}-10000\n".encode()

    def copy(conn: Any, stream: Any) -> None:
        conn.cursor().execute(statement, stream=stream)

    stage.cut(halfway, before=True)
    assert isinstance(failure(stage.db.run, copy, BytesIO(text)), TransactionLost)
    assert there(stage) == 0
    stage.cut(halfway, before=True)
    stage.db.run(lambda conn: copy(conn, BytesIO(text)))
    assert there(stage) == 20_000
