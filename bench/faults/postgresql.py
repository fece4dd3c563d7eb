"""What goes wrong with a PostgreSQL primary and its two standbys, of which one confirms each commit."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from clustersql.core.view.node import Role
from clustersql.testing import PostgresCluster

from .program import TABLES
from .scene import Act, Fault, Scene, does, wait_until

NAME, TITLE = "postgresql", "PostgreSQL"
DRIVER, ASYNC_DRIVER = "psycopg", "psycopg"
SLOW = "SELECT pg_sleep(3)"


def servers(**where: Any) -> PostgresCluster:
    """Return the servers, not started yet.

    Synchronous: else the database itself may lose what it acknowledged.  With feedback of the standbys: else a
    promotion waits until the slow statement has ended that stands in the way of what is replayed.
    """
    return PostgresCluster(3, sync=True, settings={"hot_standby_feedback": "on"}, **where)


def prepare(servers: PostgresCluster, programs: int) -> None:
    """Put the servers in order and make the tables anew."""
    servers.heal()
    servers.execute("n1", "DROP TABLE IF EXISTS writes, counters, bare")
    for sql in (*TABLES, "CREATE TABLE bare (at timestamptz DEFAULT clock_timestamp())"):
        servers.execute("n1", sql)
    servers.execute("n1", f"INSERT INTO counters SELECT i, 0 FROM generate_series(0, {programs - 1}) i")
    servers.execute("n1", "GRANT ALL ON writes, counters, bare TO app")


def truth(servers: PostgresCluster, sql: str) -> list[tuple[Any, ...]]:
    """Ask the database itself."""
    return servers.execute(servers.primary, sql)


def bare(servers: PostgresCluster, name: str) -> Any:
    """Return a connection of the bare driver for the writes that tell how long the cluster itself takes."""
    import psycopg

    return psycopg.connect(servers.dsn(name), autocommit=True, connect_timeout=2)


# -- what happens ------------------------------------------------------------------------------------------------------


def promote(scene: Scene) -> None:
    """Promote the standby that has received most, as failover tools do: what was acknowledged is on at least one."""
    standbys = [name for name in ("n2", "n3") if scene.servers.state(name) == "running"]
    received = "SELECT (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint"
    scene.servers.promote(max(standbys, key=lambda name: scene.servers.execute(name, received)[0][0]))


def _deafen(name: str) -> Act:
    def act(scene: Scene) -> None:
        with scene.fault():
            scene.proxies[name].deaf()
        if name == "n1":
            promote(scene)

    return act


def _drop(name: str) -> Act:
    def act(scene: Scene) -> None:
        assert scene.network is not None
        with scene.fault():
            scene.network.drop(scene.servers.port(name))
        if name == "n1":
            promote(scene)

    return act


def _forget(what: str, name: str) -> Act:
    def act(scene: Scene) -> None:
        with scene.fault():
            for program in scene.programs:
                scene.proxies[name].forget_on(f"{what} {program.number} ".encode(), before=True)

    return act


def _switch(scene: Scene) -> None:
    with scene.fault():
        scene.drain("n1")
    scene.servers.stop("n1")  # in order: the standbys get all that was committed
    promote(scene)


def _crash(scene: Scene) -> None:
    """Kill one backend: PostgreSQL ends all sessions, recovers from its log and goes on as what it was."""
    sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1"
    [(pid,)] = scene.servers.execute("n1", sql)
    with scene.fault():
        os.kill(pid, signal.SIGKILL)


def _start(name: str) -> Act:
    return lambda scene: scene.servers.start(name)


def _fail_over(scene: Scene) -> None:
    scene.servers.kill("n1")
    promote(scene)


def _revive(scene: Scene) -> None:
    wait_until(lambda: all(p.cluster.view.epoch is not None for p in scene.programs), "the new timeline is known")
    with scene.fault():
        scene.servers.start("n1")


def _resume(scene: Scene) -> None:
    scene.servers.execute("n2", "SELECT pg_wal_replay_resume()")


HELD = 2.5
"""Seconds for which the COMMITs are held, or connections refused, before the administrator mends it."""


def _hold(scene: Scene) -> None:
    scene.servers.stop("n3")
    with scene.fault():
        _standbys(scene, "n3")
    time.sleep(HELD)
    _standbys(scene, "ANY 1 (*)")


def _standbys(scene: Scene, names: str) -> None:
    scene.servers.execute("n1", f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    scene.servers.execute("n1", "SELECT pg_reload_conf()")


def _crowd(scene: Scene) -> None:
    with scene.fault():
        scene.servers.execute("n1", "ALTER ROLE app CONNECTION LIMIT 0")
        scene.servers.terminate_sessions("n1")
    time.sleep(HELD)
    scene.servers.execute("n1", "ALTER ROLE app CONNECTION LIMIT -1")


FAULTS = (
    Fault("kill-replica", "kill -9 of the standby in use", does("kill", "n2"), "n2", bare=("n1",)),
    Fault("kill-primary", "kill -9 of the primary, a standby promoted", does("kill", "n1", then=promote), "n1"),
    Fault("freeze-replica", "SIGSTOP of the standby in use", does("freeze", "n2"), "n2", bare=("n1",)),
    Fault("freeze-primary", "SIGSTOP of the primary, a standby promoted", does("freeze", "n1", then=promote), "n1"),
    Fault(
        "blackhole-replica",
        "the way to the standby in use swallows all (proxy)",
        _deafen("n2"),
        "n2",
        way="proxy",
        bare=("n1",),
    ),
    Fault("blackhole-primary", "the same to the primary, a standby promoted", _deafen("n1"), "n1", way="proxy"),
    Fault(
        "drop-replica",
        "packets to and from the standby in use are dropped",
        _drop("n2"),
        "n2",
        way="network",
        bare=("n1",),
    ),
    Fault("drop-primary", "the same of the primary, a standby promoted", _drop("n1"), "n1", way="network"),
    Fault(
        "forget-read", "a NAT forgets the reader's connection", _forget("read", "n2"), "n2", way="proxy", bare=("n1",)
    ),
    Fault(
        "forget-write", "a NAT forgets the writer's connection", _forget("write", "n1"), "n1", way="proxy", bare=("n1",)
    ),
    Fault(
        "demote",
        "the primary made read-only, sessions kept, a standby promoted",
        does("set_read_only", "n1", then=promote),
        "n1",
        noticed=lambda node: node.role is not Role.PRIMARY,
    ),
    Fault("switchover", "planned: drained, stopped, a standby promoted", _switch, "n1", clean=True),
    Fault("crash", "the primary crashes, recovers and goes on", _crash, "n1", bare=("n1",)),
    Fault(
        "old-primary",
        "a killed primary comes back as a primary",
        _revive,
        "n1",
        before=_fail_over,
        noticed=lambda node: node.outdated,
        down="n1",
        heed=16.0,
    ),
    Fault(
        "replay-paused",
        "replay paused, max_lag=2",
        does("execute", "n2", "SELECT pg_wal_replay_pause()"),
        "n2",
        after=_resume,
        knobs={"max_lag": 2.0},
        bare=("n1",),
    ),
    Fault(
        "commit-held",
        "COMMIT held by an absent standby, timeout=1",
        _hold,
        None,
        slow="n2",
        writing={"timeout": 1.0},
        bare=("n1",),
    ),
    Fault("restart-replica", "the standby in use restarted", does("stop", "n2", then=_start("n2")), "n2", bare=("n1",)),
    Fault("restart-primary", "the primary restarted", does("stop", "n1", then=_start("n1")), "n1", bare=("n1",)),
    Fault("overload", "no more connections anywhere, those of the primary ended", _crowd, None, bare=("n1",)),
)
