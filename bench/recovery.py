"""Faults: how long a caller waits for the next good answer, and how many errors it sees, all contenders at once on the
same servers.

Each contender is one thread that does one operation after another, 5 ms apart.  *Stall* is the longest time between two
good answers around the fault; the table has the median of the runs, and the best and the worst where others have
quartiles.  A contender that has no good answer within `PATIENCE` is told as ``never``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import clustersql
from clustersql.testing import PostgresCluster

from . import asyncpeers
from .contender import Contender, Operation
from .haproxy import haproxy, installed
from .measure import Group, Row
from .peers import missing

PATIENCE = 20.0
"""Seconds after the fault that a contender may take."""
Act = Callable[[PostgresCluster], object]
INSERT, SELECT = "INSERT INTO log (who) VALUES ('bench')", "SELECT count(*) FROM pg_class"


def run(quick: bool) -> Iterator[Group]:
    """Yield a table per fault."""
    logging.disable()  # psycopg_pool tells each failed attempt
    times = 1 if quick else 3
    yield _fault("kill -9 of the primary, a standby promoted at once: writes", _writers, (_kill, _promote), times)
    yield _fault("primary frozen (SIGSTOP), a standby promoted at once: writes", _writers, (_freeze, _promote), times)
    yield _fault("primary demoted, its sessions kept, a standby promoted: writes", _writers, (_demote, _promote), times)
    yield _fault("kill -9 of one of three nodes: reads", _readers, (_kill_reader,), times)
    yield _fault("one of three nodes frozen: reads", _readers, (_freeze_reader,), times)
    yield _fault("node removed, with traffic: reads", _removable, (_remove,), times)


def _fault(title: str, prepare: Any, acts: Sequence[Act], times: int) -> Group:
    stalls: dict[str, list[float]] = {}
    errors: dict[str, list[list[str]]] = {}
    for _ in range(times):
        with PostgresCluster(3) as servers, ExitStack() as stack:
            servers.execute("n1", "CREATE TABLE log (who text); ALTER TABLE log OWNER TO app")
            contenders = [Contender(name, do) for name, do in prepare(servers, stack).items()]
            fault, over = _play(contenders, servers, acts)
            for each in contenders:
                stalls.setdefault(each.name, []).append(each.stall(fault, over))
                errors.setdefault(each.name, []).append([what for end, what in each.errors if end > fault])
            for name in servers.nodes:
                servers.thaw(name)  # or the threads that hang in a driver would stay
    return Group(title, "ms without a good answer", [_row(name, stalls[name], errors[name]) for name in stalls])


def _row(name: str, stalls: list[float], errors: list[list[str]]) -> Row:
    low, middle, high = min(stalls), sorted(stalls)[len(stalls) // 2], max(stalls)
    counts, kinds = sorted({len(each) for each in errors}), sorted({kind for each in errors for kind in each})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    never = sum(stall == float("inf") for stall in stalls)
    note = f"{many} errors{' (' + ', '.join(kinds) + ')' if kinds else ''}"
    return Row(name, middle, low, high, None, note + (f"; never in {never} of {len(stalls)} runs" if never else ""))


def _play(contenders: list[Contender], servers: PostgresCluster, acts: Sequence[Act]) -> tuple[float, float]:
    """Let the fault happen.  Returns between which moments it did."""
    for each in contenders:
        each.start()
    time.sleep(2.0)
    fault = time.monotonic()
    acts[0](servers)
    over = time.monotonic()
    for act in acts[1:]:
        act(servers)
    while time.monotonic() < fault + PATIENCE and any(each.stall(fault, over) == float("inf") for each in contenders):
        time.sleep(0.1)
    time.sleep(0.5)  # whoever falls back meanwhile shows it
    for each in contenders:
        each.over.set()
    return fault, over


# -- faults ------------------------------------------------------------------------------------------------------------


def _kill(servers: PostgresCluster) -> None:
    servers.kill("n1")


def _freeze(servers: PostgresCluster) -> None:
    servers.freeze("n1")


def _demote(servers: PostgresCluster) -> None:
    servers.set_read_only("n1")


def _promote(servers: PostgresCluster) -> None:
    servers.promote("n2")


def _kill_reader(servers: PostgresCluster) -> None:
    servers.kill("n3")


def _freeze_reader(servers: PostgresCluster) -> None:
    servers.freeze("n3")


def _remove(servers: PostgresCluster) -> None:
    _latest[0].remove_node("n3")


# -- contenders --------------------------------------------------------------------------------------------------------

_latest: list[clustersql.Cluster] = []


def _ours(servers: PostgresCluster, stack: ExitStack, **knobs: Any) -> Any:
    cluster = clustersql.Cluster("bench", driver="psycopg", **knobs)
    for name in servers.nodes:
        cluster.add_node(name, servers.dsn(name))
    _latest[:] = [cluster]
    return stack.enter_context(cluster.open())


def _insert(connection: Any) -> None:
    connection.execute(INSERT)


def _writers(servers: PostgresCluster, stack: ExitStack) -> dict[str, Operation]:
    db = _ours(servers, stack)
    tuned = _ours(servers, stack, stall_after=0.5, probe_interval=0.25, connect_timeout=1.0)
    found: dict[str, Operation] = {
        "clustersql, db.run, defaults": lambda: db.run(_insert),
        "clustersql, db.run, stall_after 0.5 s": lambda: tuned.run(_insert),
        "(how long the new primary takes)": _by_hand(servers.dsn("n2"), INSERT),
    }
    return found | _peers(servers, stack, INSERT, "read-write")


def _readers(servers: PostgresCluster, stack: ExitStack) -> dict[str, Operation]:
    db = _ours(servers, stack).options(read_only=True)
    tuned = _ours(servers, stack, stall_after=0.5, probe_interval=0.25, connect_timeout=1.0).options(read_only=True)
    found: dict[str, Operation] = {
        "clustersql, db.execute, defaults": lambda: db.execute(SELECT),
        "clustersql, db.execute, stall_after 0.5 s": lambda: tuned.execute(SELECT),
    }
    return found | _peers(servers, stack, SELECT, "any")


def _removable(servers: PostgresCluster, stack: ExitStack) -> dict[str, Operation]:
    db = _ours(servers, stack).options(read_only=True)
    return {f"clustersql, db.execute, thread {i}": lambda: db.execute(SELECT) for i in (1, 2, 3)}


def _peers(servers: PostgresCluster, stack: ExitStack, sql: str, attributes: str) -> dict[str, Operation]:
    """Return the peers on a connection string of all nodes, which libpq tries in order; for reads in random order."""
    order = "&load_balance_hosts=random" if attributes == "any" else ""
    hosts = ",".join(f"127.0.0.1:{servers.port(name)}" for name in servers.nodes)
    dsn = f"postgresql://app:secret@{hosts}/app?connect_timeout=2&target_session_attrs={attributes}{order}"
    found = {
        "psycopg, several hosts, reconnects by hand": _by_hand(dsn, sql),
        **_pools(dsn, sql, stack, "psycopg_pool, several hosts"),
        **_sqlalchemy(dsn, sql, stack),
        **_aws(hosts, sql, attributes, stack),
        **asyncpeers.asyncpg_pool(hosts, sql, attributes, stack),
        **asyncpeers.hasql(hosts, sql, attributes, stack),
    }
    if installed():
        primary, any_ = stack.enter_context(haproxy({name: servers.port(name) for name in servers.nodes}))
        time.sleep(4.0)  # its first checks: a server counts as up until one fails
        through = f"postgresql://app:secret@127.0.0.1:{any_ if attributes == 'any' else primary}/app?connect_timeout=5"
        found["psycopg through HAProxy, reconnects by hand"] = _by_hand(through, sql)
    else:
        missing("HAProxy")
    return found


def _by_hand(dsn: str, sql: str) -> Operation:
    import psycopg

    return _reconnecting(lambda: psycopg.connect(dsn, autocommit=True), lambda connection: connection.execute(sql))


def _reconnecting(connect: Callable[[], Any], execute: Callable[[Any], object]) -> Operation:
    """A loop that keeps a connection until an error, of whatever class, and then connects anew."""
    held: list[Any] = []

    def operation() -> None:
        if not held:
            held.append(connect())
        try:
            execute(held[0])
        except Exception:
            held.pop().close()
            raise

    return operation


def _aws(hosts: str, sql: str, attributes: str, stack: ExitStack) -> dict[str, Operation]:
    """The AWS wrapper with its default plugins.  Its failover is for Aurora; on these servers the application connects
    anew.
    """
    try:
        import psycopg
        from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
    except ImportError:
        return missing("aws-advanced-python-wrapper")  # type: ignore[return-value]
    stack.callback(release_resources)
    names, ports = zip(*(host.split(":") for host in hosts.split(",")), strict=True)
    info = (
        f"host={','.join(names)} port={','.join(ports)} dbname=app user=app password=secret "
        f"connect_timeout=2 target_session_attrs={attributes}"
    )

    def connect() -> Any:
        return AwsWrapperConnection.connect(psycopg.Connection.connect, info, wrapper_dialect="pg", autocommit=True)

    def execute(connection: Any) -> None:
        connection.cursor().execute(sql)

    return {"AWS wrapper, several hosts, reconnects by hand": _reconnecting(connect, execute)}


def _pools(dsn: str, sql: str, stack: ExitStack, name: str) -> dict[str, Operation]:
    from psycopg_pool import ConnectionPool

    plain = stack.enter_context(ConnectionPool(dsn, min_size=1, max_size=4, timeout=5.0))
    checked = stack.enter_context(
        ConnectionPool(dsn, min_size=1, max_size=4, timeout=5.0, check=ConnectionPool.check_connection)
    )

    def through(pool: Any) -> Operation:
        def operation() -> None:
            with pool.connection() as connection:
                connection.execute(sql)

        return operation

    return {name: through(plain), f"{name}, check": through(checked)}


def _sqlalchemy(dsn: str, sql: str, stack: ExitStack) -> dict[str, Operation]:
    import psycopg
    from sqlalchemy import QueuePool, create_engine, text

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=QueuePool, pool_pre_ping=True
    )
    stack.callback(engine.dispose)
    query = text(sql)

    def operation() -> None:
        with engine.begin() as connection:
            connection.execute(query)

    return {"SQLAlchemy, several hosts, pool_pre_ping": operation}
