"""A program that gevent has patched before anything else: many greenlets work on a pool while one way to the server
goes deaf.

    python greenlets.py DRIVER '{"ports": [...], "user": ...}'

Says "working" when every greenlet has had an answer, reads a byte when the fault was made, and prints as JSON what it
saw.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.os import tp_read  # noqa: E402

from clustersql import Cluster, OutcomeUnknown  # noqa: E402
from clustersql.sync.monitor import monitor  # noqa: E402

GREENLETS = 30


def in_order(loads: Any, now: float, random: Any) -> Any:
    return sorted(loads, key=lambda load: load.name)


class Program:
    def __init__(self, driver: str, told: dict[str, Any]) -> None:
        self.cluster = Cluster(
            "green", driver=driver, policy=in_order, max_size=8, timeout=60, stall_after=0.5, probe_interval=0.2
        )
        for name, port in zip("ab", told.pop("ports"), strict=True):
            self.cluster.add_node(name, host="127.0.0.1", port=port, **told)
        self.db = self.cluster.open()
        self.reads = 0
        self.written: list[str] = []
        self.unknown: list[str] = []
        self.most = 0
        self.errors: list[str] = []
        self.over = False

    def insert(self, conn: Any, name: str) -> None:
        with conn.cursor() as cursor:
            cursor.execute("INSERT INTO green (name) VALUES (%s)", (name,))

    def work(self, number: int) -> None:
        """Read, and write in a transaction that may be run again, until it is over."""
        reading = self.db.options(read_only=True)
        turn = 0
        try:
            while not self.over:
                turn += 1
                assert reading.execute("SELECT 1").fetchall()[0][0] == 1
                self.reads += 1
                self.write(f"{number}.{turn}")
                self.most = max(self.most, self.db.stats()["in_flight"])
                gevent.sleep(0.01)
        except Exception as exc:
            self.errors.append(repr(exc))

    def write(self, name: str) -> None:
        """The answer to a COMMIT may be lost in a deaf path: then nobody knows, and that is what is said."""
        try:
            self.db.run(self.insert, name)
            self.written.append(name)
        except OutcomeUnknown:
            self.unknown.append(name)

    def run(self) -> dict[str, Any]:
        greenlets = [gevent.spawn(self.work, number) for number in range(GREENLETS)]
        self.wait_for(lambda: len(self.written) >= 2 * GREENLETS)
        print("working", flush=True)
        tp_read(0, 1)
        self.wait_for(lambda: self.cluster.view.by_name["a"].reach.value == "down")
        before = len(self.written)
        self.wait_for(lambda: len(self.written) >= before + 2 * GREENLETS)
        self.over = True
        gevent.joinall(greenlets, timeout=60, raise_error=True)
        ran = monitor().last_ran
        told = {
            "errors": self.errors,
            "written": self.written,
            "unknown": self.unknown,
            "several at once": self.most > 1,
            "monitor": monitor().alive and time.monotonic() - ran < 30,
            "in flight": self.db.stats()["in_flight"],
        }
        self.cluster.close()
        return told

    def wait_for(self, condition: Any) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if self.errors or time.monotonic() > deadline:
                raise SystemExit(
                    f"it did not come to that: {self.errors} {self.db!r} {self.cluster.snapshot().as_dict()}"
                )
            gevent.sleep(0.02)


if __name__ == "__main__":
    print(json.dumps(Program(sys.argv[1], json.loads(sys.argv[2])).run()))
