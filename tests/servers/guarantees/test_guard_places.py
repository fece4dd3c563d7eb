"""The commit guard where its place is not as it should be, or not the usual one: the table's name and form, what the
user may do, a server that takes no write, another cluster's ids.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from servers.guarantees.test_guard import Guarded, make_tables
from support.stage import COMMIT, Stage, failure

from clustersql import ConfigError, NoNodeAvailable, OutcomeUnknown, TransactionLost
from clustersql.core.guard.table import Table
from clustersql.dialects import by_name


@pytest.fixture(params=["psycopg", "aiomysql"])
def one_of_each(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    """One driver for each protocol, and each API: what differs here is said by the servers."""
    for stage in _stage(request.param, request):
        yield Guarded(stage)


NAME = "to'k`e\"n %s ?:x \\"
"""Everything that somebody could take for something else: quotes, a parameter of each style, a backslash."""


def sql_of(stage: Stage) -> Any:
    dialect = by_name("postgresql" if stage.postgres else "mysql")
    assert dialect.guard is not None
    return dialect.guard, dialect.quote


class Elsewhere(Guarded):
    """A stage whose cluster has its tokens in a table of that name, beside the one that others use."""

    def __init__(self, stage: Stage, name: str = NAME) -> None:
        self.sql, quote = sql_of(stage)
        self.named = self.sql.table(Table.parse(name), "app")
        self.quoted = self.named.quoted(quote)
        keys = self.named.beside("clustersql_key").quoted(quote)
        for statement in self.sql.create(self.quoted, keys):
            stage.ask(statement)
        if stage.postgres:
            for statement in self.sql.grant(self.quoted, keys, "app"):
                stage.ask(statement)
        super().__init__(stage, commit_guard_table=name)

    def drop(self) -> None:
        self.stage.ask(f"DROP TABLE {self.quoted}")


def test_a_name_that_needs_quoting(stage: Stage) -> None:
    """It is quoted wherever it stands, and for every driver."""
    there = Elsewhere(stage)
    try:
        assert stage.ask(there.sql.persistent(there.named)) == [(True, "")]
        stage.a.cut_on(COMMIT, before=False)
        assert there.db.run(there.work) == "its value"
        with there.db.connection() as conn, conn.cursor() as cursor:
            stage.insert(conn)
            cursor.execute("COMMIT")  # its token has a round trip of its own
        assert (there.attempts, there.counts, stage.count()) == ([1], {"committed": 1}, 2)
    finally:
        there.drop()


def test_two_clusters_on_one_database_whose_tables_differ(one_of_each: Guarded) -> None:
    """Neither settles the ids of the other."""
    here, stage = one_of_each, one_of_each.stage
    there = Elsewhere(stage)
    try:
        with there.db.connection() as conn:
            text = conn.commit_id
            stage.insert(conn)
            conn.commit()
        assert there.db.settle(text) == "committed"
        error = failure(here.db.settle, text)
        assert isinstance(error, ConfigError)
        assert repr(NAME) in str(error)
        assert here.tokens() == 0
    finally:
        there.drop()


FORMS = {
    "no fate": (False, "ALTER TABLE {} DROP COLUMN fate", "ALTER TABLE {} DROP COLUMN fate"),
    "no key": (True, "ALTER TABLE {} DROP CONSTRAINT clustersql_commit_pkey", "ALTER TABLE {} DROP PRIMARY KEY"),
    "a crash empties it": (False, "ALTER TABLE {} SET UNLOGGED", "ALTER TABLE {} ENGINE=MyISAM"),
}
"""Whether COMMIT is cut before the server has it, and what makes the form of it."""
SAYS = {"no fate": ("fate", "fate"), "no key": ("no unique", "no key"), "a crash empties it": ("UNLOGGED", "InnoDB")}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_another_form_proves_nothing(one_of_each: Guarded, form: str) -> None:
    """Tokens can be written to it, and what it says of them may be wrong: the outcome is as without the guard, and says
    why.
    """
    stage = one_of_each.stage
    before, postgres, mysql = FORMS[form]
    stage.ask((postgres if stage.postgres else mysql).format(one_of_each.table))
    try:
        stage.a.cut_on(COMMIT, before=before)
        error = failure(one_of_each.db.options(timeout=5.0).run, one_of_each.work)
        assert isinstance(error, OutcomeUnknown)
        assert error.commit_id is not None
        [note] = [note for note in error.__cause__.__notes__ if "could not be found out" in note]
        assert SAYS[form][not stage.postgres] in note
        assert (one_of_each.attempts, one_of_each.told, stage.count()) == ([1], [], 0 if before else 1)
    finally:
        stage.ask(f"DROP TABLE {one_of_each.table}")
        make_tables(stage)


@pytest.fixture
def plain(one_of_each: Guarded) -> Iterator[Guarded]:
    """The cluster's user may write rows of the tests, and nothing else: no view of others, no order to them, no tokens."""
    stage = one_of_each.stage
    for statement in MADE[stage.postgres]:
        stage.ask(statement)
    yield one_of_each
    stage.close()
    for statement in GONE[stage.postgres]:
        stage.ask(statement)


