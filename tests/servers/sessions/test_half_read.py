"""An unbuffered cursor that is half read: giving its connection back reads no more of it, and keeps nothing
that waits.
"""

from __future__ import annotations

import gc
from typing import Any

from support.stage import Stage, execute, failure, rows
from support.waiting import eventually

BIG = "SELECT REPEAT('x', 1000) FROM seq_1_to_200000"
"""200 MB, and what the buffers of sockets hold on their way through a proxy is less: twice 32 MB to read and 4 MB to
write where Linux lets them grow.
"""
HELD = 150_000_000


def half_read(stage: Stage, conn: Any) -> Any:
    cursor = stage.unbuffered(conn)
    cursor.execute(BIG)
    assert cursor.fetchone() is not None
    return cursor


def received(stage: Stage) -> int:
    """How many bytes the server has sent to clients since, by its own count; once it has noticed who is gone of those
    it was sending to.
    """
    sending = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT REPEAT(%'"
    assert eventually(lambda: stage.ask(sending) == [(0,)])
    [(_, number)] = stage.ask("SHOW GLOBAL STATUS LIKE 'Bytes_sent'")
    return int(number)


def test_given_back(mariadb_stage: Stage) -> None:
    """The session is closed instead, and the next caller has another one."""
    stage = mariadb_stage
    before = received(stage)
    conn = stage.db.connection()
    cursor = half_read(stage, conn)
    raw = stage.raw(conn)
    conn.close()
    del cursor
    gc.collect()
    assert received(stage) - before < HELD
    with stage.db.connection() as conn:
        assert stage.raw(conn) is not raw
        assert rows(execute(conn, "SELECT 1")) == [(1,)]


def test_block_that_only_reads(mariadb_stage: Stage) -> None:
    """It is left without a COMMIT, which would wait until all of it is read."""
    stage, told = mariadb_stage, []
    before = received(stage)
    with stage.db.connection(read_only=True) as conn:
        conn.on_commit(lambda: told.append(1))
        cursor = half_read(stage, conn)
    assert told == [1]
    del cursor
    gc.collect()
    assert received(stage) - before < HELD


def test_read_to_its_end(mariadb_stage: Stage) -> None:
    """Then nothing is left, and the connection is kept; mariadb does not tell whether an open cursor is, so
    it is not.
    """
    stage = mariadb_stage
    conn = stage.db.connection()
    cursor = stage.unbuffered(conn)
    cursor.execute("SELECT 1")
    assert len(rows(cursor)) == 1
    raw = stage.raw(conn)
    conn.rollback()
    conn.close()
    with stage.db.connection() as conn:
        assert (stage.raw(conn) is raw) is (stage.driver != "mariadb")


def test_closing_the_cursor_keeps_the_transaction(mariadb_stage: Stage) -> None:
    """The rest is read, for a session that is closed instead would take what was written with it."""
    stage = mariadb_stage
    with stage.db.connection() as conn:
        raw = stage.raw(conn)
        stage.insert(conn)
        cursor = stage.unbuffered(conn)
        cursor.execute("SELECT REPEAT('x', 1000) FROM seq_1_to_2000")
        assert cursor.fetchone() is not None
        if stage.driver == "mysql-connector":  # the driver refuses until all is fetched, and so do we
            assert isinstance(failure(cursor.close), stage.errors.InternalError)
            assert len(rows(cursor)) == 1999
        cursor.close()
        assert len(stage.read(conn)) == 1, "the transaction goes on"
        conn.commit()
        assert stage.raw(conn) is raw
    assert stage.count() == 1
