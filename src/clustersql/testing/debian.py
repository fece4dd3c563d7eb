"""Programs of a newer Debian than this machine's, unpacked into a cache folder: no root, no chroot, nothing installed.

They come from the mirror that apt is configured for, verified by apt, and run by their own loader with their own
libraries.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import Account, StartError, reachable

__all__ = ["Unpacked", "cache_folder", "once", "unpacked"]

_SUITE = "sid"
_MARK = "complete"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TARGET = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)"
_SECONDS = 300.0
"""How long one call of apt may take."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A tree of unpacked packages."""

    root: Path
    """What would be ``/`` were they installed."""

    def command(self, program: str) -> list[str]:
        """Return how to run ``program``, a path below the root, by the tree's own loader: this machine's may be too
        old.
        """
        [loader] = self.root.glob("usr/lib/*/ld-linux*.so.*")
        return [str(loader), "--library-path", str(loader.parent), str(self.root / program)]


def cache_folder(who: Account) -> Path:
    """Return the folder that keeps what was fetched: ``$CLUSTERSQL_SERVERS``, or the user's own cache.

    Where ``who`` must read there and may not (a home folder that is closed, and servers that do not run as root), it is
    one in ``/var/tmp``, which must be ours.
    """
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    wanted = Path(os.environ.get("CLUSTERSQL_SERVERS") or Path(home) / "clustersql")
    wanted.mkdir(parents=True, exist_ok=True)
    if reachable(wanted, who):
        return wanted
    shared = Path(f"/var/tmp/clustersql-{os.getuid()}")
    shared.mkdir(mode=0o755, exist_ok=True)
    if shared.is_symlink() or shared.stat().st_uid != os.getuid():
        raise StartError(f"{shared} belongs to somebody else; name another folder in CLUSTERSQL_SERVERS")
    return shared


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return ``folder``, made by ``make`` where it is not there yet; whoever comes meanwhile waits for it.

    It appears whole or not at all: a download that broke off leaves nothing that would be taken for a server.
    """
    with _locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
            made.chmod(0o755)
            try:
                make(made)
                (made / _MARK).touch()
                made.rename(folder)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpacked(packages: Sequence[str], who: Account) -> Unpacked:
    """Return the tree of these packages and of all that they need, fetched the first time (some 60 MB for MySQL).

    Raises `StartError` where there is no apt, no mirror of Debian in its configuration, or no network.
    """
    name = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = cache_folder(who) / f"{packages[0]}-{name}"
    return Unpacked(once(folder, lambda made: _fetch(made, packages)) / "root")


def _fetch(folder: Path, packages: Sequence[str]) -> None:
    work = folder / "apt"
    options = _own_apt(work)
    _run(["apt-get", *options, "-q", "update"], work, packages)
    tree = ["apt-cache", *options, "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]
    told = _run([*tree, "--no-breaks", "--no-replaces", "--no-enhances", *packages], work, packages)
    # Names that begin a line are packages; those in <> are virtual.
    names = sorted(set(re.findall(r"^[a-z0-9][^\s:]*", told, re.MULTILINE)))
    _run(["apt-get", *options, "-q", "download", *names], work / "debs", packages)
    for package in sorted((work / "debs").glob("*.deb")):
        _run(["dpkg", "--extract", str(package), str(folder / "root")], work, packages)
    shutil.rmtree(work)
    for useless in ("usr/bin", "usr/share/doc", "usr/share/man", "usr/share/locale", "var"):
        shutil.rmtree(folder / "root" / useless, ignore_errors=True)


def _own_apt(work: Path) -> list[str]:
    """Return the options by which apt works in ``work`` and leaves the system's state alone."""
    for part in ("lists/partial", "cache/archives/partial", "debs"):
        (work / part).mkdir(parents=True)
    source = work / "sources.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {_SUITE} main\n")
    settings = {
        "Dir::Etc::sourcelist": source,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        # As root it would read and write as the user _apt, who may not come to this folder.
        "APT::Sandbox::User": getpass.getuser(),
        "Acquire::Retries": 3,
    }
    return [f"-o{name}={value}" for name, value in settings.items()]


def _mirror() -> str:
    """Return the address of the Debian archive that apt is configured for, whatever form its sources are in."""
    try:
        told = _run(["apt-get", "indextargets", "--format", _TARGET, "Created-By: Packages"], Path("/"), ())
    except StartError:
        told = ""
    # An origin is told only by lists that were fetched once: else its place-holder stays, and ends with a parenthesis.
    targets = [line.split("|") for line in told.splitlines() if line.count("|") == 3]
    mirrors = [
        address
        for address, suite, component, origin in targets
        if component == "main" and "security" not in suite and (origin == "Debian" or origin.endswith(")"))
    ]
    if not mirrors or not Path(_KEYRING).exists():
        raise StartError(
            f"no MySQL server: it is fetched from Debian's {_SUITE}, by the mirror that apt is configured for, and"
            " apt-get indextargets tells of none (or debian-archive-keyring is not installed)"
        )
    return mirrors[0]


def _run(command: Sequence[str], folder: Path, packages: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise StartError(f"{' '.join(packages)} cannot be fetched: {command[0]}: {exc}") from exc
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise StartError(f"{' '.join(packages)} cannot be fetched: {command[0]} failed:\n{output[-2000:]}")
    return output
