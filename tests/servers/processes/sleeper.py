"""A program that is suspended in the middle of work, and goes on.

    python sleeper.py threads|asyncio DRIVER '{"n1": url, ...}'

Says "ready" when connections are idle and one statement is under way, reads a line when it was suspended and resumed,
and prints as JSON what its first operations saw.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from typing import Any

from clustersql import Cluster

SLOW = "SELECT 'slow' FROM pg_sleep(3)"
MINE = "SELECT name FROM asleep WHERE name LIKE '{} %' ORDER BY name"


class Heard(logging.Handler):
    """What the library said of its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def made(urls: dict[str, str], **choice: str) -> Cluster:
    cluster = Cluster("asleep", **choice, timeout=30, stall_after=1.0, probe_interval=0.1, connect_timeout=1.0)
    for name, url in urls.items():
        cluster.add_node(name, url)
    return cluster


def seen_by(cluster: Cluster) -> bool:
    return all(node.usable for node in cluster.view)


def insert(conn: Any, name: str) -> None:
    with conn.cursor() as cursor:
        cursor.execute(f"INSERT INTO asleep (name) VALUES ('{name}')")


def threads(driver: str, urls: dict[str, str], heard: Heard) -> dict[str, Any]:
    cluster = made(urls, driver=driver)
    db = cluster.open()
    slow: list[Any] = []
    with db.connection() as first, db.connection(), first.cursor() as cursor:
        cursor.execute("SELECT 1")
    while not seen_by(cluster):
        time.sleep(0.01)
    db.options(node="n2", read_only=True).execute("SELECT 1")
    asking = db.options(node="n2", read_only=True)
    thread = threading.Thread(target=lambda: slow.extend(asking.execute(SLOW).fetchall()))
    thread.start()
    while db.stats()["nodes"]["n2"]["in_flight"] == 0:
        time.sleep(0.01)
    heard.lines.clear()
    print("ready", flush=True)
    sys.stdin.readline()
    db.execute(f"INSERT INTO asleep (name) VALUES ('{driver} single')")
    db.run(insert, f"{driver} in run")
    rows = db.options(read_only=True, role="primary").execute(MINE.format(driver)).fetchall()
    thread.join(30)
    time.sleep(1.0)  # several rounds of the monitor: it must not think otherwise now
    told = report(cluster, heard, rows, slow)
    cluster.close()
    return told


async def tasks(driver: str, urls: dict[str, str], heard: Heard) -> dict[str, Any]:
    cluster = made(urls, async_driver=driver)
    async with cluster.aopen() as db:
        async with db.connection() as first, db.connection():
            await first.execute("SELECT 1")
        while not seen_by(cluster):
            await asyncio.sleep(0.01)
        asking = db.options(node="n2", read_only=True)
        await asking.execute("SELECT 1")
        task = asyncio.create_task(asking.execute(SLOW))
        while db.stats()["nodes"]["n2"]["in_flight"] == 0:
            await asyncio.sleep(0.01)
        heard.lines.clear()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await db.execute(f"INSERT INTO asleep (name) VALUES ('{driver}-aio single')")
        await db.run(lambda conn: conn.execute(f"INSERT INTO asleep (name) VALUES ('{driver}-aio in run')"))
        reading = db.options(read_only=True, role="primary")
        rows = (await reading.execute(MINE.format(f"{driver}-aio"))).fetchall()
        slow = (await task).fetchall()
        await asyncio.sleep(1.0)
        return report(cluster, heard, rows, slow)


def report(cluster: Cluster, heard: Heard, rows: Any, slow: Any) -> dict[str, Any]:
    return {
        "rows": [row[0] for row in rows],
        "slow": [row[0] for row in slow],
        "usable": seen_by(cluster),
        "hung": cluster.metrics()["Pool"]["Hung"],
        "said": [line for line in heard.lines if "is down" in line],
    }


if __name__ == "__main__":
    api, chosen, told = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    listening = Heard()
    logging.getLogger("clustersql").addHandler(listening)
    logging.getLogger("clustersql").setLevel(logging.INFO)
    if api == "threads":
        print(json.dumps(threads(chosen, told, listening)))
    else:
        print(json.dumps(asyncio.run(tasks(chosen, told, listening))))
