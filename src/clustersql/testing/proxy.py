"""A TCP proxy that fails on demand: what a network, or a server behind it, can do to a client.

It works in a process of its own (`clustersql.testing.relay`).  A verb returns when it was carried out there, so its
effect is complete when it returns.
"""

from __future__ import annotations

import itertools
import re
from types import TracebackType
from typing import Any, Literal, Self

from .channel import order
from .ports import free_ports

__all__ = ["FaultProxy"]

Direction = Literal["answers", "queries"]

_numbers = itertools.count()


class FaultProxy:
    """A TCP proxy on 127.0.0.1 in front of ``target_port``.

        with FaultProxy(cluster.port("n1")) as proxy:
            conn = psycopg.connect(host="127.0.0.1", port=proxy.port, ...)
            proxy.cut_on(b"COMMIT", before=False)

    It works in a process of its own, one for all proxies of the program, which ends with it: so that also a driver
    which holds Python's global lock while it waits is served.

    Patterns see the bytes on the wire, so they do not match inside TLS.  A server that refuses the connection looks
    like one that accepts and closes: the proxy has accepted by then.

    Args:
        target_port: where to forward; the attribute may be changed, for connections to come.
        host: the target's host.
        port: where to listen; default: a free one.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.host = host
        self.port = port or free_ports(1)[0]
        self._number = next(_numbers)
        self._listening = False
        self.target_port = target_port

    def __repr__(self) -> str:
        state = "listening" if self._listening else "stopped"
        return f"<FaultProxy :{self.port} -> {self.host}:{self.target_port} {state}, {self.connections} connections>"

    def __enter__(self) -> Self:
        """Start listening."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def target_port(self) -> int:
        """Where connections to come are forwarded; may be changed."""
        return self._target_port

    @target_port.setter
    def target_port(self, port: int) -> None:
        self._target_port = port
        self._order("aim", self.host, port)

    def balance(self, *ports: int) -> None:
        """Forward connections to come to these ports of the target's host, to one after the other.

        As an address behind which there are several servers.  `target_port` is the first of them from now on.
        """
        if not ports:
            raise ValueError("balance() needs a port at least")
        self._target_port = ports[0]
        self._order("aim", self.host, *ports)

    @property
    def accepted(self) -> int:
        """How many connections were accepted, ever."""
        return int(self._order("count")[0])

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return int(self._order("count")[1])

    @property
    def packets(self) -> int:
        """How many packets came from clients, ever."""
        self._order("count")  # what is there already is read in this round of the loop, before the next order
        return int(self._order("count")[2])

    def _order(self, verb: str, *arguments: object) -> Any:
        return order(self._number, verb, *arguments)

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen.  Does nothing when it already does.  Raises OSError when the port is taken."""
        self._order("start", self.port)
        self._listening = True

    def stop(self) -> None:
        """Close every connection and refuse new ones.  Faults that were ordered stay ordered."""
        self._listening = False
        self._order("stop")

    def restart(self) -> None:
        """Close every connection, refuse for a moment, listen again on the same port."""
        self.stop()
        self.start()

    def heal(self) -> None:
        """Call off every fault; listen again if stopped.  Connections that still live go on."""
        self._order("heal")
        self.start()

    def reset(self) -> None:
        """Reset (RST) every live connection, on both sides; new ones are served."""
        self._order("reset")

    def deaf(self, on: bool = True) -> None:
        """Go silent: connections are accepted, and old ones kept, but nothing passes.  Off: what was held passes."""
        self._order("deaf", on)

    def delay(self, seconds: float) -> None:
        """Hold each answer of the server for so long, its greeting included; 0 ends that.

        It is latency, not bandwidth: an answer of many packets is delayed once.
        """
        self._order("delay", seconds)

    def cut_after(self, size: int, direction: Direction = "answers", *, count: int = 1) -> None:
        """Let ``size`` more bytes pass on each connection, then cut it; the first ``count`` that get there, no others.

        Args:
            size: bytes that still pass.  On connections to come they count from the start, the login included.
            direction: which bytes count: the server's ``"answers"`` or the client's ``"queries"``.
            count: how many connections are cut.
        """
        if direction not in ("answers", "queries"):
            raise ValueError(f"direction must be 'answers' or 'queries', not {direction!r}")
        self._order("cut_after", size, direction, count)

    def cut_on(self, pattern: bytes, *, before: bool, count: int = 1) -> None:
        r"""Cut the connection on which the client sends bytes that match a regular expression.

        Args:
            pattern: searched in the client's stream (case counts; ``(?i)`` ends that), over packets' borders too,
                for matches of up to 1024 bytes.
            before: cut before the server received that packet, so what was asked did not happen.  False: hand it on,
            wait
                until the server begins to answer, so it has happened, and cut without passing the answer.  Wants a
                client that sends a statement whole before it awaits an answer, as psycopg and PyMySQL do; one that
                prepares first (asyncpg with parameters) is cut after the preparation.
            count: how many times.
        """
        self._cut_on(pattern, before, count, silently=False)

    def forget_on(self, pattern: bytes, *, before: bool, count: int = 1) -> None:
        """Be a NAT that forgets the connection on which ``pattern`` is sent: from then on nothing passes, and neither
        side hears of it.

        The arguments are those of `cut_on`: with ``before`` the server does not get that packet, else it does and its
        answer is lost.  Other connections, also new ones, go on.  `heal` closes what was forgotten.
        """
        self._cut_on(pattern, before, count, silently=True)

    def _cut_on(self, pattern: bytes, before: bool, count: int, *, silently: bool) -> None:
        re.compile(pattern)  # a mistake in it is told here
        self._order("cut_on", pattern.decode("latin-1"), before, count, silently)

    def close_on_accept(self, on: bool = True) -> None:
        """Be a node that accepts and at once closes.  Connections that already live go on."""
        self._order("close_on_accept", on)
