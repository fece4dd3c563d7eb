"""The guardian of a test cluster, a program of its own: ``python -I -S watchdog.py PARENT FOLDER``.

Reads lines ``pid start-time`` from its standard input.  At end of file, or when PARENT is no longer its parent, it
kills those of the processes that still run, with their children, and removes FOLDER.  Only the standard library, and
nothing of this package, since it must start fast and work in a half-broken environment.

Processes are read from ``/proc``, and where there is none (macOS) from ``ps``.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

Row = tuple[int, int, str]  # parent, session (or process group), start time


def _from_proc() -> dict[int, Row]:
    table = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                table[int(entry.name)] = _parse(Path(entry.path, "stat").read_bytes())
    return table


def _parse(line: bytes) -> Row:
    # The command's name stands in brackets and may itself hold blanks and brackets.
    fields = line[line.rindex(b")") + 2 :].split()
    # A zombie is dead: it holds no file, port or memory any more.
    return int(fields[1]), int(fields[3]), "" if fields[0] == b"Z" else fields[19].decode()


def _from_ps(*which: str) -> dict[int, Row]:
    listing = subprocess.run(
        ["ps", *(which or ["-A"]), "-o", "pid=,ppid=,pgid=,stat=,lstart="], capture_output=True, text=True, check=False
    )
    table = {}
    for line in listing.stdout.splitlines():
        pid, parent, group, state, *start = line.split()
        table[int(pid)] = (int(parent), int(group), "" if state[0] == "Z" else "-".join(start))
    return table


def family(root: int) -> list[int]:
    """The process ``root``, its descendants, and whatever else is left of the session it leads; ``root`` first."""
    table = _from_proc() if os.path.isdir("/proc/self") else _from_ps()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in table.items():
        children.setdefault(parent, []).append(pid)
    # A helper whose own parent died (a state transfer's rsync) is only found through the session.
    found = [root, *(pid for pid, (_, session, _) in table.items() if session == root and pid != root)]
    for pid in found:
        found.extend(child for child in children.get(pid, ()) if child not in found)
    return found


def started(pid: int) -> str:
    """When the process started, in the system's own words; empty when there is no such process, or a dead one."""
    if os.path.isdir("/proc/self"):
        try:
            return _parse(Path(f"/proc/{pid}/stat").read_bytes())[2]
        except OSError:
            return ""
    return _from_ps("-p", str(pid)).get(pid, (0, 0, ""))[2]


def _signal(pids: list[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signum)


def _end(processes: dict[int, str]) -> None:
    """Kill those processes that are still the ones we were told of."""
    ours = [pid for pid, since in processes.items() if since and started(pid) == since]
    for pid in ours:
        _signal(family(pid), signal.SIGCONT)
        # PostgreSQL's immediate shutdown: it gives its System V shared memory back, which SIGKILL would leak.
        _signal([pid], signal.SIGQUIT)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and any(started(pid) == processes[pid] for pid in ours):
        time.sleep(0.02)
    for pid in ours:
        if started(pid) == processes[pid]:
            _signal([pid], signal.SIGSTOP)  # no more children from now on
            _signal(family(pid), signal.SIGKILL)


def main(parent: int, folder: str) -> None:
    """Wait for the end of the parent, then clean up."""
    processes: dict[int, str] = {}
    pending = b""
    # The parent is polled as well: a child that it forked inherits the pipe, and would keep it open.
    while os.getppid() == parent:
        if select.select([0], [], [], 0.5)[0]:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                pid, _, since = line.decode().partition(" ")
                processes[int(pid)] = since
    _end(processes)
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        # A dying server may still write a file into the folder that is just being removed.
        if not os.path.exists(folder):
            break
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
