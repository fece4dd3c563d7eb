"""Server processes of a test cluster: start, stop, freeze and kill them, by process id and nothing else.

Two rules, obeyed by every cluster here:

* a process is signalled only while its start time is the one seen when we started it, so a recycled process id is
  never hit;
* nothing outlives the program.  A small `watchdog` process holds the other end of a pipe; when the program dies, even
  by SIGKILL, it kills what is still running and removes the temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .watchdog import family, started

__all__ = [
    "Account",
    "Process",
    "StartError",
    "Watchdog",
    "account",
    "make_directory",
    "reachable",
    "run",
    "spawn",
    "tail",
    "wait_until",
]


class StartError(RuntimeError):
    """A server or its tools are missing, or it did not start.  The message says what to install or what it logged."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that servers run under; ``uid`` is None to stay who we are."""

    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Give ``path`` to this user, if it is another one than ours."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account(*preferred: str) -> Account:
    """The user to run a server under: ourselves, or, as root, the first of ``preferred`` that exists, else nobody.

    PostgreSQL and MariaDB refuse to run as root.
    """
    if os.geteuid() != 0:
        return Account()
    for name in (*preferred, "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise StartError("running as root, and there is no unprivileged user such as 'nobody' to run a server under")


def reachable(path: Path, who: Account) -> bool:
    """Whether ``who`` may walk down to ``path`` and read it, by the permission bits."""
    if who.uid is None:
        return os.access(path, os.R_OK)
    for step in (path, *path.parents):
        try:
            facts = step.stat()
        except OSError:
            return False
        owner, group = facts.st_uid == who.uid, facts.st_gid == who.gid
        bit = stat.S_IXUSR if owner else stat.S_IXGRP if group else stat.S_IXOTH
        if step.is_dir() and not facts.st_mode & bit:
            return False
    return True


def make_directory(who: Account, parent: str | os.PathLike[str] | None, prefix: str) -> Path:
    """Make a fresh folder below ``parent`` (default: the system's temporary folder) that belongs to ``who``.

    Raises `StartError` when the user could not reach a folder in ``parent``.
    """
    candidates = [Path(parent)] if parent is not None else [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    for candidate in candidates:
        if reachable(candidate.resolve(), who):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=candidate.resolve()))
            who.own(folder)
            return folder
    raise StartError(
        f"{candidates[0]} cannot be reached by the user (uid {who.uid}) the server must run under; "
        "give another directory, or make it and all folders above it searchable (chmod o+x)"
    )


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 30.0, every: float = 0.01) -> None:
    """Poll ``condition`` each ``every`` seconds until true; raise `StartError` naming ``what`` after ``timeout`` s."""
    began = time.monotonic()
    deadline = began + timeout
    while not condition():
        if (now := time.monotonic()) > deadline:
            raise StartError(f"{what}: not within {timeout:g} s")
        # A look that dials a server takes as long as the pause: it must not take the processor from what it waits for.
        time.sleep(max(every, min(3 * (now - began), 0.2)))
        began = time.monotonic()


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, for error messages."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def run(command: Sequence[object], who: Account, *, env: dict[str, str] | None = None, timeout: float = 120) -> str:
    """Run a server's tool to its end under ``who`` and return what it printed; raise `StartError` when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # The working folder of the caller may be closed to the other user, and some tools then fail.
        cwd="/",
        env=_environment(env),
        user=who.uid,
        group=who.gid,
        extra_groups=None if who.uid is None else [],
        timeout=timeout,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise StartError(f"{command[0]} failed with status {done.returncode}:\n{output[-3000:]}")
    return output


def spawn(command: Sequence[str | Path], who: Account, log: Path, *, env: dict[str, str] | None = None) -> Process:
    """Start a server under ``who`` in a session of its own, writing to ``log``."""
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(env),
            user=who.uid,
            group=who.gid,
            extra_groups=None if who.uid is None else [],
            # Else a Ctrl-C at the terminal would reach the servers before the tests could say anything about it.
            start_new_session=True,
        )
    return Process(popen)


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    # PGHOST, PGOPTIONS and the like of the caller must not steer our servers' tools.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MYSQL_", "MARIADB_"))}
    return kept | {"LC_ALL": "C"} | (extra or {})


def stands_still(pid: int) -> bool:
    """Tell whether every thread of a process is stopped (proc(5): the state T), or has ended."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # the whole process has
        return True
    return all(_state(thread) in "TtZX" for thread in threads)


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has ended in between
        return "X"


class Process:
    """One running server: its main process and the children that it forked."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.started = started(popen.pid)

    def __repr__(self) -> str:
        return f"<Process {self.pid} {'running' if self.running else 'ended'}>"

    @property
    def running(self) -> bool:
        """Whether the main process runs (a frozen one does)."""
        return self._popen.poll() is None

    def freeze(self) -> None:
        """SIGSTOP the main process and all its children, and wait until every thread of them stands still: on a busy
        machine another one goes on answering until the one that was given the signal has its turn.
        """
        # The main process first: it could fork one more child while we stop the others.
        self._signal([self.pid], signal.SIGSTOP)
        members = family(self.pid)
        self._signal(members, signal.SIGSTOP)
        wait_until(lambda: all(map(stands_still, members)), "the threads of a frozen server stand still", every=0.001)

    def thaw(self) -> None:
        """SIGCONT the main process and all its children."""
        self._signal(family(self.pid), signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the main process and all its children, and wait until they are gone."""
        self._signal([self.pid], signal.SIGSTOP)
        members = family(self.pid)
        born = {pid: started(pid) for pid in members}
        self._signal(members, signal.SIGKILL)
        self._popen.wait()
        # The children are init's now.  A caller who restarts the server at once would find its memory still in use.
        wait_until(lambda: not any(born[p] and started(p) == born[p] for p in members), "the killed server's children")

    def terminate(self, signum: int, timeout: float) -> None:
        """End the server in an orderly way by ``signum``; kill it when it has not ended after ``timeout`` seconds."""
        self.thaw()
        self._signal([self.pid], signum)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, pids: Iterable[int], signum: int) -> None:
        if not self.running:
            return
        for pid in pids:
            # A child may end between the listing and the signal.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


class Watchdog:
    """The guardian process: removes what is left when this program dies without cleaning up.

    A pipe and a separate process, not PR_SET_PDEATHSIG: that signal is bound to the *thread* that forked, so a server
    started from a short-lived thread would be killed when the thread ends.
    """

    def __init__(self, folder: Path) -> None:
        self._popen = subprocess.Popen(
            # -I -S: nothing of the caller's environment is imported, and it starts in 10 ms.
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py")), str(os.getpid()), str(folder)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )

    def watch(self, process: Process) -> None:
        """Kill this process too."""
        pipe = self._popen.stdin
        assert pipe is not None  # made with PIPE above
        pipe.write(f"{process.pid} {process.started}\n".encode())
        pipe.flush()

    def close(self) -> None:
        """End the guardian: it kills what is still running and removes the folder.  May be called again."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
        self._popen.wait(30)


def remove(folder: Path) -> None:
    """Remove a folder and all it holds, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)
