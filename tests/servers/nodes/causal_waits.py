"""A program whose causal read waits while it forks, and while somebody presses Ctrl-C.  Arguments: a bookmark that
another process has taken, and the servers' DSNs, whose replicas are far behind.  It prints what it has seen, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

import clustersql

READ = "SELECT n FROM counters WHERE name = 'c'"


def interrupted(number: int, frame: Any) -> None:
    """As Python's own handler does."""
    raise KeyboardInterrupt


def main() -> None:
    """Fork in the middle of a thread's wait; then interrupt one of this thread's."""
    cluster = clustersql.Cluster("shop", driver="psycopg", causal_wait=0.02, probe_interval=0.2)
    for number, dsn in enumerate(sys.argv[2:], 1):
        cluster.add_node(f"n{number}", dsn)
    db = cluster.open()
    brought = db.options(read_only=True, after=sys.argv[1]).execute(READ).fetchall()[0][0]
    cluster.reconfigure(causal_wait=1.0)
    view = db.causal()
    view.execute("UPDATE counters SET n = n + 1 WHERE name = 'c'")
    while not all(node.usable for node in cluster.view):
        time.sleep(0.01)

    def shown() -> int:
        return int(view.options(read_only=True).execute(READ).fetchall()[0][0])

    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(shown()))
    bookmark = view.bookmark
    thread.start()
    while not db.stats()["in_flight"]:
        time.sleep(0.001)
    if (child := os.fork()) == 0:
        cluster.reconfigure(causal_wait=0.02)
        os._exit(0 if shown() == 2 and view.bookmark >= bookmark else 1)
    ended = os.waitpid(child, 0)[1]
    thread.join()
    cluster.reconfigure(causal_wait=60.0)
    signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        shown()
        how = "it has waited"
    except KeyboardInterrupt:
        how = "interrupted"
    left = db.stats()["in_flight"]
    cluster.reconfigure(causal_wait=0.02)
    after = [shown(), db.options(read_only=True, after=bookmark).execute(READ).fetchall()[0][0]]
    told = {"child": ended, "seen": seen, "how": how, "late": time.monotonic() - began > 30, "left": left}
    print(json.dumps(told | {"after": after, "brought": brought, "bookmark": bookmark}))
    cluster.close()


if __name__ == "__main__":
    main()
