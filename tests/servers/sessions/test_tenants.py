"""No tenant ever sees another's rows: hundreds of checkouts by many threads, on sessions that are killed at random and
used again.

PostgreSQL: row-level security by a setting of the session, or by the role.  MariaDB, which has none: a view over a user
variable, and a database per tenant.  A policy that sees nothing set shows nothing, so a leak and a setting that was
lost in a move show alike.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from support.load import load
from support.stage import DRIVERS, Stage
from support.waiting import eventually

from clustersql import ClusterError

TENANTS = ("tenant_one", "tenant_two")
ROWS = 3
QUERY = "SELECT tenant FROM mine"

_POSTGRES = (
    "CREATE TABLE mine (tenant text, n int)",
    "INSERT INTO mine SELECT t, n FROM unnest(ARRAY['tenant_one', 'tenant_two']) t, generate_series(1, 3) n",
    "ALTER TABLE mine ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON mine USING (tenant = nullif(current_setting('app.tenant', true), '') OR tenant = current_user)",
    "CREATE ROLE tenant_one",
    "CREATE ROLE tenant_two",
    "GRANT tenant_one, tenant_two TO app",
    "GRANT SELECT ON mine TO app, tenant_one, tenant_two",
    "GRANT USAGE ON SCHEMA public TO tenant_one, tenant_two",
)
_POSTGRES_END = (
    "DROP TABLE IF EXISTS mine",
    *(f"{word} {one}" for one in TENANTS for word in ("DROP OWNED BY", "DROP ROLE")),
)
_MARIADB = (
    "CREATE FUNCTION app.tenant() RETURNS varchar(20) NOT DETERMINISTIC NO SQL RETURN @tenant",
    "CREATE TABLE app.everyone (tenant varchar(20), n int)",
    "INSERT INTO app.everyone VALUES ('tenant_one', 1), ('tenant_one', 2), ('tenant_one', 3), ('tenant_two', 1), ('tenant_two', 2),"
    " ('tenant_two', 3)",
    "CREATE VIEW app.mine AS SELECT tenant, n FROM app.everyone WHERE tenant = app.tenant()",
    *(
        statement.format(one)
        for one in TENANTS
        for statement in (
            "CREATE DATABASE {0}",
            "GRANT ALL ON {0}.* TO 'app'@'%'",
            "CREATE TABLE {0}.mine AS SELECT * FROM app.everyone WHERE tenant = '{0}'",
        )
    ),
)
_MARIADB_END = (
    "DROP VIEW IF EXISTS app.mine",
    "DROP TABLE IF EXISTS app.everyone",
    "DROP FUNCTION IF EXISTS app.tenant",
    *(f"DROP DATABASE IF EXISTS {one}" for one in TENANTS),
)

Way = Callable[[Any, str], None]
"""Makes a connection one tenant's."""


def _said(statement: str) -> Way:
    def way(conn: Any, tenant: str) -> None:
        with conn.cursor() as cursor:
            cursor.execute(statement.format(tenant))

    return way


def _parameter(local: str) -> Way:
    def way(conn: Any, tenant: str) -> None:
        with conn.cursor() as cursor:
            cursor.execute(f"SELECT set_config('app.tenant', %s, {local})", (tenant,))

    return way


LOCAL = "set_config to the end of the transaction"
WAYS: dict[str, dict[str, Way]] = {
    "postgresql": {
        "SET": _said("SET app.tenant = '{}'"),
        "set_config": _said("SELECT set_config('app.tenant', '{}', false)"),
        "set_config with a parameter": _parameter("false"),
        LOCAL: _parameter("true"),
        "SET ROLE": _said("SET ROLE {}"),
    },
    "mysql": {"user variable": _said("SET @tenant = '{}'"), "USE": _said("USE {}")},
}
MOVING = ("SET", "set_config", "USE")


