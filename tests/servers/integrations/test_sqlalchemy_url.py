"""SQLAlchemy by a URL alone, over both pools: what the dialects want reaches the sessions, and nothing is lost through
faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from servers.integrations.engines import POSTGRES, Engines, engines_of
from sqlalchemy import JSON, bindparam, select, text, type_coerce
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from support.standbys import hold_back
from support.waiting import eventually

import clustersql
from clustersql.integrations.sqlalchemy import cause, following
from clustersql.testing.processes import wait_until

EVERY = [*POSTGRES, "pymysql", "mysqlclient", "mysql-connector", "mariadb", "aiomysql", "asyncmy"]
BOTH_APIS = ["psycopg", "psycopg-aio", "asyncpg", "pymysql", "aiomysql"]
NAMED = "/?plugin=clustersql&clustersql_cluster=shop"


@pytest.fixture
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Of the test's driver, over one real server; the cluster is registered as "shop"."""
    driver = request.param
    server: Any = request.getfixturevalue("postgres_cluster" if driver in POSTGRES else "mariadb_server")
    server.heal()
    with engines_of(driver) as (engines, cluster):
        fields = {"ssl_disabled": True} if driver == "pymysql" else {}
        for name in server.nodes:
            cluster.add_node(
                name, host="127.0.0.1", port=server.port(name), user="app", password="secret", database="app", **fields
            )
        engines.cluster = cluster  # type: ignore[attr-defined]
        yield engines


def over(*drivers: str) -> Any:
    return pytest.mark.parametrize("engines", drivers, indirect=True)


@over(*EVERY)
def test_every_driver_works_by_a_url(engines: Engines) -> None:
    """Rows are counted and numbered as without us; sessions are reused, and hold what the dialect wants."""
    engine = engines.make(NAMED)
    counted: list[int] = []

    def work(conn: Any) -> None:
        conn.execute(text("DROP TABLE IF EXISTS counted"))
        conn.execute(text("CREATE TABLE counted (n INTEGER)"))
        conn.execute(text("INSERT INTO counted VALUES (:n)"), [{"n": 0}, {"n": 1}])
        counted.append(conn.execute(text("UPDATE counted SET n = 1")).rowcount)
        with conn.begin_nested() as savepoint:
            conn.execute(text("DELETE FROM counted"))
            savepoint.rollback()

    engines.work(engine, work)
    assert counted == [2]
    assert engines.ask(engine, "SELECT count(*) FROM counted") == 2
    engines.work(engine, lambda conn: conn.execute(text("DROP TABLE counted")))
    assert engine.dialect.name == ("postgresql" if engines.driver in POSTGRES else "mysql")


@over(*POSTGRES)
def test_serializers(engines: Engines) -> None:
    options = {
        "json_serializer": lambda value: json.dumps(["written", value]),
        "json_deserializer": lambda value: ["read", json.loads(value)],
    }
    engine = engines.make(NAMED, **options)
    for _ in range(2):
        asked = engines.work(
            engine, lambda conn: conn.execute(select(type_coerce(bindparam("v", {"a": 1}, JSON), JSON))).scalar_one()
        )
        assert asked == ["read", ["written", {"a": 1}]]


@over(*BOTH_APIS)
def test_isolation_levels(engines: Engines) -> None:
    """Of the engine, and of one checkout, which leaves nothing for the next."""
    ask = "SHOW transaction_isolation" if engines.driver in POSTGRES else "SELECT @@tx_isolation"
    strict = engines.make(NAMED, isolation_level="SERIALIZABLE")
    for _ in range(2):
        assert engines.ask(strict, ask).lower() == "serializable"
    plain = engines.make(NAMED)
    before = engines.ask(plain, ask)
    one = plain.execution_options(isolation_level="SERIALIZABLE")
    assert engines.ask(one, ask).lower() == "serializable"
    assert engines.ask(plain, ask) == before
    loose = engines.make(NAMED, isolation_level="AUTOCOMMIT")
    engines.work(loose, lambda conn: conn.execute(text("DROP TABLE IF EXISTS loose")))
    engines.work(loose, lambda conn: conn.execute(text("CREATE TABLE loose (n INTEGER)")))
    with pytest.raises(KeyError):
        engines.work(loose, lambda conn: (conn.execute(text("INSERT INTO loose VALUES (1)")), {}["no"]))
    assert engines.ask(plain, "SELECT count(*) FROM loose") == 1
    engines.work(plain, lambda conn: conn.execute(text("DROP TABLE loose")))


