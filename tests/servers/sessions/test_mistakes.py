"""A mistake of the caller's is the caller's: its error passes, and is no news about the session or its node."""

from __future__ import annotations

import pytest
from support.stage import INSERT, Stage, execute, failure, rows

from clustersql import ClusterError, TransactionLost

LIKE_A_LOSS = "already closed, not connected, gone away"
"""What drivers say of a connection that is gone, here in a value of the caller's."""


def test_a_closed_cursor_and_a_lost_connection_s_error_classes(stage: Stage) -> None:
    """Some drivers say of the cursor what is said of a lost connection.  ``except conn.Error`` comes when it is lost."""
    before = [(node.name, node.generation) for node in stage.cluster.view.nodes]
    with stage.db.connection() as conn:
        stage.insert(conn)
        cursor = conn.cursor()
        cursor.close()
        assert not isinstance(failure(cursor.execute, "SELECT 1"), ClusterError)  # and asyncpg has nothing to close
        assert rows(execute(conn, "SELECT 7")) == [(7,)]
    assert stage.count() == 1
    assert [(node.name, node.generation) for node in stage.cluster.view.nodes] == before
    if stage.driver == "asyncpg":  # its classes are the module's alone
        return
    conn = stage.db.connection()
    stage.insert(conn)
    stage.close_raw(stage.raw(conn))
    assert isinstance(failure(execute, conn, "SELECT 1"), TransactionLost)
    assert conn.OperationalError is stage.errors.OperationalError
    conn.rollback()
    conn.close()
    assert conn.Error is stage.errors.Error


@pytest.mark.parametrize("stage", ["mysql-connector"], indirect=True)
def test_what_mysql_connector_quotes_and_does_not_ask(stage: Stage) -> None:
    """It quotes parameters that it refuses, and its ping with rows unread is not sent, but says that nobody is there."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        cursor = conn.cursor()
        assert isinstance(failure(cursor.execute, INSERT, LIKE_A_LOSS), stage.errors.ProgrammingError)
        cursor.execute("SELECT 7")
        assert isinstance(failure(conn.ping), stage.errors.InterfaceError)
        assert rows(cursor) == [(7,)]
    assert stage.count() == 1
