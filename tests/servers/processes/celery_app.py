"""A Celery application: the worker's parent opens the database and uses it, then forks its pool.  Its nodes are in the
environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery, signals

from clustersql import Cluster

folder = os.environ["CELERY_FOLDER"]
app = Celery("celery_app", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{folder}/queue",
    "data_folder_out": f"{folder}/queue",
    "control_folder": f"{folder}/control",
}
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1

shop = Cluster("prefork", driver="psycopg", timeout=60, stall_after=0.5, probe_interval=0.2)
for name, url in json.loads(os.environ["NODES"]).items():
    shop.add_node(name, url)
db = shop.open()
with db.connection() as first, db.connection():
    first.execute("SELECT 1")
held = db.connection(move=False)
parent = held.execute("SELECT pg_backend_pid()").fetchall()[0][0]


def insert(conn: Any, number: int) -> None:
    conn.execute("INSERT INTO prefork (number) VALUES (%s)", (number,))


@signals.worker_process_shutdown.connect
def end(**_: Any) -> None:
    """As the guide has it for the end of a worker; what it did is told by a file."""
    shop.close(timeout=10)
    Path(folder, f"closed-{os.getpid()}").write_text(str(db.stats()["size"]))


@app.task
def write(number: int) -> dict[str, Any]:
    """Write a number; tell where, and what the parent's session was."""
    db.run(insert, number)
    [(pid,)] = db.execute("SELECT pg_backend_pid()").fetchall()
    return {"worker": os.getpid(), "session": pid, "parent": parent}