@over("psycopg", "asyncpg", "pymysql", "aiomysql")
def test_read_only(engines: Engines) -> None:
    engine = engines.make(NAMED)
    reads = engines.reads(engine)
    assert engines.ask(reads, "SELECT 1") == 1
    with pytest.raises(DBAPIError, match=r"(?i)read.only"):
        engines.work(reads, lambda conn: conn.execute(text("CREATE TABLE never (n INTEGER)")))
    engines.work(engine, lambda conn: conn.execute(text("CREATE TABLE written (n INTEGER)")))
    engines.work(engine, lambda conn: conn.execute(text("DROP TABLE written")))
    with pytest.raises(clustersql.ConfigError, match=r"use read_only\(engine\)"):
        engine.execution_options(clustersql_read_only=True)


@over("psycopg", "asyncpg")
def test_a_reader_sees_what_a_bookmark_stands_for(engines: Engines, postgres_cluster: Any) -> None:
    """The replicas are held back, so that what is right is the primary's.  What is written while a view is followed is
    in its bookmark, and read there; the bookmark is that of the moment of the checkout.
    """
    engine, cluster = engines.make(NAMED), engines.cluster  # type: ignore[attr-defined]
    engines.work(engine, lambda conn: conn.execute(text("CREATE TABLE seen (n INTEGER)")))
    now = [""]
    plain, reads = engines.reads(engine), engines.reads(engine, after=lambda: now[0])
    assert engines.ask(reads, "SELECT 1") == 1
    view = (cluster.aopen() if engines.is_async else cluster.open()).causal()
    primary = cluster.metrics()["CausalReads"]["primary"]
    try:
        hold_back(postgres_cluster, "n2", "n3")
        with following(view) as given:
            assert given is view
            engines.run(engine, lambda session: session.execute(text("INSERT INTO seen VALUES (1)")))
            assert {engines.ask(plain, "SELECT count(*) FROM seen") for _ in range(4)} == {1}
        now[0] = engines.call(view.bookmark)
        assert {engines.ask(reads, "SELECT count(*) FROM seen") for _ in range(4)} == {1}
        assert cluster.metrics()["CausalReads"]["primary"] == primary + 8
        assert engines.ask(plain, "SELECT 1") == 1
        assert cluster.metrics()["CausalReads"]["primary"] == primary + 8, "outside of the block nobody asks for more"
        now[0] = "1~p~1~1~1"
        with pytest.raises(clustersql.CausalityLost) as raised:
            engines.ask(reads, "SELECT 1")
        assert not isinstance(raised.value, DBAPIError), "nobody's retry shall loop on it"
    finally:
        for name in ("n2", "n3"):
            postgres_cluster.execute(name, "ALTER SYSTEM RESET recovery_min_apply_delay")
            postgres_cluster.execute(name, "SELECT pg_reload_conf()")
        engines.work(engine, lambda conn: conn.execute(text("DROP TABLE seen")))
    with pytest.raises(clustersql.ConfigError, match=r"after: SQLAlchemy's pool gives out what it has dialled"):
        engines.reads(engines.make(f"{NAMED}&clustersql_pool=sqlalchemy"), after="")