@pytest.fixture(params=DRIVERS)
def tenants(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each driver, whose database has rows of two tenants."""
    for stage in _stage(request.param, request):
        begin, end = (_POSTGRES, _POSTGRES_END) if stage.postgres else (_MARIADB, _MARIADB_END)
        try:
            for statement in begin:
                stage.server.execute("n1", statement)
            yield stage
        finally:
            stage.close()
            for statement in end:
                stage.server.execute("n1", statement)


def rows(conn: Any) -> list[str]:
    with conn.cursor() as cursor:
        cursor.execute(QUERY)
        return [row[0] for row in cursor.fetchall()]


class Clients:
    """Operations on one database, and what was wrong with what they saw."""

    def __init__(self, stage: Stage, db: Any) -> None:
        self.ways = WAYS["postgresql" if stage.postgres else "mysql"]
        self.db = db
        self.mariadb = not stage.postgres
        error = stage.errors.Error
        self.errors = (*(error if isinstance(error, tuple) else (error,)), ClusterError, OSError)
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def operation(self, thread: int, serial: int) -> None:
        """One checkout: nobody's, or a tenant's."""
        chance = random.Random(f"{thread}-{serial}")
        name = chance.choice(["nobody", *self.ways])
        tenant = chance.choice(TENANTS)
        with self.db.connection() as conn:
            try:
                self._work(conn, chance, name, tenant)
            except self.errors:
                self._after_an_error(conn, name, tenant)
                raise

    def _work(self, conn: Any, chance: random.Random, name: str, tenant: str) -> None:
        node, expected = conn.node, []
        if name != "nobody":
            self.ways[name](conn, tenant)
            expected = [tenant] * ROWS
        if name != LOCAL and chance.random() < 0.8:
            conn.commit()
        elif self.mariadb is False and chance.random() < 0.5:
            conn.rollback()
            expected = []  # the setting was undone
        for _ in range(chance.randint(1, 4)):
            found = rows(conn)
            if found != expected:
                self.wrong.append(f"{name} of {tenant} sees {found}")
            if name != LOCAL and chance.random() < 0.7:
                conn.commit()
            time.sleep(chance.random() * 0.01)
        self.seen[name] += 1
        self.moved[name] += conn.node != node

    def _after_an_error(self, conn: Any, name: str, tenant: str) -> None:
        """A caller who goes on sees his own rows, or none: what he had set in the lost transaction is gone."""
        conn.rollback()
        try:
            found = rows(conn)
            conn.rollback()
        except self.errors:
            return
        if found not in ([], [tenant] * ROWS) or (found and name == "nobody"):
            self.wrong.append(f"after an error {name} of {tenant} sees {found}")


def kill(stage: Stage, stop: threading.Event) -> None:
    """End sessions on the server, or cut the ways to it, in turn."""
    chance = random.Random(1)
    while not stop.wait(0.1 + 0.3 * chance.random()):
        chance.choice((stage.a.reset, stage.b.reset, lambda: stage.server.terminate_sessions("n1")))()


def test_nobody_sees_rows_of_another_tenant(tenants: Stage) -> None:
    """Killed between any two statements, used again at once: own rows, or none, or an error; and moved
    settings hold.
    """
    stage = tenants
    cluster = stage.make(
        max_size=3,
        policy="random",
        on_connect=None,
        breaker_base=0.02,
        breaker_cap=0.05,
        probe_interval=0.2,
        retry_reserve=1000,
    )
    clients, stop = Clients(stage, cluster.open()), threading.Event()
    killer = threading.Thread(target=kill, args=(stage, stop))
    with load(clients.operation, threads=5) as work:
        killer.start()
        try:
            work.more(150, timeout=120.0)
            assert eventually(lambda: sum(clients.moved[name] for name in MOVING) >= 2, timeout=60.0)
        finally:
            stop.set()
            killer.join()
        work.more(20, timeout=60.0)
    assert clients.wrong == []
    assert set(clients.seen) >= {"nobody", *clients.ways}
    assert not [error for error in work.failed if not isinstance(error, clients.errors)]
