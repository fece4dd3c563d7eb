"""The commit guard on real servers: what became of a COMMIT whose answer was lost, for every driver and in
both APIs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from support.stage import COMMIT, Stage, failure
from support.waiting import eventually

from clustersql import ConfigError, OutcomeUnknown, TransactionLost
from clustersql.dialects import by_name

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])

TABLES = {False: ("clustersql_commit", "clustersql_key"), True: ("public.clustersql_commit", "public.clustersql_key")}
FENCE = rb"'v'"
"""What only a fence has in it on the wire."""
KNOBS = {"commit_guard": True, "stall_after": 0.5, "probe_interval": 0.25}


def make_tables(stage: Stage) -> None:
    guard = by_name("postgresql" if stage.postgres else "mysql").guard
    assert guard is not None
    for statement in guard.create(*TABLES[stage.postgres]):
        stage.ask(statement)
    if stage.postgres:
        for statement in guard.grant(*TABLES[True], "app"):
            stage.ask(statement)


class Guarded:
    """A stage whose cluster has the guard."""

    def __init__(self, stage: Stage, **knobs: Any) -> None:
        self.stage = stage
        make_tables(stage)
        stage.ask(f"DELETE FROM {self.table}")
        self.cluster = stage.make(**(KNOBS | knobs))
        self.db = self.cluster.open()
        self.attempts: list[int] = []
        self.told: list[int] = []
        assert eventually(lambda: all(node.usable for node in self.cluster.view.nodes))

    @property
    def table(self) -> str:
        return TABLES[self.stage.postgres][0]

    def work(self, conn: Any) -> str:
        self.attempts.append(conn.attempt)
        conn.on_commit(lambda: self.told.append(1))
        self.stage.insert(conn)
        return "its value"

    def tokens(self, fate: str = "") -> int:
        where = f" WHERE fate = '{fate}'" if fate else ""
        return int(self.stage.ask(f"SELECT COUNT(*) FROM {self.table}{where}")[0][0])

    @property
    def counts(self) -> dict[str, int]:
        figures: dict[str, int] = self.cluster.metrics()["CommitGuard"]
        return {name: number for name, number in figures.items() if number and name not in ("guarded", "inactive")}


@pytest.fixture
def guarded(stage: Stage) -> Guarded:
    return Guarded(stage)


ONE_OF_EACH = ("psycopg", "asyncpg", "pymysql", "aiomysql")


@pytest.fixture(params=ONE_OF_EACH)
def one_of_each(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    """One driver for each protocol and API: what is between us and the server is the same for the others."""
    for stage in _stage(request.param, request):
        yield Guarded(stage)


# -- COMMIT ------------------------------------------------------------------------------------------------------------


@before_or_after
def test_run_returns_its_value_once(guarded: Guarded, before: bool) -> None:
    """Cut after the server got COMMIT: it has happened, and is not run again.  Cut before: it has not, and is."""
    guarded.stage.a.cut_on(COMMIT, before=before)
    assert guarded.db.run(guarded.work) == "its value"
    assert (guarded.attempts, guarded.told) == (([1, 2] if before else [1]), [1])
    assert guarded.stage.count() == 1
    assert guarded.counts == {"void" if before else "committed": 1}


@before_or_after
def test_a_path_that_is_gone_in_silence(one_of_each: Guarded, before: bool) -> None:
    """A NAT forgets the connection: nobody is told, and the old session may be idle in its transaction for ever."""
    one_of_each.stage.a.forget_on(COMMIT, before=before)
    assert one_of_each.db.run(one_of_each.work) == "its value"
    assert (one_of_each.attempts, one_of_each.told) == (([1, 2] if before else [1]), [1])
    assert one_of_each.stage.count() == 1


@before_or_after
def test_commit_by_hand(one_of_each: Guarded, before: bool) -> None:
    """It returns where it has happened, and says where it provably has not; the connection goes on either way."""
    stage = one_of_each.stage
    with one_of_each.db.connection() as conn:
        stage.insert(conn)
        stage.a.cut_on(COMMIT, before=before)
        error = failure(conn.commit)
        assert type(error).__name__ == ("TransactionLost" if before else "NoneType")
        if before:
            assert isinstance(error, TransactionLost)
            assert isinstance(error.__cause__, stage.errors.Error)
        stage.insert(conn, f"{stage.key}-next")
    assert stage.count() == (0 if before else 1)
    assert stage.count(f"{stage.key}-next") == 1


@before_or_after
def test_commit_as_text_has_a_token_of_its_own_trip(one_of_each: Guarded, before: bool) -> None:
    stage = one_of_each.stage
    with one_of_each.db.connection() as conn:
        stage.insert(conn)
        stage.a.cut_on(COMMIT, before=before)
        with conn.cursor() as cursor:
            error = failure(cursor.execute, "COMMIT")
        # asyncpg prepares it first, and what is cut is that.
        happened = not before and stage.driver != "asyncpg"
        assert isinstance(error, TransactionLost) is not happened
        assert not happened or error is None
        conn.rollback()
    assert stage.count() == happened


def test_the_token_is_acknowledged_and_commit_never_sent(one_of_each: Guarded) -> None:
    """Its own trip: the connection is lost between the two."""
    stage = one_of_each.stage
    with one_of_each.db.connection() as conn:
        stage.insert(conn)
        stage.a.cut_on(rb"(?i)\Acommit|[^_]commit", before=True)
        with conn.cursor() as cursor:
            assert isinstance(failure(cursor.execute, "COMMIT"), TransactionLost)
        conn.rollback()
    assert (stage.count(), one_of_each.tokens("v")) == (0, 1)


# -- the fence ---------------------------------------------------------------------------------------------------------


@before_or_after
def test_the_question_itself_is_cut(one_of_each: Guarded, before: bool) -> None:
    """It is put again: asked twice, it tells the same."""
    stage = one_of_each.stage
    stage.a.cut_on(COMMIT, before=False)
    for proxy in (stage.a, stage.b):
        proxy.cut_on(FENCE, before=before)
    assert one_of_each.db.run(one_of_each.work) == "its value"
    assert (one_of_each.attempts, stage.count(), one_of_each.tokens("c")) == ([1], 1, 1)


def test_no_time_to_find_out(one_of_each: Guarded) -> None:
    """OutcomeUnknown carries the id, by which anybody may settle it later."""
    stage = one_of_each.stage
    with one_of_each.db.options(timeout=1.0).connection() as conn:
        stage.insert(conn)
        stage.a.cut_on(COMMIT, before=False)
        for proxy in (stage.a, stage.b):
            proxy.forget_on(FENCE, before=True, count=9)
        error = failure(conn.commit)
    assert isinstance(error, OutcomeUnknown)
    assert error.commit_id is not None
    for proxy in (stage.a, stage.b):
        proxy.heal()
    assert one_of_each.db.settle(error.commit_id) == "committed"
    assert one_of_each.db.settle(error.commit_id) == "committed"


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_an_id_in_advance(one_of_each: Guarded) -> None:
    """Its row is not deleted; settled before the COMMIT, the late original fails; and no two transactions have the
    same.
    """
    stage, db = one_of_each.stage, one_of_each.db
    with db.connection() as conn:
        first = conn.commit_id
        assert first == conn.commit_id
        stage.insert(conn)
        conn.commit()
        second = conn.commit_id
        assert second.split(":")[4] != first.split(":")[4]
        stage.insert(conn)
        assert db.settle(second) == "void"
        error = failure(conn.commit)
        assert isinstance(error, TransactionLost)
        assert "settled before" in str(error)
        conn.rollback()
    assert (db.settle(first), db.settle(second)) == ("committed", "void")
    assert stage.count() == 1


def test_acknowledged_tokens_are_deleted_and_exported_ones_are_not(one_of_each: Guarded) -> None:
    stage, guard = one_of_each.stage, one_of_each.cluster._topology.guard
    guard.rest = 0.1
    with one_of_each.db.connection() as conn:
        conn.commit_id  # noqa: B018 -- to hand it out is what counts
        stage.insert(conn)
        conn.commit()
        for _ in range(3):
            stage.insert(conn)
            conn.commit()
    assert eventually(lambda: one_of_each.tokens() == 1, timeout=10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "none", "no commit id"),
        (lambda text: text.replace(text.split(":")[3], "1600000000"), "days old"),
        (lambda text: text.rpartition(":")[0] + ":elsewhere", "in the table 'elsewhere'"),
    ],
)
def test_what_cannot_be_settled_here_is_refused(psycopg_stage: Stage, change: Callable[[str], str], says: str) -> None:
    guarded = Guarded(psycopg_stage)
    with guarded.db.connection() as conn:
        text = conn.commit_id
    with pytest.raises(ConfigError, match=says):
        guarded.db.settle(change(text))
    assert guarded.tokens() == 0


# -- where there is none -----------------------------------------------------------------------------------------------


def test_reads_carry_no_token(one_of_each: Guarded) -> None:
    stage = one_of_each.stage
    with one_of_each.db.connection() as conn:
        stage.read(conn)
    with one_of_each.db.connection(read_only=True) as conn:
        stage.read(conn)
    one_of_each.db.execute("SELECT 1")
    assert one_of_each.tokens() == 0


def test_a_missing_table_is_told_once(one_of_each: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """The first transaction is lost, and run again without a token; nothing is guarded there from then on."""
    stage = one_of_each.stage
    stage.ask(f"DROP TABLE {one_of_each.table}")
    try:
        with caplog.at_level(logging.WARNING, "clustersql"):
            assert one_of_each.db.run(one_of_each.work) == "its value"
            assert one_of_each.db.run(one_of_each.work) == "its value"
    finally:
        make_tables(stage)
    assert (one_of_each.attempts, one_of_each.told, stage.count()) == ([1, 2, 1], [1, 1], 2)
    assert [record.message for record in caplog.records if "commit guard is inactive" in record.message] != []
    assert set(one_of_each.cluster.metrics()["CommitGuard"]["inactive"]) == {"a"}


def test_a_token_that_fails_leaves_no_transaction_behind(one_of_each: Guarded) -> None:
    """Some errors mean that the server has rolled back, but in one text with COMMIT it still holds the transaction open:
    the next one to use the session must not find it.
    """
    stage, table = one_of_each.stage, one_of_each.table
    for statement in refusing(table) if stage.postgres else refusing_too(table):
        stage.ask(statement)
    try:
        with one_of_each.db.connection() as conn:
            stage.insert(conn)
            error = failure(conn.commit)
            stage.read(conn)
    finally:
        stage.ask(f"DROP TRIGGER refused{f' ON {table}' if stage.postgres else ''}")
    assert isinstance(error, stage.errors.Error)
    assert not isinstance(error, TransactionLost)
    assert one_of_each.db.run(one_of_each.work) == "its value"
    assert stage.count() == 1


def refusing(table: str) -> tuple[str, ...]:
    body = "BEGIN RAISE EXCEPTION 'ordered' USING ERRCODE = '40P01'; END"
    function = f"CREATE OR REPLACE FUNCTION public.refused() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    return function, f"CREATE TRIGGER refused BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.refused()"


def refusing_too(table: str) -> tuple[str, ...]:
    signal = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'ordered'"
    return (f"CREATE TRIGGER refused BEFORE INSERT ON {table} FOR EACH ROW {signal}",)


def test_an_id_is_not_given_where_no_token_is_taken(psycopg_stage: Stage) -> None:
    """Who settled it would be told "void" of what went unguarded: no id is given there, and what has one does not
    commit without its token.
    """
    guarded, stage = Guarded(psycopg_stage), psycopg_stage
    stage.ask(f"REVOKE ALL ON {guarded.table} FROM app")
    try:
        with guarded.db.connection() as conn:
            stage.insert(conn)
            text = conn.commit_id
            assert isinstance(failure(conn.commit), TransactionLost)
            stage.insert(conn)
            with pytest.raises(ConfigError, match="inactive on node 'a'"):
                conn.commit_id  # noqa: B018
            conn.rollback()
    finally:
        make_tables(stage)
    assert (stage.count(), guarded.db.settle(text)) == (0, "void")


@pytest.mark.parametrize("statement", ["SET ROLE nobody_here", "SET TRANSACTION READ ONLY"])
def test_what_takes_the_token_s_rights_away(psycopg_stage: Stage, statement: str) -> None:
    """Seen, it goes unguarded: the token would be refused, and the transaction with it."""
    guarded = Guarded(psycopg_stage)
    stage = psycopg_stage
    if "ROLE" in statement:
        stage.ask("DROP ROLE IF EXISTS nobody_here")
        stage.ask("CREATE ROLE nobody_here")
        stage.ask("GRANT nobody_here TO app")
    for _ in range(2):  # the second time its text is known
        with guarded.db.connection() as conn:
            with conn.cursor() as cursor:
                cursor.execute(statement)
                cursor.execute("SELECT set_config('application_name', 'x', true)")
            conn.commit()
    assert guarded.tokens() == 0


def test_without_the_guard_nothing_is_sent(one_of_each: Guarded) -> None:
    stage = one_of_each.stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        with pytest.raises(ConfigError, match="has no commit guard"):
            conn.commit_id  # noqa: B018
    with pytest.raises(ConfigError, match="has no commit guard"):
        stage.db.settle("c1")
    assert one_of_each.tokens() == 0


def test_a_plain_write_is_seen(one_of_each: Guarded) -> None:
    """Also the second time, by which its text is known: a token is written each time."""
    for _ in range(3):
        one_of_each.db.run(one_of_each.work)
    assert one_of_each.cluster.metrics()["CommitGuard"]["guarded"] == 3