@over("psycopg", "asyncpg")
def test_an_engine_that_takes_no_part_says_so(engines: Engines, caplog: pytest.LogCaptureFixture) -> None:
    """SQLAlchemy's own pool, in the block of a view of its cluster: a warning, once."""
    cluster = engines.cluster  # type: ignore[attr-defined]
    engine, other = engines.make(f"{NAMED}&clustersql_pool=sqlalchemy"), clustersql.Cluster("other", driver="psycopg")
    other.add_node("n1", "postgresql://127.0.0.1:1/app")
    views = [other.open().causal(), (cluster.aopen() if engines.is_async else cluster.open()).causal()]
    warned = lambda: len([one for one in caplog.messages if "takes no part in the causal view" in one])  # noqa: E731
    with caplog.at_level("WARNING", "clustersql"):
        assert (engines.ask(engine, "SELECT 1"), warned()) == (1, 0)
        for view, expected in ((views[0], 0), (views[1], 1), (views[1], 1)):
            with following(view):
                assert (engines.ask(engine, "SELECT 1"), warned()) == (1, expected)
    other.close()


@over(*BOTH_APIS)
def test_a_session_that_ends_between_is_no_error(engines: Engines, request: pytest.FixtureRequest) -> None:
    """And one that ends in the middle is our error, SQLAlchemy's OperationalError on every driver; `run` does
    it again.
    """
    server: Any = request.getfixturevalue("postgres_cluster" if engines.driver in POSTGRES else "mariadb_server")
    engine = engines.make(NAMED)
    assert engines.ask(engine, "SELECT 1") == 1
    server.terminate_sessions("n1")
    assert engines.ask(engine, "SELECT 1") == 1
    attempts: list[int] = []

    def work(conn: Any) -> int:
        attempts.append(1)
        conn.execute(text("SELECT 1"))
        if len(attempts) % 2:
            server.terminate_sessions("n1")
        return int(conn.execute(text("SELECT 2")).scalar_one())

    with pytest.raises(OperationalError) as caught:
        engines.work(engine, work)
    assert isinstance(cause(caught.value), clustersql.TransactionLost)
    assert isinstance(caught.value.orig, clustersql.TransactionLost)
    attempts.clear()
    assert engines.run(engine, work) == 2
    assert len(attempts) == 2


@over("psycopg", "asyncpg", "pymysql", "aiomysql")
def test_run_stops_where_running_again_does_not_help(engines: Engines) -> None:
    engine = engines.make(NAMED)
    attempts: list[int] = []

    def wrong(session: Any) -> None:
        attempts.append(1)
        session.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError) as caught:
        engines.run(engine, wrong)
    assert cause(caught.value) is None
    assert len(attempts) == 1


@over("psycopg", "psycopg-aio")
def test_the_driver_s_connection_is_reached_unpinned_and_two_phase_is_refused(engines: Engines) -> None:
    engine = engines.make(NAMED)
    raws: list[Any] = []
    engines.work(engine, lambda conn: raws.append(conn.connection.driver_connection))
    assert type(raws[0]).__module__.startswith("psycopg")
    with pytest.raises(InvalidRequestError, match="two-phase transactions are refused"):
        engine.dialect.do_begin_twophase(None, "x")


@over("psycopg", "psycopg-aio", "asyncpg")
def test_hosts_in_the_url_are_a_cluster_of_its_own(engines: Engines, postgres_cluster: Any) -> None:
    """Whichever of them is the primary is found; its end is the engine's."""
    hosts = "&".join(f"host=127.0.0.1:{postgres_cluster.port(name)}" for name in ("n2", "n1"))
    engine = engines.make(f"app:secret@/app?{hosts}&plugin=clustersql&clustersql_max_size=2", pool_timeout=5)
    for _ in range(2):
        assert engines.ask(engine, "SELECT inet_server_port()") == postgres_cluster.port("n1")
        engines.call(engine.dispose())
    assert "secret" not in repr(engine.url)


