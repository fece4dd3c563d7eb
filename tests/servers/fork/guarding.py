"""A parent that has a guarded transaction open, and two forked children that do the work of one key at the same time.

    python guarding.py DRIVER '{"host": ..., "port": ...}'

Prints, as JSON, what each was told and what the table holds in the end.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from clustersql import Cluster
from clustersql.dialects import by_name

CHILDREN = 2
KEY = "order 7"


def error_of(function: Callable[..., object], *args: Any) -> str:
    try:
        function(*args)
    except Exception as exc:
        return type(exc).__name__
    return "none"


class Parent:
    """Its cluster, with one token that is to be deleted, and a transaction whose id was handed out."""

    def __init__(self, driver: str, address: dict[str, Any]) -> None:
        self.cluster = Cluster("forking", driver=driver, commit_guard=True)
        self.cluster.add_node("n1", **address)
        self.db = self.cluster.open()
        self.driver = self.cluster.driver
        guard = by_name(self.driver.dialect.name).guard
        prefix = "public." if self.driver.dialect.name == "postgresql" else ""
        for statement in guard.create(f"{prefix}clustersql_commit", f"{prefix}clustersql_key"):
            self.db.execute(statement)
        self.db.execute(f"DELETE FROM {prefix}clustersql_key")
        self.db.execute("DROP TABLE IF EXISTS forked_guard")
        self.db.execute("CREATE TABLE forked_guard (what varchar(20) PRIMARY KEY)")
        self.guard = self.cluster._topology.guard
        self.guard.deleting = True  # as if a deletion were under way: what is acknowledged stays to be deleted
        self.db.run(insert, "before")
        self.held = self.db.connection()
        insert(self.held, "held")
        self.id = self.held.commit_id

    def child(self, ready: int, go: int, tell: int) -> None:
        """The work of one child."""
        told: dict[str, Any] = {"to delete": len(self.guard._spent), "deleting": self.guard.deleting}
        told["held"] = error_of(self.held.commit)
        self.db.run(insert, f"child {os.getpid()}")
        os.write(ready, b".")
        os.read(go, 1)  # both at once
        told["once"] = error_of(self.db.once, KEY, insert, "once")
        os.write(tell, json.dumps(told).encode() + b"\n")


def insert(conn: Any, what: str) -> None:
    conn.cursor().execute("INSERT INTO forked_guard VALUES (%s)", (what,))


def main() -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
    parent = Parent(sys.argv[1], json.loads(sys.argv[2]))
    ready, go, tell = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(CHILDREN):
        if not (number := os.fork()):
            status = 1
            try:
                parent.child(ready[1], go[0], tell[1])
                status = 0
            finally:
                os._exit(status)
        children.append(number)
    for _ in children:
        os.read(ready[0], 1)
    os.write(go[1], b"." * CHILDREN)
    ends = [os.waitpid(number, 0)[1] for number in children]
    os.close(tell[1])
    with os.fdopen(tell[0]) as lines:
        told = [json.loads(line) for line in lines]
    parent.held.commit()
    parent.held.close()
    rows = [row[0] for row in parent.db.execute("SELECT what FROM forked_guard").fetchall()]
    known = {f"child {number}" for number in children}
    print(
        json.dumps(
            {
                "ends": ends,
                "to delete": len(parent.guard._spent),
                "children": told,
                "settled": parent.db.settle(parent.id),
                "rows": sorted("child" if row in known else row for row in rows),
            }
        )
    )
    parent.db.execute("DROP TABLE forked_guard")
    parent.cluster.close()


if __name__ == "__main__":
    main()
