"""TCP ports on loopback: free ones, one that nobody serves, one that never answers."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

__all__ = ["closed_port", "deaf_port", "free_ports"]

# Below the range from which the kernel takes the ports of outgoing connections (32768 and up, or 49152 and up).  A port
# of that range fails in two ways while its server is down: some client's connection may take it, so that the server
# cannot come back; and a client that dials a closed port of that range in a loop will one day be given that very port
# as its own and be connected to itself.
_FIRST, _LAST = 15000, 32000
_given: set[int] = set()
_random = random.SystemRandom()  # forked children must not draw the same ports


def free_ports(count: int) -> list[int]:
    """``count`` ports of 127.0.0.1 that nobody listens on, never given out before in this process."""
    ports: list[int] = []
    while len(ports) < count:
        port = _random.randrange(_FIRST, _LAST)
        if port not in _given and _free(port):
            _given.add(port)
            ports.append(port)
    return ports


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
