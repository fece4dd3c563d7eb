"""A WSGI application in the manner of ``gunicorn --preload``: the master opens the database and uses it, then forks its
workers.

Its nodes are in the environment, as JSON.  It writes what sessions the master has into the file ``MASTER``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from clustersql import Cluster

shop = Cluster("preloaded", driver="psycopg", timeout=60, stall_after=0.5, probe_interval=0.2)
for name, url in json.loads(os.environ["NODES"]).items():
    shop.add_node(name, url)
db = shop.open()


def insert(conn: Any, number: int) -> None:
    conn.execute("INSERT INTO preloaded (number) VALUES (%s)", (number,))


def sessions() -> list[int]:
    """One that is idle in the pool, one in use, one outside."""
    with db.connection() as first, db.connection() as second:
        idle = [conn.execute("SELECT pg_backend_pid()").fetchall()[0][0] for conn in (first, second)]
    return [*idle, held.execute("SELECT pg_backend_pid()").fetchall()[0][0]]


held = db.connection(move=False)
with open(os.environ["MASTER"], "w", encoding="utf-8") as file:
    json.dump(sessions(), file)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``PUT /n`` writes a number, ``GET /`` reads them all; the answer says which process it came from."""
    if environ["REQUEST_METHOD"] == "PUT":
        db.run(insert, int(environ["PATH_INFO"].strip("/")))
        rows = []
    else:
        rows = db.options(read_only=True).execute("SELECT number FROM preloaded").fetchall()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"worker": os.getpid(), "numbers": sorted(number for (number,) in rows)}).encode()]
