"""The ledger: settings that were seen are on the session of the next node too, proven there, or the connection does not
move.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from support.stage import DRIVERS, INSERT, Stage, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown, TransactionLost
from clustersql.core.view.node import Reach

SETTINGS = {
    "postgresql": (
        "SET app.tenant = 'it''s seven'",
        "SELECT set_config('app.user', 'Bob', false)",
        'SET SESSION search_path TO public, "$user"',
        "SET TIME ZONE 'Europe/Berlin'",
        "SET work_mem = '1024kB'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ),
    "mysql": (
        "SET SESSION sql_mode = 'ANSI'",
        "SET time_zone = '+05:00'",
        "SET @@session.sort_buffer_size = 1048576",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
        "USE other",
    ),
}
ASKED = {
    "postgresql": """SELECT nullif(current_setting('app.tenant', true), ''), nullif(current_setting('app.user', true), ''), current_setting('search_path'),
        current_setting('TimeZone'), current_setting('work_mem'), current_setting('default_transaction_isolation')""",
    "mysql": """SELECT @@sql_mode, @@time_zone, @@sort_buffer_size, @@tx_isolation, @@collation_connection,
        @@character_set_client, DATABASE()""",
}
SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}


@pytest.fixture(params=DRIVERS)
def every(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for every driver of a server: nothing here cuts a connection in the middle of rows."""
    yield from _stage(request.param, request)


@pytest.fixture
def other(request: pytest.FixtureRequest, _mariadb: Any) -> Iterator[None]:
    """A second database of MariaDB's."""
    _mariadb.execute("n1", "CREATE DATABASE IF NOT EXISTS other")
    _mariadb.execute("n1", "GRANT ALL ON other.* TO 'app'@'%'")
    yield
    _mariadb.execute("n1", "DROP DATABASE IF EXISTS other")


def dialect(stage: Stage) -> str:
    return "postgresql" if stage.postgres else "mysql"


def insert_of(stage: Stage) -> str:
    """From whichever database or schema."""
    return INSERT if stage.postgres else INSERT.replace("events", "app.events")


def run(conn: Any, *statements: str) -> Any:
    """The rows of the last one."""
    rows = None
    with conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else None
    return rows


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_settings_are_restored_on_the_next_node(stage: Stage, before: bool) -> None:
    """The statement goes on elsewhere, and the session there answers as the lost one did."""
    asked, which = ASKED[dialect(stage)], SESSION[dialect(stage)]
    with stage.db.connection() as conn:
        fresh, lost = run(conn, asked), run(conn, which)
        run(conn, *SETTINGS[dialect(stage)])
        conn.commit()
        set_there = run(conn, asked)
        conn.commit()
        assert set_there != fresh
        assert conn.pins == ()
        stage.cut(stage.key_bytes, before)
        with conn.cursor() as cursor:
            cursor.execute(insert_of(stage), (stage.key,))
        assert (conn.node, stage.recoveries) == ("b", 1)
        assert run(conn, which) != lost
        assert run(conn, asked) == set_there
    assert stage.count() == 1
    with stage.db.connection() as conn:
        assert run(conn, asked) == fresh


@pytest.mark.usefixtures("other")
def test_settings_are_restored_before_the_next_statement(stage: Stage) -> None:
    """The session was lost while nothing was asked of it; what was set last counts."""
    asked = ASKED[dialect(stage)]
    with stage.db.connection() as conn:
        run(conn, *SETTINGS[dialect(stage)], SETTINGS[dialect(stage)][0])
        conn.commit()
        set_there = run(conn, asked)
        conn.rollback()
        with conn.cursor() as cursor:
            cursor.execute("SELECT 1")
            conn.rollback()
            stage.close_raw(stage.raw(conn))
            cursor.execute(asked)
            assert [tuple(row) for row in cursor.fetchall()] == set_there


def test_a_setting_that_was_rolled_back_is_not_restored(stage: Stage) -> None:
    """PostgreSQL undoes it with its transaction, MariaDB does not."""
    first, second = (
        ("SET app.tenant = 'one'", "SET app.tenant = 'two'")
        if stage.postgres
        else ("SET time_zone = '+01:00'", "SET time_zone = '+02:00'")
    )
    asked = "SELECT current_setting('app.tenant')" if stage.postgres else "SELECT @@time_zone"
    with stage.db.connection() as conn:
        run(conn, first)
        conn.commit()
        run(conn, "SELECT 1", second)
        conn.rollback()
        told = run(conn, asked)
        assert told == [("one",)] if stage.postgres else told == [("+02:00",)]
        conn.rollback()
        stage.cut(stage.key_bytes, True)
        stage.insert(conn)
        assert (conn.node, run(conn, asked)) == ("b", told)


