"""Opening a connection: `dial` beside the raw driver, and what a first node that does not answer costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import clustersql
from clustersql.testing import FaultProxy, PostgresCluster

from .measure import Group, pin, rounds, row, timer


def run(quick: bool) -> Iterator[Group]:
    """Yield the table of the cost, and that of the deaf node."""
    pin()
    with PostgresCluster(2) as servers, ExitStack() as stack:
        yield _cost(servers, stack, quick)
        yield _deaf(servers, stack, quick)


def _cost(servers: PostgresCluster, stack: ExitStack, quick: bool) -> Group:
    import psycopg

    dsn = servers.dsn("n1")
    cluster = clustersql.Cluster("bench", driver="psycopg")
    cluster.add_node("n1", dsn)
    db = stack.enter_context(cluster.open())
    with db.connection():
        pass  # the node is known from here on
    timers = {
        "connect + close: psycopg": timer(_closed(lambda: psycopg.connect(dsn))),
        "dial + close: clustersql": timer(_closed(cluster.dial)),
        "connect + close: clustersql": timer(_closed(cluster.connect)),
        **_wrapper(servers.port("n1")),
    }
    times = rounds(timers, 5 if quick else 31, 0.02 if quick else 0.05)
    base = times["connect + close: psycopg"]
    return Group(
        "Opening a connection, one CPU",
        "us",
        [row(name, times[name], base if times[name] is not base else None) for name in times],
    )


def _closed(connect: Callable[[], Any]) -> Callable[[], object]:
    return lambda: connect().close()


def _wrapper(port: int) -> dict[str, Any]:
    try:
        import psycopg
        from aws_advanced_python_wrapper import AwsWrapperConnection
    except ImportError:
        return {}
    info = f"host=127.0.0.1 port={port} dbname=app user=app password=secret"
    connect = _closed(lambda: AwsWrapperConnection.connect(psycopg.Connection.connect, info, wrapper_dialect="pg"))
    return {"connect + close: AWS wrapper": timer(connect)}


def _deaf(servers: PostgresCluster, stack: ExitStack, quick: bool) -> Group:
    """The first node takes connections and says nothing; reads may go to either.  A new cluster each time, which knows
    neither.
    """
    import psycopg

    proxy = stack.enter_context(FaultProxy(servers.port("n1")))
    proxy.deaf()
    deaf = f"postgresql://app:secret@127.0.0.1:{proxy.port}/app"
    both = f"postgresql://app:secret@127.0.0.1:{proxy.port},127.0.0.1:{servers.port('n2')}/app"

    def ours(**knobs: Any) -> Callable[[], object]:
        def first() -> None:
            cluster = clustersql.Cluster("bench", driver="psycopg", read_only=True, **knobs)
            cluster.add_node("n1", deaf)
            cluster.add_node("n2", servers.dsn("n2"))
            with cluster.open() as db, db.connection():
                pass

        return first

    calls = {
        "clustersql, the next after 250 ms (default)": ours(
            policy=lambda loads, now, random: sorted(loads, key=_order)
        ),
        "clustersql, policy race": ours(policy="race"),
        "psycopg, two hosts, connect_timeout=2": lambda: psycopg.connect(both + "?connect_timeout=2").close(),
    }
    group = Group("First connection, the first of two nodes deaf", "ms", [])
    for name, call in calls.items():
        once = timer(call)
        group.rows.append(row(name, [once(1) * 1e3 for _ in range(1 if quick else 7)]))
    return group


def _order(load: Any) -> int:
    return int(load.order)
