"""The commit guard through TLS, where nobody between can see a COMMIT: it is cut while the server works on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest
from support import face
from support.stage import execute, in_order
from support.waiting import eventually

from clustersql.dialects import by_name
from clustersql.testing import FaultProxy, PostgresCluster

NAMES = ("public.clustersql_commit", "public.clustersql_key")
LOCK = 15
SLOW = f"""CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock({LOCK}); RETURN NEW;
END $$"""
MADE = (
    "CREATE TABLE public.deferred (name text NOT NULL)",
    SLOW,
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON public.deferred DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION public.slow()",
    "GRANT ALL ON public.deferred TO app",
)
AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND state = 'active'"
ASKED = (
    "SELECT query_start FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE 'INSERT INTO%''v''%'"
)


@pytest.fixture
def busy(postgres: PostgresCluster) -> Iterator[PostgresCluster]:
    """A COMMIT of a row in `deferred` waits in its deferred trigger while somebody has the lock."""
    guard = by_name("postgresql").guard
    assert guard is not None
    for statement in (*guard.create(*NAMES), *guard.grant(*NAMES, "app"), *MADE):
        postgres.execute("n1", statement)
    yield postgres
    for statement in ("DROP TABLE public.deferred", "DROP FUNCTION public.slow"):
        postgres.execute("n1", statement)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_commit_at_work_is_waited_for(busy: PostgresCluster, driver: str) -> None:
    """The question waits behind it and ends nobody; then it has committed."""
    with ExitStack() as stack:
        ways = {name: stack.enter_context(FaultProxy(busy.port("n1"))) for name in "ab"}
        holder = stack.enter_context(closing(psycopg.connect(busy.dsn("n1"))))
        holder.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        cluster = stack.enter_context(face.cluster_of(driver, "busy", commit_guard=True, policy=in_order))
        for name, way in ways.items():
            cluster.add_node(name, busy.dsn("n1").replace(f":{busy.port('n1')}/", f":{way.port}/"))
        db = cluster.open()
        attempts, told = [], []

        def work(conn: Any) -> str:
            attempts.append(conn.attempt)
            execute(conn, "INSERT INTO public.deferred VALUES (%s)", (driver,))
            return "its value"

        working = threading.Thread(target=lambda: told.append(db.run(work)))
        working.start()
        assert eventually(lambda: busy.execute("n1", AT_WORK) == [(1,)])
        for way in ways.values():
            way.reset()
        assert eventually(lambda: busy.execute("n1", ASKED) != [])
        first = busy.execute("n1", ASKED)
        assert eventually(lambda: busy.execute("n1", ASKED) not in ([], first)), "it is asked again"
        assert busy.execute("n1", AT_WORK) == [(1,)]
        holder.close()
        working.join(30)
        assert (told, attempts) == (["its value"], [1])
        assert busy.execute("n1", "SELECT name FROM public.deferred") == [(driver,)]
        assert cluster.metrics()["CommitGuard"]["committed"] == 1
        busy.execute("n1", "TRUNCATE public.deferred")