MADE = {
    True: (
        "CREATE ROLE plain LOGIN PASSWORD 'secret'",
        "GRANT USAGE ON SCHEMA public TO plain",
        "GRANT ALL ON events TO plain",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain",
    ),
    False: ("CREATE USER plain IDENTIFIED BY 'secret'", "GRANT ALL ON app.events TO plain"),
}
GONE = {True: ("DROP OWNED BY plain", "DROP ROLE plain"), False: ("DROP USER plain",)}


def as_plain(guarded: Guarded) -> Any:
    """Another cluster over the same two ways, with that user."""
    address = guarded.stage.address
    guarded.stage.address = lambda port: address(port) | {"user": "plain"}  # type: ignore[method-assign]
    cluster = guarded.stage.make(commit_guard=True, stall_after=0.5, probe_interval=0.25)
    guarded.stage.address = address  # type: ignore[method-assign]
    guarded.cluster, guarded.db = cluster, cluster.open()
    return guarded.db


def test_a_user_without_grants_is_told_once(plain: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """Its transactions go unguarded, and an outcome is unknown as without the guard, with no id."""
    db = as_plain(plain)
    with caplog.at_level(logging.WARNING, "clustersql"):
        for _ in range(2):
            assert db.run(plain.work) == "its value"
    assert len([record for record in caplog.records if "commit guard is inactive" in record.message]) == 1
    assert (plain.attempts, plain.stage.count()) == ([1, 2, 1], 2)
    plain.stage.a.cut_on(COMMIT, before=False)
    error = failure(db.run, plain.work)
    assert isinstance(error, OutcomeUnknown)
    assert error.commit_id is None


def test_a_user_with_the_grants_alone_needs_no_other(plain: Guarded) -> None:
    """The token is written, the COMMIT that follows is lost in silence, and the session is idle in its transaction for
    ever: it is the user's own, who may end it.
    """
    stage = plain.stage
    guard, _ = sql_of(stage)
    names = [plain.table, plain.table.replace("_commit", "_key")]
    for statement in guard.grant(*names, "plain"):
        stage.ask(statement)
    db = as_plain(plain)
    with db.connection() as conn, conn.cursor() as cursor:
        stage.insert(conn)
        stage.a.forget_on(COMMIT, before=True)
        assert isinstance(failure(cursor.execute, "COMMIT"), TransactionLost)
        stage.insert(conn, f"{stage.key}-next")
    assert (stage.count(), stage.count(f"{stage.key}-next"), plain.tokens("v")) == (0, 1, 1)


def test_a_server_that_takes_no_write(one_of_each: Guarded) -> None:
    """Nothing is settled there, and nothing is guessed; what waits for it in vain is told so."""
    stage, db = one_of_each.stage, one_of_each.db
    with db.connection() as conn:
        text = conn.commit_id
        stage.insert(conn)
        conn.commit()
    required = stage.make(commit_guard=True, commit_guard_required=True, timeout=0.3)
    stage.server.set_read_only("n1")
    try:
        error = failure(lambda: db.settle(text, timeout=0.3))
        assert isinstance(error, OutcomeUnknown)
        assert error.commit_id == text
        assert isinstance(failure(db.options(timeout=0.3).once, "key", one_of_each.work), NoNodeAvailable)
        assert isinstance(failure(opened, required), NoNodeAvailable)
    finally:
        stage.server.set_read_only("n1", False)
    assert db.settle(text) == "committed"
    assert (one_of_each.attempts, stage.count()) == ([], 1)


def opened(cluster: Any) -> None:
    with cluster.open() as db:
        db.stats()


def test_an_id_of_another_database(psycopg_stage: Stage) -> None:
    """Whose system identifier is another one: nothing is written here for it."""
    guarded = Guarded(psycopg_stage)
    with guarded.db.connection() as conn:
        text = conn.commit_id
    words = text.split(":")
    assert words[1].startswith("system%20identifier%20")
    words[1] = "system%20identifier%207"
    error = failure(guarded.db.settle, ":".join(words))
    assert isinstance(error, ConfigError)
    assert "it is of another database: system identifier 7 instead of" in str(error)
    assert guarded.tokens() == 0