def test_a_setting_ends_with_a_failed_transaction(postgres_stage: Stage) -> None:
    """The server answers that COMMIT with a rollback, also when it is sent as a statement, so that it raises; and the
    setting is as before.
    """
    stage = postgres_stage
    with stage.db.connection() as conn:
        run(conn, "SET app.tenant = 'one'")
        conn.commit()
        run(conn, "SELECT 1", "SET app.tenant = 'two'")
        assert failure(run, conn, "SELECT 1 / 0") is not None
        if stage.driver == "pg8000":  # which refuses to send it
            conn.rollback()
        else:
            assert isinstance(failure(run, conn, "COMMIT"), TransactionLost)
        stage.cut(stage.key_bytes, True)
        stage.insert(conn)
        assert run(conn, "SELECT current_setting('app.tenant')") == [("one",)]


def test_a_savepoint_that_may_have_undone_a_setting_pins(postgres_stage: Stage) -> None:
    """Which of the two the session has now is not worked out."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        run(conn, "SET app.tenant = 'one'", "SAVEPOINT a", "SET app.tenant = 'two'", "ROLLBACK TO SAVEPOINT a")
        conn.commit()
        assert [pin.what for pin in conn.pins] == ["ROLLBACK TO SAVEPOINT"]
        stage.cut(stage.key_bytes, True)
        assert isinstance(failure(stage.insert, conn), TransactionLost)
        conn.rollback()


def test_what_is_local_to_a_transaction_needs_no_restoring(postgres_stage: Stage) -> None:
    """It ends with it; the transaction itself is lost as a whole."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        with conn.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, true)", ("one",))
        run(conn, "SET LOCAL work_mem = '1MB'")
        stage.cut(stage.key_bytes, True)
        assert isinstance(failure(stage.insert, conn), TransactionLost)
        conn.rollback()
        stage.insert(conn)
        assert conn.pins == ()
        assert run(conn, "SELECT current_setting('app.tenant', true)")[0][0] in (None, "")


NOT_THERE = {
    "postgresql": (
        ("CREATE TEXT SEARCH CONFIGURATION public.mine (COPY = pg_catalog.simple)",),
        "SET default_text_search_config = 'public.mine'",
        ("DROP TEXT SEARCH CONFIGURATION public.mine",),
    ),
    "mysql": ((), "USE other", ("DROP DATABASE other",)),
}


@pytest.mark.usefixtures("other")
def test_what_cannot_be_restored_is_an_error(stage: Stage) -> None:
    """The next node refuses the setting: the connection does not go on without it."""
    made, setting, dropped = NOT_THERE[dialect(stage)]
    for statement in made:
        stage.server.execute("n1", statement)
    with stage.db.connection() as conn:
        run(conn, setting)
        conn.commit()
        for statement in dropped:
            stage.server.execute("n1", statement)
        stage.cut(stage.key_bytes, True)
        with conn.cursor() as cursor:
            error = failure(cursor.execute, insert_of(stage), (stage.key,))
        assert isinstance(error, TransactionLost)
        assert "its settings could not be restored" in "".join(error.__cause__.__notes__)
        conn.rollback()
        error = failure(run, conn, "SELECT 1")
        assert isinstance(error, TransactionLost)
        assert "settings could not be restored" in str(error)
    assert stage.count() == 0


@pytest.mark.filterwarnings("ignore:Truncated incorrect sort_buffer_size")  # aiomysql passes the server's warning on
def test_what_cannot_be_verified_is_an_error(mariadb_stage: Stage) -> None:
    """The server makes 1 the least that it allows, with a warning only: so it may be another value on another node."""
    stage = mariadb_stage
    stage.db = stage.db.options(read_only=True)
    with stage.db.connection() as conn:
        run(conn, "SET SESSION sort_buffer_size = 1")
        conn.rollback()
        stage.cut(stage.key_bytes, True)
        error = failure(stage.read, conn)
        assert isinstance(error, TransactionLost)
        assert "sort_buffer_size has another value there on node 'b'" in "".join(error.__cause__.__notes__)
        conn.rollback()


