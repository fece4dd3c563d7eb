"""Causal reads on a real PostgreSQL cluster: what was written is read on any node, in both APIs, or it is
said why not.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import face, standbys
from support.load import load
from support.stage import POSTGRES, execute, failure, in_step, rows
from support.waiting import eventually

import clustersql
from clustersql.pool.routes import PROOFS
from clustersql.testing import PostgresCluster
from clustersql.testing.processes import wait_until

Make = Callable[..., Any]
KNOBS: dict[str, Any] = {"probe_interval": 0.2, "breaker_base": 0.2, "breaker_cap": 0.5}
HELD_BACK = standbys.HELD_BACK
SHORT = "50ms"


@pytest.fixture
def make(postgres: PostgresCluster) -> Iterator[Make]:
    """Make a cluster of a driver over all nodes; closed after the test, and the servers healed."""
    serial = itertools.count()
    postgres.execute("n1", "TRUNCATE counters")
    postgres.execute("n1", "INSERT INTO counters VALUES ('c', 0)")
    in_step(postgres)

    def made(driver: str, **knobs: Any) -> Any:
        cluster = stack.enter_context(face.cluster_of(driver, f"causal{next(serial)}", **(KNOBS | knobs)))
        for name in postgres.nodes:
            cluster.add_node(name, postgres.dsn(name))
        return cluster

    with ExitStack() as stack:
        try:
            yield made
        finally:
            for name in ("n2", "n3"):
                if postgres.state(name) == "running":
                    hold_back(postgres, name, None)
            stack.close()
            postgres.heal()


def hold_back(postgres: PostgresCluster, name: str, delay: str | None) -> None:
    """Let a standby apply what it has received only after ``delay``; None: at once."""
    if delay is not None and delay != SHORT:
        standbys.hold_back(postgres, name, delay=delay)
        return
    postgres.execute(name, f"ALTER SYSTEM SET {HELD_BACK} = '{delay}'" if delay else f"ALTER SYSTEM RESET {HELD_BACK}")
    postgres.execute(name, "SELECT pg_reload_conf()")
    wait_until(lambda: postgres.execute(name, f"SHOW {HELD_BACK}") == [(delay or "0",)], f"{name} has {delay}")


def add(db: Any) -> int:
    return int(db.execute("UPDATE counters SET n = n + 1 WHERE name = 'c' RETURNING n").fetchall()[0][0])


def shown(db: Any) -> int:
    return int(db.execute("SELECT n FROM counters WHERE name = 'c'").fetchall()[0][0])


def known(db: Any, *nodes: str) -> bool:
    """Whether the cluster has asked these nodes for their roles."""
    return set(nodes) <= {node.name for node in db.view if node.usable}


@pytest.mark.parametrize("driver", POSTGRES)
def test_a_view_reads_what_it_has_written_on_a_replica_that_is_behind(
    postgres: PostgresCluster, make: Make, driver: str
) -> None:
    """The replicas are held back for longer than a write and a read take, so that a read that is right has waited."""
    for name in ("n2", "n3"):
        hold_back(postgres, name, SHORT)
    cluster = make(driver, causal_wait=5)
    db = cluster.open()
    assert eventually(lambda: known(cluster, *postgres.nodes) or add(db) < 0)
    replica: dict[str, Any] = {"read_only": True, "role": "replica"}
    for _ in range(5):
        s = db.causal()
        assert add(s) == shown(s.options(**replica)), "a statement that stands alone"

        def work(conn: Any) -> int:
            return int(rows(execute(conn, "UPDATE counters SET n = n + 1 WHERE name = 'c' RETURNING n"))[0][0])

        assert s.run(work) == shown(s.options(read_only=True)), "a transaction of run"
        with s.connection() as conn:
            written = work(conn)
        with s.connection(read_only=True) as conn:
            assert rows(execute(conn, "SELECT n FROM counters")) == [(written,)]
            assert conn.node in ("n2", "n3")
            route = conn.route
            assert (route.node, route.causal.partition(" what ")[0]) in {
                (conn.node, "it was seen to have"),
                (conn.node, "it was asked whether it has"),
            }
    reads = cluster.metrics()["CausalReads"]
    assert reads["waited"] > 0
    assert (reads["known"] + reads["waited"], reads["primary"]) == (15, 0)
    in_step(postgres)
    assert eventually(lambda: shown(s.options(read_only=True)) and cluster.metrics()["CausalReads"]["known"])


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_nobody_reads_less_than_it_has_written_or_seen_under_load(
    postgres: PostgresCluster, make: Make, driver: str
) -> None:
    """Eight writers, each with a view of its own, while the log is full of other work; snapshots would not move inside
    a transaction.
    """
    repeatable = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    hook = {"on_connect": lambda raw: raw.execute(repeatable)}
    db = make(driver, max_size=30, **hook).open()
    views = [db.causal() for _ in range(8)]
    for name in range(8):
        db.execute(f"INSERT INTO counters VALUES ('{name}', 0)")
    seen: list[list[tuple[int, int]]] = [[] for _ in views]

    def turn(thread: int, number: int) -> None:
        s = views[thread]
        s.execute(f"UPDATE counters SET n = n + 1 WHERE name = '{thread}'")
        with s.connection(read_only=True) as conn:
            [(first,)] = rows(execute(conn, f"SELECT n FROM counters WHERE name = '{thread}'"))
        for _ in range(2):
            [(total,)] = s.options(read_only=True).execute("SELECT sum(n)::int FROM counters").fetchall()
            seen[thread].append((int(first) - number - 1, int(total)))

    with load(turn) as running:
        for _ in range(5):
            postgres.execute("n1", "INSERT INTO events (name) SELECT repeat('x', 500) FROM generate_series(1, 4000)")
        running.more(40)
    assert running.failed == []
    assert all(missing == 0 for each in seen for missing, _ in each)
    assert all(b >= a for each in seen for (_, a), (_, b) in itertools.pairwise(each)), "nobody goes back in time"
    postgres.execute("n1", "TRUNCATE events")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg-aio"])
def test_replicas_that_are_late_leave_it_to_the_primary(postgres: PostgresCluster, make: Make, driver: str) -> None:
    """And a bookmark holds in another process: a cluster of its own that has seen nothing."""
    cluster, other = make(driver), make(driver)
    db = cluster.open()
    s = db.causal()
    assert s.bookmark == ""
    for name in ("n2", "n3"):
        hold_back(postgres, name, "50s")
    written = add(s)
    assert shown(s.options(read_only=True)) == written
    bookmark = s.bookmark
    assert len(bookmark) < 64
    route = s.options(read_only=True).execute("SELECT 1").route
    assert (route.node, route.causal) == ("n1", PROOFS["primary"])
    there = other.open()
    assert shown(there.options(read_only=True, after=bookmark)) == written
    assert shown(there.causal(after=bookmark).options(read_only=True)) == written
    assert other.metrics()["CausalReads"]["primary"] == 2
    began = failure(shown, there.options(read_only=True, role="replica", after=bookmark, timeout=0.5))
    assert isinstance(began, clustersql.NoNodeAvailable)
    assert "n2: behind the bookmark" in str(began)
    raw = other.dial(read_only=True, after=bookmark)
    assert other.is_current(raw)
    for text in ("1~p~1~1~1", bookmark[:-6] + "ffffffffff", "1~g~000000000000000000000000000000ff"):
        error = failure(shown, there.options(read_only=True, after=text))
        assert type(error) is clustersql.CausalityLost, text
    if driver == "psycopg":
        raw.close()
    else:
        other.loop.call(raw.close)


def cut_off(postgres: PostgresCluster, name: str) -> None:
    postgres._alter(name, "primary_conninfo", "host=127.0.0.1 port=1")
    wait_until(
        lambda: postgres.execute(name, "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)], f"{name} is cut off"
    )


def test_a_failover_keeps_what_survived_and_says_what_is_lost(postgres: PostgresCluster, make: Make) -> None:
    """One failover, four ways to have a bookmark, both APIs; then the new primary is started anew, cleanly and after a
    crash.
    """
    clusters = {driver: make(driver) for driver in ("psycopg", "asyncpg")}
    dbs = {driver: cluster.open() for driver, cluster in clusters.items()}
    survived = {}
    for driver, db in dbs.items():
        s = db.causal()
        add(s)
        survived[driver] = s.bookmark
        shown(s.options(read_only=True))
        assert eventually(lambda driver=driver: known(clusters[driver], *postgres.nodes))
    in_step(postgres)
    cut_off(postgres, "n2")
    cut_off(postgres, "n3")
    lost, untold = {}, {}
    for driver, db in dbs.items():
        s, untold[driver] = db.causal(), db.causal()
        add(s)
        lost[driver] = s.bookmark
        add(untold[driver])
    postgres.kill("n1")
    postgres.promote("n2")
    for _ in range(50):  # so that the new primary's position is beyond that of what is lost
        postgres.execute("n2", "INSERT INTO events (name) VALUES ('more')")

    def check(again: bool) -> None:
        for driver, db in dbs.items():
            assert eventually(lambda driver=driver: clusters[driver].view.candidates and known(clusters[driver], "n2"))
            assert shown(db.options(read_only=True, after=survived[driver])) >= 2
            error = failure(shown, db.options(read_only=True, after=lost[driver]))
            assert type(error) is clustersql.CausalityLost, (driver, again)
            assert "beyond the position where a newer timeline began" in str(error)
            error = failure(shown, untold[driver].options(read_only=True))
            assert type(error) is clustersql.CausalityLost, "its position was never asked for"
            error = failure(lambda driver=driver: untold[driver].bookmark)
            assert type(error) is clustersql.CausalityLost

    check(False)
    for driver, db in dbs.items():  # a view that goes on over the failover
        s = db.causal(after=survived[driver])
        assert add(s) > 2
        before, after = (int(text.split("~")[3], 16) for text in (survived[driver], s.bookmark))
        assert after > before, "it is of the new timeline"
        assert shown(s.options(read_only=True)) > 2
    postgres.stop("n2")
    postgres.start("n2")
    check(True)
    postgres.kill("n2")
    postgres.start("n2")
    check(True)
    # A process that came later does not know where the new timeline began, unless it may read the history.
    late = {driver: make(driver).open() for driver in clusters}
    for driver, db in late.items():
        error = failure(shown, db.options(read_only=True, after=survived[driver]))
        assert type(error) is clustersql.CausalityLost
        assert "cannot be shown to have survived" in str(error)
    postgres.execute("n2", "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app")
    for driver, db in late.items():
        assert shown(db.options(read_only=True, after=survived[driver])) >= 2
        error = failure(shown, db.options(read_only=True, after=lost[driver]))
        assert "beyond the position where a newer timeline began" in str(error)


def test_a_standby_that_was_killed_counts_only_by_what_it_says_itself(postgres: PostgresCluster, make: Make) -> None:
    """What it had told before says nothing: started anew it may have gone back."""
    cluster = make("psycopg", max_size=4)
    db = cluster.open()
    s = db.causal()
    for _ in range(3):
        written = add(s)
        replica = s.options(read_only=True, role="replica", timeout=20)
        assert shown(replica) == written
        for name in ("n2", "n3"):
            hold_back(postgres, name, "10s")
        more = add(s)
        for name in ("n2", "n3"):
            postgres.kill(name)
            postgres.start(name)
            assert shown(s.options(read_only=True)) == more
        for name in ("n2", "n3"):
            hold_back(postgres, name, None)
        assert shown(replica) == more


def test_a_reader_that_is_cancelled_while_it_waits_leaves_nothing_behind(postgres: PostgresCluster, make: Make) -> None:
    cluster = make("asyncpg", causal_wait=60)
    db = cluster.open()
    add(db)
    assert eventually(lambda: known(cluster, *postgres.nodes))
    for name in ("n2", "n3"):
        hold_back(postgres, name, "50s")
    s = cluster.aopen().causal()

    async def cancelled() -> None:
        await s.execute("UPDATE counters SET n = n + 1")
        reading = asyncio.ensure_future(s.options(read_only=True).execute("SELECT 1"))
        while not s.stats()["in_flight"]:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    cluster.loop.call(cancelled)
    assert eventually(lambda: db.stats()["in_flight"] == 0), db.stats()


def test_a_fork_and_an_interrupt_in_the_middle_of_a_wait(postgres: PostgresCluster, make: Make) -> None:
    """The child reads with the view, by sessions of its own; the parent's reader and its pool are as they were.  A
    bookmark of another process counts there, and its own counts here.
    """
    db = make("psycopg", causal_wait=0.02).open()
    view = db.causal()
    assert add(view) == 1
    for name in ("n2", "n3"):
        hold_back(postgres, name, "50s")
    program = Path(__file__).parent / "causal_waits.py"
    arguments = [view.bookmark, *(postgres.dsn(name) for name in postgres.nodes)]
    command = [sys.executable, "-W", "error", str(program), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = json.loads(ran.stdout)
    bookmark = told.pop("bookmark")
    assert told == {
        "brought": 1,
        "child": 0,
        "seen": [2],
        "how": "interrupted",
        "late": False,
        "left": 0,
        "after": [2, 2],
    }
    assert shown(db.options(read_only=True, after=bookmark)) == 2


def test_what_cannot_be_asked_for_is_said(postgres: PostgresCluster, make: Make) -> None:
    db = make("psycopg").open()
    s = db.causal()
    add(s)
    with pytest.raises(clustersql.ConfigError, match="so node='n2' cannot stand beside it"):
        db.options(read_only=True, after=s.bookmark, node="n2")
    with pytest.raises(clustersql.ConfigError, match=r"causal\(\): which node has what was written is found out"):
        s.connection(node="n2")
    with pytest.raises(clustersql.ConfigError, match="'nonsense' is no bookmark"):
        db.causal(after="nonsense")
    with pytest.raises(clustersql.ConfigError, match="this view remembers nothing"):
        db.bookmark  # noqa: B018
    with pytest.raises(clustersql.ConfigError, match="causal_wait: must be a number of seconds from 0"):
        make("psycopg", causal_wait=-1)
    assert add(db.options(after=s.bookmark)) == 2, "a write goes to the primary, which has it"
