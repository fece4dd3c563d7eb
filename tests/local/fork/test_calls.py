"""A fork waits for the drivers' calls that our own threads are in, or a lock that one of them holds would stay locked
in the child.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from clustersql.fork import Calls
from clustersql.testing.contracts.background import until

BEGIN = """
import os, threading, time, warnings
from clustersql import Cluster

lock, inside = threading.Lock(), threading.Event()

def hold(raw):  # as OpenSSL does when PyMySQL connects, and when its connection is freed
    with lock:
        inside.set()
        time.sleep(HOLD)
"""
DIAL = """
cluster = Cluster("forking", driver="sqlite3", on_connect=hold)
cluster.add_node("file", "sqlite:///:memory:")
thread = threading.Thread(target=lambda: cluster.dial())
"""
REAP = """
cluster = Cluster("forking", driver="sqlite3", max_idle_time=0.2)
cluster.add_node("file", "sqlite:///:memory:")
cluster.driver.close = hold
thread = threading.Thread(target=lambda: cluster.open().execute("SELECT 1"))
"""
LATE = """
cluster = Cluster("forking", driver="sqlite3", connect_timeout=0.2, timeout=0.3, on_connect=lambda raw: time.sleep(0.5))
cluster.add_node("file", "sqlite:///:memory:")
cluster.driver.close = hold
warnings.simplefilter("ignore", ResourceWarning)

def dial():
    try:
        cluster.dial()
    except Exception:
        pass  # it came late

thread = threading.Thread(target=dial)
"""
END = """
thread.start()
inside.wait()
began = time.monotonic()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if not child:
    os._exit(0 if lock.acquire(timeout=1.0) else 1)
took = time.monotonic() - began
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), took < 5, flush=True)
thread.join()
cluster.close()
"""


def ran(seconds: float, what: str = DIAL) -> str:
    return output_of(BEGIN.replace("HOLD", str(seconds)) + what + END)


def output_of(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


@pytest.mark.parametrize("seconds", [0.1, 0.7])  # the probe dials as well, so twice that
def test_a_fork_waits_for_a_dial(seconds: float) -> None:
    assert ran(seconds) == "0 True"


@pytest.mark.parametrize("what", [REAP, LATE], ids=["the monitor closes", "a dial came late"])
def test_a_fork_waits_for_a_close(what: str) -> None:
    assert ran(0.4, what) == "0 True"


ENDING = """
import ctypes, os, threading, time
seen = []
os.register_at_fork(before=lambda: seen.append(os.path.exists(f"/proc/self/task/{numbers[0]}")))  # the first registered is the last called
from clustersql import Cluster

key, pthread, numbers, over = ctypes.c_uint(), ctypes.CDLL(None), [], threading.Event()
pthread.pthread_key_create(ctypes.byref(key), pthread.usleep)  # the thread's last act, as OpenSSL has one

def linger(raw):
    numbers.append(threading.get_native_id())
    pthread.pthread_setspecific(key, ctypes.c_void_p(400_000))  # microseconds

cluster = Cluster("forking", driver="sqlite3", on_connect=linger)
cluster.add_node("file", "sqlite:///:memory:")
raw = cluster.dial()
while any(thread.native_id == numbers[0] for thread in threading.enumerate()):
    time.sleep(0.001)
assert os.path.exists(f"/proc/self/task/{numbers[0]}"), "it has not lingered"
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(seen)
raw.close()
cluster.close()
"""


def test_a_fork_waits_for_the_very_end_of_a_thread() -> None:
    """Python has forgotten it, and its C libraries still clean up."""
    assert output_of(ENDING) == "[False]"


def test_who_is_waited_for_does_not_wait_for_the_fork() -> None:
    """A dial that ends may begin another one, which is counted too."""
    calls = Calls()
    ended = []

    def call() -> None:
        with calls:
            until(lambda: calls._forking)
            with calls:
                ended.append("inner")
        ended.append("outer")

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: calls._active == 1)
    calls.before()
    assert calls._active == 0, "it gave up waiting"
    assert ended[0] == "inner"
    calls.after()
    thread.join()


def test_a_fork_does_not_wait_for_a_dial_that_hangs() -> None:
    ended = "os._exit(0)\nthread.join()"  # else it would wait for each dial that is under way
    program = BEGIN.replace("HOLD", "60") + DIAL + END.replace("thread.join()", ended)
    assert output_of(program) == "1 True", "the child cannot be helped, but the parent goes on"
