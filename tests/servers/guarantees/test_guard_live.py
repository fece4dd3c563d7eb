"""The commit guard where the server itself is in question: what waits, what comes late, what is cancelled, what a
failover loses.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from servers.conftest import _stage
from servers.guarantees.test_commit_held import held, waiting  # noqa: F401 -- a fixture
from servers.guarantees.test_guard import KNOBS, Guarded
from support.stage import COMMIT, Stage, failure, in_step
from support.waiting import eventually

import clustersql
from clustersql import OutcomeUnknown, TransactionLost
from clustersql.dialects import by_name
from clustersql.testing import PostgresCluster


@pytest.fixture(params=["psycopg", "asyncpg"])
def postgres_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """For `held`: one driver of each API, for each of them costs the start of a standby."""
    yield from _stage(request.param, request)


LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_late_original_fails_at_every_level(psycopg_stage: Stage, level: str) -> None:
    """Its token's place is taken: it can never commit, whatever it has seen."""
    guarded = Guarded(psycopg_stage)
    with guarded.db.connection() as conn:
        with conn.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        psycopg_stage.insert(conn)
        assert guarded.db.settle(conn.commit_id) == "void"
        assert isinstance(failure(conn.commit), TransactionLost)
        conn.rollback()
    assert psycopg_stage.count() == 0


