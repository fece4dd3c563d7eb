"""A fork waits for the drivers' calls that our own threads are in, or a lock that one of them holds would stay locked in the child."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, threading, time, warnings
from clustersql import Cluster

lock, inside = threading.Lock(), threading.Event()

def hold(raw):  # as OpenSSL does in PyMySQL's connect
    with lock:
        inside.set()
        time.sleep(HOLD)

cluster = Cluster("forking", driver="sqlite3", on_connect=hold)
cluster.add_node("file", "sqlite:///:memory:")
thread = threading.Thread(target=lambda: cluster.dial())
thread.start()
inside.wait()
began = time.monotonic()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if not child:
    os._exit(0 if lock.acquire(timeout=1.0) else 1)
took = time.monotonic() - began
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), took < 5)
thread.join()
cluster.close()
"""


def ran(seconds: float) -> str:
    program = PROGRAM.replace("HOLD", str(seconds))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


@pytest.mark.parametrize("seconds", [0.1, 0.7])  # the probe dials as well, so twice that
def test_a_fork_waits_for_a_dial(seconds: float) -> None:
    assert ran(seconds) == "0 True"


def test_a_fork_does_not_wait_for_a_dial_that_hangs() -> None:
    assert ran(8.0) == "1 True", "the child cannot be helped, but the parent goes on"
