"""A network of its own for servers, whose router drops packets on command: a black hole below TCP, which no proxy can
be.

Two network namespaces of Linux: the servers' and a router's.  The router forgets a port, or one connection, by a rule
of its policy routing (``ip rule ... blackhole``), which drops without an answer and needs no packet filter to be
installed.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from .processes import StartError

__all__ = ["Network"]

P = ParamSpec("P")
T = TypeVar("T")

_NEWNET = 0x40000000  # CLONE_NEWNET of sched.h
_serial = itertools.count()
_random = random.SystemRandom()  # other processes draw networks as well


class Network:
    """A network behind a router that drops packets on command.  Linux only, as root, with the program ``ip``
    (iproute2).

        with Network() as network, PostgresCluster(network=network) as cluster:
            psycopg.connect(cluster.dsn("n1"))
            network.drop(cluster.port("n1"))                # silence, as after a pulled cable

    Its addresses are of 198.18.0.0/15, which RFC 2544 keeps free for tests.
    """

    def __init__(self) -> None:
        self._name = f"cs{os.getpid():x}{next(_serial)}"
        number = _random.randrange(2**14)
        base = f"198.{18 + number // 2**13}.{number // 32 % 256}"
        first = number % 32 * 8
        self._client, self._near, self._far, self.host = (f"{base}.{first + each}" for each in (1, 2, 5, 6))
        self._subnet = f"{base}.{first + 4}/30"
        self._inside: ThreadPoolExecutor | None = None
        self._dropped: list[tuple[str, ...]] = []

    def __repr__(self) -> str:
        return f"<Network {self.host} {'up' if self._inside else 'down'}, {len(self._dropped) // 2} drops>"

    @staticmethod
    def obstacle() -> str:
        """Return in words why this machine can have none; empty: it can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        if shutil.which("ip") is None:
            return "no program ip (Debian: apt-get install iproute2)"
        name = f"cs{os.getpid():x}t"
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        if made.returncode:
            return f"no network namespace can be made: {made.stderr.strip()}"
        _ip("netns", "del", name)
        return ""

    def __enter__(self) -> Self:
        """Make the namespaces, their links and routes."""
        router, servers = f"{self._name}r", f"{self._name}s"
        try:
            for name in (router, servers):
                _ip("netns", "add", name)
            _ip("link", "add", self._name, "type", "veth", "peer", "name", "near", "netns", router)
            _ip("-n", router, "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", servers)
            for where, device, address in (
                ([], self._name, self._client),
                (["-n", router], "near", self._near),
                (["-n", router], "far", self._far),
                (["-n", servers], "eth0", self.host),
            ):
                _ip(*where, "addr", "add", f"{address}/30", "dev", device)
                _ip(*where, "link", "set", device, "up")
            _ip("-n", servers, "link", "set", "lo", "up")
            _ip("-n", servers, "route", "add", "default", "via", self._far)
            _ip("route", "add", self._subnet, "via", self._near)
            _ip("netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self._inside = ThreadPoolExecutor(1, "network", _enter, (servers,))
            self._inside.submit(int).result()  # else it would only show in the first `run`
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it all."""
        self.close()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` in there: its sockets, the threads and the processes that it starts belong to this network.

        One at a time, and never from within another.
        """
        if self._inside is None:
            raise StartError("the network is not up: use it as a context manager")
        return self._inside.submit(function, *args, **kwargs).result()

    def drop(self, port: int, client_port: int | None = None) -> None:
        """Let nothing pass any more from and to the servers' ``port``, in silence.

        ``client_port``: only of the connection whose other end has this port, as a NAT that forgot it.
        """
        client = () if client_port is None else (str(client_port),)
        there = ("dport", str(port), *(("sport", *client) if client else ()))
        back = ("sport", str(port), *(("dport", *client) if client else ()))
        for flow in (there, back):
            _ip("-n", f"{self._name}r", "rule", "add", "ipproto", "tcp", *flow, "blackhole")
            self._dropped.append(flow)

    def heal(self) -> None:
        """Let everything pass again; TCP sends anew what was lost, if the connections are still there."""
        while self._dropped:
            _ip("-n", f"{self._name}r", "rule", "del", "ipproto", "tcp", *self._dropped.pop(), "blackhole")

    def close(self) -> None:
        """Remove the namespaces; stop the servers first.  Twice does no harm."""
        if self._inside is not None:
            self._inside.shutdown()
            self._inside = None
        self._dropped.clear()
        for end in "rs":
            subprocess.run(["ip", "netns", "del", self._name + end], stderr=subprocess.DEVNULL, check=False)


def _enter(namespace: str) -> None:
    """Move the calling thread, and it alone, to a namespace; what it starts from now on is born there."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns is of Python 3.12
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), _NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {namespace} failed")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"ip {' '.join(words)}: {done.stderr.strip()}")
