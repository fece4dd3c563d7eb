"""What goes wrong with three Galera nodes, of which n1 is the writer and reads prefer n2."""

from __future__ import annotations

import shutil
import time
from typing import Any

from clustersql.testing import GaleraCluster

from .program import TABLES
from .scene import Act, Fault, Scene, does

NAME, TITLE = "galera", "MariaDB Galera"
DRIVER, ASYNC_DRIVER = "pymysql", "aiomysql"
SLOW = "SELECT SLEEP(3)"


def servers(**where: Any) -> GaleraCluster:
    """Return the servers, not started yet."""
    return GaleraCluster(3, settings=["--wsrep-sst-donor=n2,"], **where)  # n2 gives the copies, if it can


def prepare(servers: GaleraCluster, programs: int) -> None:
    """Put the servers in order and make the tables anew."""
    servers.heal()
    servers.execute("n1", "DROP TABLE IF EXISTS writes, counters, bare")
    for sql in (*TABLES, "CREATE TABLE bare (id BIGINT AUTO_INCREMENT PRIMARY KEY)"):
        servers.execute("n1", sql.replace("writes (", "writes (id BIGINT AUTO_INCREMENT PRIMARY KEY, "))
    for number in range(programs):
        servers.execute("n1", "INSERT INTO counters VALUES (%s, 0)", (number,))


def truth(servers: GaleraCluster, sql: str) -> list[tuple[Any, ...]]:
    """Ask the database itself, at a node that belongs to it."""
    ready = [name for name in servers.nodes if servers.status(name).get("wsrep_local_state_comment") == "Synced"]
    return servers.execute(ready[-1], f"SET STATEMENT wsrep_sync_wait = 1 FOR {sql}")


def bare(servers: GaleraCluster, name: str) -> Any:
    """Return a connection of the bare driver for the writes that tell how long the cluster itself takes."""
    import pymysql

    address = {"host": "127.0.0.1", "port": servers.port(name), "user": "app", "password": "secret", "database": "app"}
    return pymysql.connect(**address, autocommit=True, connect_timeout=2, ssl_disabled=True)


# -- what happens ------------------------------------------------------------------------------------------------------


def _provider(node: str, option: str) -> Act:
    return does("execute", node, f"SET GLOBAL wsrep_provider_options = '{option}'")


def _empty(scene: Scene) -> None:
    """Let n3 lose its data, so that it must fetch a full copy."""
    scene.servers.stop("n3")
    shutil.rmtree(scene.servers.directory / "n3")
    scene.servers._install("n3")


def _lock(scene: Scene) -> None:
    """Hold the lock of a backup for a while: the node falls behind, and says that it is no longer in step."""
    with scene.servers._session("n2", 60) as session, session.cursor() as cursor:
        with scene.fault():
            cursor.execute("FLUSH TABLES WITH READ LOCK")
        time.sleep(HELD)
        cursor.execute("UNLOCK TABLES")


def _roll(scene: Scene) -> None:
    """Restart every node, one after the other, each drained before."""
    with scene.fault():
        scene.drain("n1")
    for name in scene.servers.nodes:
        if name != "n1":
            scene.drain(name)
        scene.servers.stop(name)
        scene.servers.start(name)
        scene.undrain(name)


def _crowd(scene: Scene) -> None:
    with scene.fault():
        scene.servers.execute("n1", "ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 1")
        scene.servers.terminate_sessions("n1")
    time.sleep(HELD)
    scene.servers.execute("n1", "ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 0")


HELD = 2.5
"""Seconds after which the administrator mends it."""

FAULTS = (
    Fault("kill-reader", "kill -9 of the node that is read", does("kill", "n2"), "n2", bare=("n1",), runs=2),
    Fault("kill-writer", "kill -9 of the writer", does("kill", "n1"), "n1", runs=2),
    Fault("freeze-reader", "SIGSTOP of the node that is read", does("freeze", "n2"), "n2", bare=("n1",), runs=2),
    Fault("freeze-writer", "SIGSTOP of the writer", does("freeze", "n1"), "n1", runs=2),
    Fault(
        "desync",
        "the writer desynced",
        does("desync", "n1"),
        "n1",
        after=lambda scene: scene.servers.desync("n1", False),
    ),
    Fault(
        "donor",
        "the node that is read gives a full copy to another",
        does("start", "n3"),
        "n2",
        slow="n1",
        bare=("n1",),
        down="n3",
        before=_empty,
        runs=2,
    ),
    Fault("backup", "the node that is read locked for a backup (FTWRL)", _lock, "n2", bare=("n1",)),
    Fault(
        "partition",
        "the writer cut off from the others: non-Primary",
        _provider("n1", "gmcast.isolate=1"),
        "n1",
        after=_provider("n1", "gmcast.isolate=0"),
    ),
    Fault(
        "reject",
        "the writer rejects queries",
        does("reject_queries", "n1"),
        "n1",
        after=lambda scene: scene.servers.reject_queries("n1", False),
    ),
    Fault(
        "rolling-restart",
        "all nodes restarted, each drained before",
        _roll,
        "n1",
        bare=("n2", "n3", "n1"),
        clean=True,
        runs=1,
    ),
    Fault("overload", "no more connections anywhere, those of the writer ended", _crowd, None, bare=("n1",)),
)