@over("psycopg", "psycopg-aio", "asyncpg", "pymysql", "aiomysql")
def test_the_pool_of_sqlalchemy_s(engines: Engines, request: pytest.FixtureRequest) -> None:
    """Temporary tables live from one checkout to the next, and a session that ended costs one error at most."""
    server: Any = request.getfixturevalue("postgres_cluster" if engines.driver in POSTGRES else "mariadb_server")
    engine = engines.make(NAMED + "&clustersql_pool=sqlalchemy", pool_size=1, max_overflow=0)
    engines.work(engine, lambda conn: conn.execute(text("CREATE TEMPORARY TABLE kept (n INTEGER)")))
    assert engines.ask(engine, "SELECT count(*) FROM kept") == 0
    server.terminate_sessions("n1")
    with pytest.raises(DBAPIError):
        engines.ask(engine, "SELECT 1")
    assert engines.ask(engine, "SELECT 1") == 1
    assert engines.ask(engines.reads(engine), "SELECT 1") == 1


@over("psycopg", "asyncpg")
def test_a_kill_and_a_demotion(engines: Engines, postgres_cluster: Any) -> None:
    """No read fails, and a write only where the guarantee says so; what `run` does is done once."""
    engine = engines.make(NAMED)
    reads = engines.reads(engine)
    engines.work(engine, lambda conn: conn.execute(text("DROP TABLE IF EXISTS story")))
    engines.work(engine, lambda conn: conn.execute(text("CREATE TABLE story (n INTEGER)")))
    for number in range(3):
        engines.run(
            engine, lambda session, number=number: session.execute(text("INSERT INTO story VALUES (:n)"), {"n": number})
        )
    [(written,)] = postgres_cluster.execute("n1", "SELECT pg_current_wal_lsn()::text")
    caught_up = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    wait_until(lambda: postgres_cluster.execute("n2", caught_up, (written,)) == [(True,)], "n2 follows", timeout=20)
    assert engines.ask(reads, "SELECT count(*) FROM story") == 3
    postgres_cluster.kill("n1")
    postgres_cluster.promote("n2")
    for number in range(3, 6):
        assert engines.ask(reads, "SELECT 1") == 1
        engines.run(
            engine, lambda session, number=number: session.execute(text("INSERT INTO story VALUES (:n)"), {"n": number})
        )
    assert engines.ask(engine, "SELECT count(*) FROM story") == 6
    assert engines.ask(engine, "SELECT inet_server_port()") == postgres_cluster.port("n2")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg-aio"])
def test_a_freeze_a_drain_and_a_demotion(driver: str, postgres_cluster: Any) -> None:
    """No error at all, on reads or in what `run` does, and nothing is done on a node that was drained."""
    postgres_cluster.heal()
    quick = {"stall_after": 0.5, "connect_timeout": 1.0, "probe_interval": 0.5}
    with engines_of(driver, policy="round-robin", **quick) as (engines, cluster):
        for name in postgres_cluster.nodes:
            cluster.add_node(name, postgres_cluster.dsn(name))
        engine = engines.make(NAMED)
        reads = engines.reads(engine)
        ports = {postgres_cluster.port(name): name for name in postgres_cluster.nodes}

        def ask() -> str:
            return ports[engines.ask(reads, "SELECT inet_server_port()")]

        assert eventually(lambda: {ask() for _ in range(9)} == {"n1", "n2", "n3"})  # each has answered by then
        postgres_cluster.freeze("n3")
        try:
            assert "n3" not in {ask() for _ in range(9)}
        finally:
            postgres_cluster.thaw("n3")
        cluster.drain("n1")
        assert "n1" not in {ask() for _ in range(9)}
        cluster.undrain("n1")
        engines.run(engine, lambda session: session.execute(text("CREATE TABLE IF NOT EXISTS story (n INTEGER)")))
        postgres_cluster.set_read_only("n1")
        postgres_cluster.promote("n2")
        engines.run(engine, lambda session: session.execute(text("CREATE TABLE moved (n INTEGER)")))
        assert ports[engines.ask(engine, "SELECT inet_server_port()")] == "n2"
        engines.work(engine, lambda conn: conn.execute(text("DROP TABLE moved")))
