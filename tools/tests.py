"""Run all tests in several processes at the same time: most of them wait for servers.

A shard is a folder of ``tests/servers``, or a ward that needs no server; it has servers of its own, which live until its end.  What starts
Galera is one shard, whatever folder it is in: Galera's ports are fixed (those of the ancestor's config.toml).  The longest shards begin first, and
the output of each is printed when it has ended.  Usage: ``python tools/tests.py [--workers N]``; what is to be chosen is for ``python -m pytest``.
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
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
SERVERS = ROOT / "tests" / "servers"
PYTEST = [sys.executable, "-m", "pytest", "--durations=5"]
STARTS_GALERA = re.compile(r"GaleraCluster\(|galera_cluster|EncryptedGalera\(")
FIRST = ("galera", "trouble", "guarantees", "tls", "sessions", "nodes")
"""The longest shards, in this order; the others follow by their names."""
ELSEWHERE = (
    "tests/local",
    "tests/pure",
    "tests/project/simulation",
    "tests/project/test_architecture.py",
    "tests/project/test_lists.py",
)


@dataclass(frozen=True)
class Shard:
    """What one process of pytest runs."""

    name: str
    paths: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The whole command."""
        return [*PYTEST, *self.paths, *(f"--ignore={path}" for path in self.ignored)]


@dataclass(frozen=True)
class Ended:
    """How a shard ended."""

    shard: Shard
    status: int
    seconds: float
    output: IO[bytes]


def shards() -> list[Shard]:
    """Every test is in exactly one of them."""
    folders = sorted(folder for folder in SERVERS.iterdir() if any(folder.glob("test_*.py")))
    galera = [path for folder in folders for path in _starts_galera(folder)]
    found = [Shard("galera", (*map(_named, galera), "tests/project/docs"))]
    for folder in folders:
        if folder not in galera:
            inside = tuple(_named(path) for path in galera if path.parent == folder)
            found.append(Shard(folder.name, (_named(folder),), inside))
    found += [Shard(Path(path).stem, (path,)) for path in ELSEWHERE]
    order = {name: n for n, name in enumerate(FIRST)}
    return sorted(found, key=lambda shard: order.get(shard.name, len(order)))


def _starts_galera(folder: Path) -> list[Path]:
    """The whole folder where what its tests share starts Galera for them; else those of its files that do.

    ``tests/servers/tls`` has such a fixture beside others, and one file that asks for it.
    """
    files = [file for file in sorted(folder.glob("test_*.py")) if STARTS_GALERA.search(file.read_text("utf-8"))]
    shared = folder / "conftest.py"
    if shared.exists() and STARTS_GALERA.search(shared.read_text("utf-8")) and folder.name != "tls":
        return [folder]
    if folder.name == "tls":
        files = [file for file in sorted(folder.glob("test_*.py")) if "galera" in file.name]
    return files


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def main() -> int:
    """Return 0 when every shard has passed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workers", type=int, default=1 + (os.cpu_count() or 1), help="processes at the same time")
    workers = options.parse_args().workers
    ended: list[Ended] = []
    stopped = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        left = {pool.submit(_run, shard, stopped) for shard in shards()}
        while left:
            try:
                done, left = wait(left, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:  # each process has got it too, and has servers to stop
                stopped.set()
                continue
            for run in done:
                if (one := run.result()) is not None:
                    ended.append(one)
                    _show(one)
    _summary(ended)
    return max((one.status for one in ended), default=1) if not stopped.is_set() else 1


def _run(shard: Shard, stopped: threading.Event) -> Ended | None:
    if stopped.is_set():
        return None
    output, began = tempfile.TemporaryFile(), time.monotonic()  # noqa: SIM115 - `_show` closes it
    run = subprocess.run(shard.command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False)
    return Ended(shard, abs(run.returncode), time.monotonic() - began, output)


def _show(one: Ended) -> None:
    print(
        f"\n=== {one.shard.name}: {'passed' if one.status == 0 else 'FAILED'} after {one.seconds:.0f} s\n", flush=True
    )
    with one.output as output:
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()


def _summary(ended: list[Ended]) -> None:
    print("\n=== all shards")
    for one in sorted(ended, key=lambda one: -one.seconds):
        print(f"{one.seconds:6.0f} s  {'passed' if one.status == 0 else 'FAILED'}  {one.shard.name}")


if __name__ == "__main__":
    sys.exit(main())
