"""The commit guard on a real MySQL, whose tokens have a round trip of their own: cells of tests/servers/guarantees once
more, and a group.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from servers.guarantees import test_guard as guard
from servers.guarantees import test_guard_places as places
from servers.guarantees import test_once as once
from servers.guarantees.test_guard import Guarded
from servers.mysql.conftest import staged
from support.stage import COMMIT, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown
from clustersql.testing import MySQLCluster

guarded = guard.guarded


@pytest.fixture(params=["pymysql", "aiomysql"])
def one_of_each(request: pytest.FixtureRequest, replication: MySQLCluster) -> Iterator[Guarded]:
    """One driver for each API."""
    with ExitStack() as stack:
        yield Guarded(stack.enter_context(staged(replication, str(request.param))))


test_run_returns_its_value_once = guard.test_run_returns_its_value_once
test_commit_by_hand = guard.test_commit_by_hand
test_commit_as_text = guard.test_commit_as_text_has_a_token_of_its_own_trip
test_the_token_is_acknowledged_and_commit_never_sent = guard.test_the_token_is_acknowledged_and_commit_never_sent
test_an_id_in_advance = guard.test_an_id_in_advance
test_a_missing_table_is_told_once = guard.test_a_missing_table_is_told_once


def test_a_path_that_is_gone_in_silence(one_of_each: Guarded) -> None:
    """The old session is idle in its transaction, and is ended."""
    guard.test_a_path_that_is_gone_in_silence(one_of_each, True)


def test_the_question_itself_is_cut(one_of_each: Guarded) -> None:
    guard.test_the_question_itself_is_cut(one_of_each, False)


def test_a_table_whose_token_is_no_key(one_of_each: Guarded) -> None:
    places.test_a_table_of_another_form_proves_nothing(one_of_each, "no key")


def test_the_same_key_again(one_of_each: Guarded) -> None:
    one_of_each.stage.ask(f"DELETE FROM {once.keys(one_of_each.stage)}")
    once.test_the_same_key_again_is_told_when(one_of_each)


@guard.before_or_after
@pytest.mark.parametrize("driver", ["mysqlclient", "asyncmy"])
def test_in_a_group(group: MySQLCluster, driver: str, before: bool) -> None:
    """The members agree on the token as on any row."""
    with staged(group, driver) as stage:
        guarded = Guarded(stage)
        stage.a.cut_on(COMMIT, before=before)
        assert guarded.db.run(guarded.work) == "its value"
        assert (guarded.attempts, stage.count()) == (([1, 2] if before else [1]), 1)
        assert guarded.counts == {"void" if before else "committed": 1}


def test_a_commit_that_waits_for_its_replica(one_of_each: Guarded) -> None:
    """A fence waits behind it, and ends nobody who is at work; in time it is unknown, and later it has committed."""
    stage, servers = one_of_each.stage, one_of_each.stage.server
    waits = (
        "SELECT count(*) FROM information_schema.PROCESSLIST"
        " WHERE STATE LIKE 'Waiting for semi-sync ACK%' AND COMMAND <> 'Killed'"
    )
    servers.execute("n1", "SET GLOBAL rpl_semi_sync_source_timeout = 60000")
    for name in ("n2", "n3"):
        servers.execute(name, "STOP REPLICA IO_THREAD")

    def cut() -> None:  # it has no answer by which a proxy could be told
        assert eventually(lambda: stage.ask(waits) == [(1,)])
        stage.a.reset()

    try:
        with one_of_each.db.options(timeout=2.0).connection() as conn:
            stage.insert(conn)
            cutting = threading.Thread(target=cut)
            cutting.start()
            error = failure(conn.commit)
            cutting.join()
        assert isinstance(error, OutcomeUnknown)
        assert error.commit_id is not None
        assert stage.ask(waits) == [(1,)], "nobody has ended it"
        assert stage.count() == 0, "and nobody sees its row"
    finally:
        for name in ("n2", "n3"):
            servers.execute(name, "START REPLICA IO_THREAD")
        servers.execute("n1", "SET GLOBAL rpl_semi_sync_source_timeout = 1000")
    assert one_of_each.db.settle(error.commit_id) == "committed"
    assert stage.count() == 1
