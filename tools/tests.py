"""Run all tests in several processes at the same time: many of them wait for servers.

A shard is a folder of ``tests/servers``, or a ward that needs no server; it has servers of its own, which live until
its end.  So what shares one Galera on ports of its own is one shard, whatever folder it is in.  The longest shards
begin first.  Each says how far it is; the whole output of one that has failed is printed when it has ended, and at the
end the time of every shard and the slowest files.  Usage: ``python tools/tests.py [--workers N] [SHARD ...]``; any
other choice is for ``python -m pytest``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
SERVERS = ROOT / "tests" / "servers"
PYTEST = [sys.executable, "-m", "pytest", "--durations=5"]
ON_GALERA = ("tests/servers/integrations", "tests/servers/cli/test_check_galera.py", "tests/project/docs")
"""They share one Galera; ``tests/servers/galera`` has another one, on the ports that the ancestor's config.toml names.
"""
FIRST = (
    "galera",
    "tls Galera",
    "tls",
    "trouble 2",
    "nodes",
    "sessions",
    "on Galera",
    "trouble 1",
    "guarantees 1",
    "guarantees 2",
    "drivers",
    "testing",
    "mysql",
    "simulation",
    "cli",
)
"""The longest shards, in this order; the others follow by their names."""
HALVED = ("trouble", "guarantees")
"""Folders that are two shards: one alone would take as long as all the rest beside it."""
APART = {"tls Galera": ("tests/servers/tls/test_galera.py",)}
"""Shards of files that have servers of their own, in a folder that is too long a shard with them."""
ELSEWHERE = (
    "tests/pure",
    "tests/project/simulation",
    "tests/project/test_architecture.py",
    "tests/project/test_lists.py",
)
WORKERS = 2 * (os.cpu_count() or 1)
"""Processes at the same time: tests wait for a quarter of their time; with more per core servers are too slow for
them now and then."""
SLOWEST = 10
"""How many files the end names."""
_PROGRESS = re.compile(rb"^(\S*).*\[ *(\d+)%\]\s*$")


@dataclass(frozen=True)
class Shard:
    """What one process of pytest runs."""

    name: str
    paths: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    def command(self, report: Path) -> list[str]:
        """The whole command; ``report`` is to tell of each test's time."""
        return [*PYTEST, f"--junit-xml={report}", *self.paths, *(f"--ignore={path}" for path in self.ignored)]


@dataclass(frozen=True)
class Ended:
    """How a shard ended."""

    shard: Shard
    status: int
    seconds: float
    cpu: float
    """Seconds of the processor, its servers' and other processes' too."""
    output: bytes
    files: Counter[str]
    """Seconds of each file's tests."""


def shards() -> list[Shard]:
    """Every test is in exactly one of them."""
    found = [Shard("on Galera", ON_GALERA), *(Shard(name, files) for name, files in APART.items())]
    elsewhere = [*ON_GALERA, *(file for files in APART.values() for file in files)]
    for folder in sorted(SERVERS.iterdir()):
        name = folder.relative_to(ROOT).as_posix()
        if any(folder.glob("test_*.py")) and name not in elsewhere:
            ignored = tuple(path for path in elsewhere if path.startswith(f"{name}/"))
            found += _halves(folder) if folder.name in HALVED else [Shard(folder.name, (name,), ignored)]
    found += _halves(ROOT / "tests" / "local")
    found += [Shard(Path(path).stem, (path,)) for path in ELSEWHERE]
    order = {name: n for n, name in enumerate(FIRST)}
    return sorted(found, key=lambda shard: order.get(shard.name, len(order)))


def _halves(folder: Path) -> list[Shard]:
    """Two shards, each with about half of what is written there."""
    halves: tuple[list[Path], list[Path]] = ([], [])
    for file in sorted(folder.rglob("test_*.py"), key=_size, reverse=True):
        min(halves, key=lambda half: sum(map(_size, half))).append(file)
    names = [tuple(sorted(file.relative_to(ROOT).as_posix() for file in half)) for half in halves]
    return [Shard(f"{folder.name} {n}", paths) for n, paths in enumerate(names, 1)]


def _size(file: Path) -> int:
    return file.stat().st_size


def main() -> int:
    """Return 0 when every shard has passed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workers", type=int, default=WORKERS, help=f"processes at the same time ({WORKERS})")
    options.add_argument("shards", nargs="*", metavar="SHARD", help="the first words of some names; default: all")
    chosen = options.parse_args()
    run = [shard for shard in shards() if not chosen.shards or shard.name.split()[0] in chosen.shards]
    if not run:
        options.error(f"no such shard; there are {', '.join(shard.name for shard in shards())}")
    ended: list[Ended] = []
    stopped = threading.Event()
    with ThreadPoolExecutor(chosen.workers) as pool:
        left = {pool.submit(_run, shard, stopped) for shard in run}
        while left:
            try:
                done, left = wait(left, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:  # each process has got it too, and has servers to stop
                stopped.set()
                continue
            for future in done:
                if (one := future.result()) is not None:
                    ended.append(one)
                    _show(one)
    _summary(ended)
    return max((one.status for one in ended), default=1) if not stopped.is_set() else 1


def _run(shard: Shard, stopped: threading.Event) -> Ended | None:
    if stopped.is_set():
        return None
    began, output, file = time.monotonic(), b"", ""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        with subprocess.Popen(
            shard.command(report), cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as run:
            assert run.stdout is not None  # made with PIPE above
            for line in run.stdout:
                output += line
                if found := _PROGRESS.match(line):
                    file = found[1].decode().rstrip(".FEsx") or file  # a long file's further lines do not name it
                    print(f"{int(found[2]):3} %  {shard.name}: {file}", flush=True)
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
        return Ended(shard, abs(run.returncode), seconds, cpu, output, _files(report))


def _environment() -> dict[str, str]:
    """Compiled modules are kept: some hundreds of programs are started here, and each would compile the whole package
    anew.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _files(report: Path) -> Counter[str]:
    seconds: Counter[str] = Counter()
    if report.exists():  # who was killed has written none
        for test in ElementTree.parse(report).iter("testcase"):
            module = re.sub(r"\.Test\w*$", "", test.get("classname", ""))
            seconds[module.replace(".", "/") + ".py"] += float(test.get("time", 0))
    return seconds


def _show(one: Ended) -> None:
    """The whole output of a shard that has failed, and of another one the last line."""
    said = one.output if one.status else one.output.splitlines(keepends=True)[-1]
    word = "FAILED" if one.status else "passed"
    print(f"\n=== {one.shard.name}: {word} after {one.seconds:.0f} s", flush=True)
    sys.stdout.buffer.write(said + b"\n")
    sys.stdout.flush()


def _summary(ended: list[Ended]) -> None:
    print("\n=== all shards: seconds, and those of the processor")
    for one in sorted(ended, key=lambda one: -one.seconds):
        print(f"{one.seconds:6.0f} s {one.cpu:6.0f} s  {'FAILED' if one.status else 'passed'}  {one.shard.name}")
    print("\n=== the slowest files")
    for file, seconds in sum((one.files for one in ended), Counter()).most_common(SLOWEST):
        print(f"{seconds:6.0f} s  {file}")


if __name__ == "__main__":
    sys.exit(main())