def test_an_unknown_commit_leaves_the_setting_in_doubt(postgres_stage: Stage) -> None:
    """Was it set or not?  Nothing goes on in a session that has the one or the other."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        run(conn, "SET app.tenant = 'one'")
        stage.insert(conn)
        stage.cut_commit(before=False)
        assert isinstance(failure(conn.commit), OutcomeUnknown)
        error = failure(run, conn, "SELECT 1")
        assert isinstance(error, TransactionLost)
        assert "COMMIT" in str(error)


@pytest.mark.usefixtures("other")
def test_nothing_leaks_and_the_session_is_kept_where_it_can_be_reset(every: Stage) -> None:
    """As new at the next checkout; only mysqlclient's is another one."""
    stage, asked, which = every, ASKED[dialect(every)], SESSION[dialect(every)]
    before_all = ("SET @tenant = 'one'",) if not stage.postgres else ("CREATE TEMPORARY TABLE mine (a int)",)
    with stage.db.connection() as conn:
        fresh, session = run(conn, asked), run(conn, which)
    for statement in (*SETTINGS[dialect(stage)], *before_all):
        with stage.db.connection() as conn:
            run(conn, statement)
        with stage.db.connection() as conn:
            assert run(conn, asked) == fresh
            if not stage.postgres:
                assert run(conn, "SELECT @tenant") == [(None,)]
            assert (run(conn, which) == session) is (stage.driver != "mysqlclient")
        session = session if stage.driver != "mysqlclient" else [()]


def test_hooks_and_mode_are_set_again_after_a_reset(every: Stage) -> None:
    """What the pool itself had set is there at the next checkout, and costs it nothing."""
    stage = every
    stage.close()  # its probes would be counted
    ours = "SET SESSION statement_timeout = 4321" if stage.postgres else "SET SESSION net_read_timeout = 43"
    asked = "SELECT current_setting('statement_timeout')" if stage.postgres else "SELECT @@net_read_timeout"
    theirs = ours.replace("43", "9")

    async def hook_later(raw: Any) -> None:
        await cluster.driver.ask(raw, (ours,))

    cluster: Any = stage.make(
        probe_interval=600.0,  # a probe would be counted
        on_connect=hook_later if stage.loop is not None else lambda raw: cluster.driver.ask(raw, (ours,)),
    )
    db = cluster.open().options(read_only=True)
    with db.connection() as conn:
        first = run(conn, asked)
        run(conn, theirs)
        assert run(conn, asked) != first
    calls = counted(stage, cluster)
    with db.connection() as conn:
        assert calls() == 0 or stage.driver == "mysqlclient"  # it cannot reset a session: this is a new one
        assert run(conn, asked) == first
        assert failure(run, conn, INSERT.replace("%s", "'x'")) is not None  # read-only still
        conn.rollback()


def counted(stage: Stage, cluster: Any) -> Any:
    """Return a function that tells how many packets went to the server by either way since."""
    assert eventually(lambda: all(node.reach is Reach.UP for node in cluster.view)), cluster.view
    before = -1
    # The first probes are still under way, or a dial that began beside a slow one.
    while before != (now := stage.a.packets + stage.b.packets) or stage.dials(cluster):
        before = now
        time.sleep(0.3)
    return lambda: stage.a.packets + stage.b.packets - before


def test_a_return_costs_nothing_when_nothing_was_changed(every: Stage) -> None:
    """Not one byte goes to the server at checkout and at return, whatever was read or committed between; a setting
    costs.
    """
    stage = every
    stage.close()  # its probes would be counted
    cluster = stage.make(probe_interval=600.0)
    db = cluster.open()
    for _ in range(2):
        with db.connection() as conn:
            stage.insert(conn)
    calls = counted(stage, cluster)
    for _ in range(3):
        with db.connection():
            pass
    assert calls() == 0
    conn = db.connection()
    stage.insert(conn)
    assert stage.read(conn)
    conn.commit()
    before = calls()
    conn.close()
    db.connection().close()
    assert (before > 0, calls() - before) == (True, 0)
    with db.connection() as conn:
        run(conn, SETTINGS[dialect(stage)][0])
        conn.commit()
        before = calls()
    assert stage.driver == "mysqlclient" or eventually(lambda: calls() > before)
