"""What all tests share."""

from __future__ import annotations

import gc
import os
import re
import shutil
import tempfile
from pathlib import Path

import hypothesis

# Servers that are fetched stay in the tree, where git does not see them, and are there for the next run.
os.environ.setdefault("CLUSTERSQL_SERVERS", str(Path(__file__).parents[1] / ".servers"))

MEMORY = Path("/dev/shm")
ENOUGH = 8 << 30
"""Bytes that must be free there, and as memory: several processes have servers at the same time, of some 100 MB each."""


def in_memory() -> bool:
    """Whether servers can have their data in memory: on a disk a good part of the tests' work is that of its files."""
    if os.environ.get("TMPDIR") or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH:
        return False
    # A server that its user cannot reach is copied to where its data are, and executed there.
    may_execute = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    [kilobytes] = re.findall(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return may_execute and int(kilobytes) << 10 > ENOUGH


if in_memory():
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # pytest has asked for it already

# A deadline per example would be an assertion of speed: on a busy machine it fails, and says nothing of what is tested.
hypothesis.settings.register_profile("clustersql", deadline=None)
hypothesis.settings.load_profile("clustersql")

# Some drivers read the system's whole store of authorities whenever they dial, encrypted or not: 30 ms of work each time, which was a good part of
# these tests' time.  Nobody here is certified by one of them.
os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull


def pytest_collection_finish() -> None:
    """What is there now stays until the end: tests that ask what is garbage need not have all of it looked through."""
    gc.collect()
    gc.freeze()
