"""A COMMIT that was refused may leave its transaction open on MySQL: nobody commits it later, least of all the next
user of the session.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.stage import Stage, failure


@pytest.fixture
def pooled(mariadb_stage: Stage) -> Any:
    """A pool of one session, so that the next user gets the same."""
    mariadb_stage.cluster = mariadb_stage.make(max_size=1)
    mariadb_stage.db = mariadb_stage.cluster.open()
    mariadb_stage.db.execute("SELECT 1")
    return mariadb_stage


def refused(stage: Stage, conn: Any) -> BaseException | None:
    """What a COMMIT raises while the server is read-only."""
    stage.server.set_read_only("n1")
    try:
        return failure(conn.commit)
    finally:
        stage.server.set_read_only("n1", False)


def test_it_is_rolled_back_at_the_return(pooled: Stage) -> None:
    """The driver's error passes; the next user's COMMIT is that user's alone."""

    def use() -> None:
        with pooled.db.connection() as conn:
            pooled.insert(conn)
            error = refused(pooled, conn)
            assert error is not None
            raise error

    assert isinstance(failure(use), pooled.errors.Error)
    with pooled.db.connection() as conn:
        pooled.insert(conn, f"{pooled.key}-next")
    assert (pooled.count(), pooled.count(f"{pooled.key}-next")) == (0, 1)


def test_nothing_of_it_is_committed_later(pooled: Stage) -> None:
    """Neither by the block that goes on, nor are its callbacks called."""
    called: list[int] = []
    with pooled.db.connection() as conn:
        pooled.insert(conn)
        conn.on_commit(lambda: called.append(1))
        assert refused(pooled, conn) is not None
    assert called == []
    assert pooled.count() == 0