def test_two_resolvers_at_once_tell_the_same(psycopg_stage: Stage) -> None:
    guarded, found = Guarded(psycopg_stage), []
    with guarded.db.connection() as conn:
        psycopg_stage.insert(conn)
        text = conn.commit_id
        threads = [threading.Thread(target=lambda: found.append(guarded.db.settle(text))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert isinstance(failure(conn.commit), TransactionLost)
    assert found == ["void"] * 4


def test_a_savepoint_is_of_its_transaction(psycopg_stage: Stage) -> None:
    guarded = Guarded(psycopg_stage)

    def work(conn: Any) -> None:
        guarded.work(conn)
        with conn.transaction():
            psycopg_stage.insert(conn)

    psycopg_stage.a.cut_on(COMMIT, before=False)
    guarded.db.run(work)
    assert (guarded.attempts, psycopg_stage.count()) == ([1], 2)


def test_a_deferred_constraint_is_the_driver_s_error(psycopg_stage: Stage) -> None:
    """COMMIT is answered with an error, which proves that it was rolled back: nothing is asked, and no node loses its
    guard.
    """
    guarded, stage = Guarded(psycopg_stage), psycopg_stage
    table = f"public.t{stage.key}"
    stage.ask(f"CREATE TABLE {table} (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    stage.ask(f"GRANT ALL ON {table} TO app")

    def work(conn: Any) -> None:
        guarded.work(conn)
        with conn.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} VALUES (1), (1)")

    error = failure(guarded.db.run, work)
    stage.ask(f"DROP TABLE {table}")
    assert isinstance(error, stage.errors.Error)
    assert "unique" in str(error)
    assert (guarded.attempts, stage.count(), guarded.counts) == ([1], 0, {})
    assert guarded.cluster.metrics()["CommitGuard"]["inactive"] == {}


def test_a_commit_that_waits_for_its_standby(held: Stage) -> None:  # noqa: F811
    """A fence waits behind it, and never ends it: in time it is unknown, and the id tells later that it committed."""
    for statement in tables():  # without waiting for the standby, as an administrator would
        held.server.execute("n1", statement)
    guarded = held.make(**(KNOBS | {"timeout": 20.0}))
    db = guarded.open()
    with db.options(timeout=4.0).connection() as conn:
        held.insert(conn)
        cut = threading.Timer(1.0, held.a.reset)  # it has no answer by which a proxy could be told
        cut.start()
        error = failure(conn.commit)
        cut.join()
    assert isinstance(error, OutcomeUnknown)
    assert error.commit_id is not None
    assert waiting(held) >= 1, "nobody has ended its wait"
    assert held.count() == 0, "and nobody sees its row"
    held.server.execute("n1", "ALTER SYSTEM RESET synchronous_standby_names")
    held.server.execute("n1", "SELECT pg_reload_conf()")
    assert db.settle(error.commit_id) == "committed"
    assert eventually(lambda: held.count() == 1)


def tables() -> tuple[str, ...]:
    guard = by_name("postgresql").guard
    assert guard is not None
    names = ("public.clustersql_commit", "public.clustersql_key")
    return *guard.create(*names), *guard.grant(*names, "app")


def test_a_cancelled_commit_says_by_which_id_it_is_settled(asyncpg_stage: Stage) -> None:
    guarded, stage = Guarded(asyncpg_stage), asyncpg_stage
    notes: list[str] = []

    async def cancelled() -> None:
        async with guarded.db._inner.connection() as conn:
            await conn.execute("INSERT INTO events (name) VALUES ($1)", stage.key)
            stage.a.forget_on(COMMIT, before=False)
            committing = asyncio.ensure_future(conn.commit())
            await asyncio.sleep(0.2)
            committing.cancel()
            try:
                await committing
            except asyncio.CancelledError as exc:
                notes.extend(exc.__notes__)

    assert stage.loop is not None
    stage.loop.call(cancelled)
    [text] = [note.split("'")[1] for note in notes if "db.settle(" in note]
    assert guarded.db.settle(text) == "committed"


def test_a_failover_to_a_standby_that_has_not_got_it(postgres: PostgresCluster) -> None:
    """The new primary tells what holds there: what it never had is void, acknowledged or not, as it is lost with its
    server.
    """
    for statement in tables():
        postgres.execute("n1", statement)
    postgres.execute("n1", "CREATE TABLE IF NOT EXISTS events (id bigserial PRIMARY KEY, name text NOT NULL)")
    in_step(postgres)
    shop = clustersql.Cluster("lost", driver="psycopg", **KNOBS)
    for name in postgres.nodes:
        shop.add_node(name, postgres.dsn(name))
    with shop.open() as db:
        db.execute("SELECT 1")
        for name in ("n2", "n3"):
            postgres.stop(name)
        with db.connection() as conn:
            conn.cursor().execute("INSERT INTO events (name) VALUES ('acknowledged')")
            text = conn.commit_id
            conn.commit()
            conn.cursor().execute("INSERT INTO events (name) VALUES ('in doubt')")
            postgres.kill("n1")
            postgres.start("n2")
            postgres.promote("n2")
            assert isinstance(failure(conn.commit), TransactionLost)
        assert db.settle(text) == "void"
    found = "SELECT count(*) FROM events WHERE name IN ('acknowledged', 'in doubt')"
    assert postgres.execute("n2", found) == [(0,)]


HANG = 77
"""The advisory lock that a deferred trigger waits for, so that a COMMIT is under way for as long as somebody has it."""


def hanging() -> tuple[str, ...]:
    body = f"BEGIN PERFORM pg_advisory_xact_lock({HANG}); RETURN NEW; END"
    return (
        "DROP TABLE IF EXISTS hanging",
        "CREATE TABLE hanging (name text NOT NULL)",
        f"CREATE OR REPLACE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        "CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON hanging DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hang()",
        "GRANT ALL ON hanging TO app",
    )


def test_a_primary_that_was_frozen_in_a_commit(postgres: PostgresCluster) -> None:
    """The new primary says that it did not happen, and it is run again there.  Thawed, the old one commits for itself
    alone, and what it says of any id counts for nothing.
    """
    for statement in (*tables(), *hanging()):
        postgres.execute("n1", statement)
    in_step(postgres)
    shop, ids = clustersql.Cluster("frozen", driver="psycopg", **KNOBS), []
    for name in postgres.nodes:
        shop.add_node(name, postgres.dsn(name))

    def work(conn: Any) -> None:
        ids.append(conn.commit_id)
        conn.cursor().execute("INSERT INTO hanging VALUES (%s)", (f"attempt {conn.attempt}",))

    with shop.open() as db, psycopg.connect(postgres.dsn("n1")) as holder:
        holder.execute(f"SELECT pg_advisory_lock({HANG})")
        assert eventually(lambda: all(node.usable for node in shop.view.nodes))
        working = threading.Thread(target=db.run, args=(work,))
        working.start()
        at_work = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%COMMIT'"
        assert eventually(lambda: postgres.execute("n1", at_work) == [(1,)])
        postgres.freeze("n1")
        postgres.promote("n2")
        working.join(30)
        assert postgres.execute("n2", "SELECT name FROM hanging") == [("attempt 2",)]
        postgres.thaw("n1")
        holder.close()
        assert eventually(lambda: postgres.execute("n1", "SELECT name FROM hanging") == [("attempt 1",)])
        assert [db.settle(text) for text in ids] == ["void", "committed"]
    old = clustersql.Cluster("old", driver="psycopg", **KNOBS)  # of a process that has seen nothing but the old one
    old.add_node("n1", postgres.dsn("n1"))
    with old.open() as db:
        error = failure(lambda: db.settle(ids[1], timeout=1.0))
    assert isinstance(error, OutcomeUnknown)
    assert "the answer came from an older history" in str(error)
