"""A server in the manner of gunicorn: a parent that has used its pool, and four forked children that work and end as
Python ends.

    python preforking.py DRIVER '{"host": ..., "port": ...}'

Prints, as JSON, what the children saw and whether each of the parent's sessions outlived them.  A program of its own,
because a forked child of the test run could not end in the ordinary way: it is the finalization of what it inherited
that may harm the parent.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from clustersql import Cluster
from clustersql.sync.monitor import monitor

CHILDREN = 4
SESSION = {
    "postgresql": "SELECT pg_backend_pid()",
    "mysql": "SELECT CONNECTION_ID()",
    "sqlite": "SELECT sqlite_version()",
}


def name_session(raw: Any) -> None:
    """SQLite has no sessions: on each connection a function tells it from the others, one of which it is known that it
    leaves no state.
    """
    name = uuid.uuid4().hex
    if hasattr(raw, "create_function"):
        raw.create_function("sqlite_version", 0, lambda: name)


def one(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    [(value,)] = cursor.fetchall()
    return value


def error_of(function: Callable[[], object]) -> str:
    try:
        function()
    except Exception as exc:
        return type(exc).__name__
    return "none"


class Parent:
    """One of each kind of connection, all used before the fork."""

    def __init__(self, driver: str, address: dict[str, Any]) -> None:
        self.cluster = Cluster("forking", driver=driver, on_connect=name_session)
        self.cluster.add_node("n1", **address)
        self.sql = SESSION[self.cluster.driver.dialect.name]
        self.db = self.cluster.open()
        self.db.execute("DROP TABLE IF EXISTS forked")
        self.db.execute("CREATE TABLE forked (id INTEGER PRIMARY KEY)")
        with self.db.connection() as idle, self.db.connection():
            self.idle = one(idle.cursor(), self.sql)
        self.held = self.db.connection(move=False)
        self.cursor = self.held.cursor()
        self.outside = self.cluster.connect()
        self.outside_cursor = self.outside.cursor()
        self.raw = self.cluster.dial()
        self.raw_is_a_file = driver == "sqlite3"
        self.before = self.sessions()

    def sessions(self) -> dict[str, Any]:
        """The server's name of each session that the parent uses."""
        with self.db.connection() as conn:
            pooled = one(conn.cursor(), self.sql)
        raw = self.raw.cursor()
        value = one(raw, self.sql)
        raw.close()
        return {
            "pooled": pooled,
            "held": one(self.cursor, self.sql),
            "outside": one(self.outside_cursor, self.sql),
            "dialled": value,
        }

    def work_as_child(self, number: int) -> dict[str, Any]:
        """What a child does: its own work, and the mistake of using what it inherited."""
        insert = f"INSERT INTO forked (id) VALUES ({number})"
        report = {
            "held": error_of(lambda: self.held.cursor()),
            "cursor": error_of(lambda: self.cursor.execute(insert)),
            "fetch": error_of(lambda: self.cursor.fetchall()),
            "outside": error_of(lambda: self.outside.cursor()),
            "outside cursor": error_of(lambda: self.outside_cursor.execute(insert)),
            "dialled is current": self.cluster.is_current(self.raw),
            "dialled": error_of(lambda: one(self.raw.cursor(), self.sql)) != "none" or self.raw_is_a_file,
        }
        error_of(self.raw.close)  # as a framework's pool does, politely
        self.db.run(lambda conn: conn.cursor().execute(insert))
        with self.db.connection() as conn:
            report["session"] = one(conn.cursor(), self.sql)
        report["monitor"] = monitor().alive
        del self.held, self.cursor, self.outside, self.outside_cursor, self.raw
        gc.collect()
        self.cluster.close()
        return report


def fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of locks that other threads may hold.  Ours are made anew in the child: that is what is tested.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
        return os.fork()


def main(driver: str, address: dict[str, Any]) -> None:
    parent = Parent(driver, address)
    children, pipes = [], []
    for number in range(CHILDREN):
        reader, writer = os.pipe()
        child = fork()
        if not child:
            os.close(reader)
            os.write(writer, json.dumps(parent.work_as_child(number)).encode())
            return  # and end, with all that Python does then
        os.close(writer)
        children.append(child)
        pipes.append(reader)
    reports = []
    for reader in pipes:
        with os.fdopen(reader) as pipe:
            reports.append(json.loads(pipe.read() or "null"))
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    after = parent.sessions()
    rows = parent.db.execute("SELECT COUNT(*) FROM forked").fetchall()
    parent.held.close()
    parent.outside.close()
    parent.raw.close()
    parent.cluster.close()
    print(json.dumps({"before": parent.before, "after": after, "rows": rows, "ends": ends, "children": reports}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
