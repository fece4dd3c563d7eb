"""TCP ports on loopback: free ones, one that nobody serves, one that never answers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["closed_port", "deaf_port", "free_ports"]

# Below the range from which the kernel takes the ports of outgoing connections (32768 and up, or 49152 and up).  A port
# of that range fails in two ways while its server is down: some client's connection may take it, so that the server
# cannot come back; and a client that dials a closed port of that range in a loop will one day be given that very port
# as its own and be connected to itself.
_FIRST, _LAST = 15000, 32000
_BLOCK = 100
"""Ports that a process has to itself until it ends, or another one would take the port of a server that is down."""
_random = random.SystemRandom()  # forked children must not draw the same ports


class _Ports:
    """The ports that this process may give out.  Each block of them is a locked file, which its end unlocks."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._lock = threading.Lock()
        self._files: dict[int, int] = {}  # block -> descriptor
        self._left: list[int] = []

    def next(self) -> int:
        """Return one that nobody listens on, and that was not given out before, as long as there are others."""
        with self._lock:
            while True:
                if not self._left:
                    self._left = self._block() or self._again()
                port = self._left.pop()
                if _free(port):
                    return port

    def _block(self) -> list[int]:
        """Return the ports of a block that no process has; empty: there is none."""
        directory = Path(f"/tmp/clustersql-ports-{os.getuid()}")
        directory.mkdir(mode=0o700, exist_ok=True)
        blocks = [first for first in range(_FIRST, _LAST, _BLOCK) if first not in self._files]
        for first in _random.sample(blocks, len(blocks)):
            file = os.open(directory / str(first), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                continue
            self._files[first] = file
            return _random.sample(range(first, first + _BLOCK), _BLOCK)
        return []

    def _again(self) -> list[int]:
        ports = [port for first in self._files or range(_FIRST, _LAST, _BLOCK) for port in range(first, first + _BLOCK)]
        return _random.sample(ports, len(ports))


_ports = _Ports()


def free_ports(count: int) -> list[int]:
    """``count`` ports of 127.0.0.1 that nobody listens on, not given out before in this process, nor in another one."""
    global _ports
    if _ports.process != os.getpid():  # a fork: its parent's blocks are the parent's
        _ports = _Ports()
    return [_ports.next() for _ in range(count)]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a connection in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def closed_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Within the block: a port that the kernel accepts on and nobody serves, like a frozen server's."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(8)
        yield sock.getsockname()[1]
