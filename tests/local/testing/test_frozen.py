"""A server of the tests that is frozen: all its threads stand still when `freeze` returns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.waiting import eventually

from clustersql.testing.processes import Account, spawn, stands_still

BUSY = """
import threading, pathlib, sys
def work():
    while True:
        sum(range(1000))
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
pathlib.Path(sys.argv[1]).touch()
work()
"""


def test_every_thread_stands_still_at_once(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = spawn([sys.executable, "-c", BUSY, ready], Account(None, None), tmp_path / "log")
    try:
        assert eventually(ready.exists)
        for _ in range(20):
            assert not stands_still(process.pid)
            process.freeze()
            assert stands_still(process.pid)
            process.thaw()
            assert eventually(lambda: not stands_still(process.pid))
    finally:
        process.kill()
    assert stands_still(process.pid), "it has ended"
    assert not stands_still(os.getpid())
