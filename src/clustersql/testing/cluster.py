"""What the test clusters of every database have in common: nodes by name, and the verbs that act on their processes."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .certificates import make_certificates
from .processes import Account, Process, StartError, Watchdog, make_directory

__all__ = ["BaseCluster"]

PASSWORD = "secret"  # of throw-away servers on loopback, and part of the documented DSN


class BaseCluster:
    """Servers on 127.0.0.1 with names n1, n2, ...; a subclass knows how to start one and how to put it in order.

    All verbs are thread-safe with respect to each other only as far as they act on different nodes.
    """

    scheme = ""
    """The URL scheme of `dsn`."""

    def __init__(
        self, count: int, account: Account, directory: str | os.PathLike[str] | None, ports: Sequence[int], tls: bool
    ) -> None:
        if count < 1 or len(ports) != count:
            raise ValueError(f"a cluster needs at least one node, and a port for each (nodes={count}, ports={ports})")
        self._ports = {f"n{index}": port for index, port in enumerate(ports, 1)}
        self._account = account
        self._parent = directory
        self._tls = tls
        self._base: Path | None = None
        self._watchdog: Watchdog | None = None
        self._processes: dict[str, Process] = {}
        self._frozen: set[str] = set()
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        states = ", ".join(f"{name}:{port} {self.state(name)}" for name, port in self._ports.items())
        return f"<{type(self).__name__} {states}>"

    def __enter__(self) -> Self:
        """Start every node."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything and remove the data."""
        self.close()

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes: n1, n2, ..."""
        return list(self._ports)

    @property
    def directory(self) -> Path:
        """The cluster's own temporary folder: data, logs (``n1.log``, ...), certificates.  Removed by `close`."""
        if self._base is None:
            raise StartError(f"{type(self).__name__} has not been started")
        return self._base

    @property
    def ca_file(self) -> str:
        """The certificate of the authority that signed the servers' certificate, in PEM.  Only with ``tls=True``."""
        if not self._tls:
            raise ValueError("this cluster was made without tls=True")
        return str(self.directory / "tls" / "ca.pem")

    def port(self, name: str = "n1") -> int:
        """The node's TCP port on 127.0.0.1, the same for the cluster's whole life."""
        try:
            return self._ports[name]
        except KeyError:
            raise ValueError(f"no node {name!r}; there are {', '.join(self._ports)}") from None

    def dsn(self, name: str = "n1") -> str:
        """The URL of database ``app`` on the node, for the unprivileged user ``app``."""
        return f"{self.scheme}://app:{PASSWORD}@127.0.0.1:{self.port(name)}/app"

    def state(self, name: str) -> str:
        """``running``, ``frozen`` or ``down``; asks the operating system, not the server."""
        self.port(name)
        process = self._processes.get(name)
        if process is None or not process.running:
            return "down"
        return "frozen" if name in self._frozen else "running"

    def pid(self, name: str) -> int | None:
        """The process id of the node's main process, or None when it is down."""
        return None if self.state(name) == "down" else self._processes[name].pid

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self, name: str | None = None) -> None:
        """Start one node, or the whole cluster; a node that runs is left alone."""
        raise NotImplementedError

    def stop(self, name: str | None = None) -> None:
        """Stop one node, or the whole cluster, in an orderly way.  The data stay; `start` brings them back."""
        for each in reversed(self.nodes) if name is None else [name]:
            if self.state(each) != "down":
                self._stop(each)
                self._frozen.discard(each)

    def kill(self, name: str) -> None:
        """End the node at once, as a crash does (SIGKILL to its whole family of processes); returns when it is gone."""
        if self.state(name) != "down":
            self._processes[name].kill()
            self._frozen.discard(name)

    def freeze(self, name: str) -> None:
        """Hang the node (SIGSTOP): its port still accepts, since the kernel does that, but nothing answers."""
        if self.state(name) == "running":
            self._frozen.add(name)
            self._processes[name].freeze()

    def thaw(self, name: str) -> None:
        """End a `freeze`; the node goes on where it was."""
        if self.state(name) == "frozen":
            self._processes[name].thaw()
            self._frozen.discard(name)

    def execute(self, name: str, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the node as its administrator, in autocommit; return the rows, if it gives any."""
        raise NotImplementedError

    def set_read_only(self, name: str, on: bool = True) -> None:
        """Make the node refuse writes of ordinary users, or accept them again."""
        raise NotImplementedError

    def heal(self) -> None:
        """Put every node back in order: running, thawed, writable, replicating.  Quick when nothing is wrong."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop all that runs and remove the folder.  May be called again; the cluster can then be started anew,
        empty.
        """
        # In a forked child the servers are the parent's: not ours to stop.
        if self._watchdog is None or os.getpid() != self._owner:
            return
        watchdog, self._watchdog, self._base = self._watchdog, None, None
        # The guardian kills faster than the servers would stop, and removes the folder.
        watchdog.close()
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        self._frozen.clear()

    # -- for the subclasses -----------------------------------------------------------------------------------------

    def _prepare(self, prefix: str) -> bool:
        """Make the folder, its guardian and the certificates; whether they had to be made."""
        if self._base is not None:
            return False
        self._base = make_directory(self._account, self._parent, prefix)
        self._watchdog = Watchdog(self._base)
        if self._tls:
            make_certificates(self._base / "tls", self._account)
        return True

    def _register(self, name: str, process: Process) -> None:
        watchdog = self._watchdog
        if watchdog is None:
            process.kill()
            raise StartError("the cluster was closed while a node was starting")
        watchdog.watch(process)
        self._processes[name] = process
        self._frozen.discard(name)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _stop(self, name: str) -> None:
        raise NotImplementedError

    def _others(self, name: str) -> list[str]:
        return [other for other in self._ports if other != name]

    def _wipe(self, folder: Path) -> None:
        # Not best effort: what is left of old data would be mixed with the new.
        if folder.exists():
            shutil.rmtree(folder)
