"""A driver's socket, seen from outside: is anything to be read, is it dead, wake whoever waits on it.

Everything here takes a file descriptor and opens, consumes and keeps nothing of it.
"""

from __future__ import annotations

import os
import select
import socket
import sys

from ...core.view.endpoint import HostPort, plain

IDLE = 15
"""Seconds of silence before the first keepalive probe (TCP_KEEPIDLE)."""
INTERVAL = 5
"""Seconds between keepalive probes (TCP_KEEPINTVL)."""
PROBES = 3
"""Unanswered probes that end the connection (TCP_KEEPCNT): 30 s in all for a peer that vanished while we listened."""
USER_TIMEOUT = 20_000
"""Milliseconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT, RFC 5482).  Keepalive probes are not sent
while data is on its way, so without this a statement to a vanished peer waits for the kernel's 15 minutes."""


def keep_alive(descriptor: int) -> None:
    """Ask the kernel to notice a vanished peer.  A Unix socket, or a system without an option, is left as it is."""
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", IDLE),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", INTERVAL),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", PROBES),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", USER_TIMEOUT),
    ):
        _set(descriptor, level, name, value)


def _set(descriptor: int, level: int, name: str, value: int) -> None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            twin.setsockopt(level, getattr(socket, name), value)
    except (OSError, AttributeError):
        return


def peer(descriptor: int) -> str:
    """Return the address and port at the other end, ``10.0.0.1:5432``; "": not over TCP, or not connected."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            name = twin.getpeername()
    except OSError:
        return ""
    return str(HostPort(plain(name[0]), name[1])) if isinstance(name, tuple) else ""


RECEIVED = slice(128, 136)
"""Where Linux has ``tcpi_bytes_received`` in its ``struct tcp_info`` (include/uapi/linux/tcp.h; since 4.1)."""


def received(descriptor: int) -> int | None:
    """Return how many bytes have come from the other end so far, unread ones included; None: not over TCP, or the
    system does not tell.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            told = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED.stop)
    except (OSError, AttributeError):
        return None
    return int.from_bytes(told[RECEIVED], sys.byteorder) if len(told) == RECEIVED.stop else None


LAST_DATA = slice(52, 56)
"""Where it has ``tcpi_last_data_recv``, in milliseconds."""


def silent_since(descriptor: int) -> float | None:
    """Return for how many seconds nothing has come from the other end; None: not over TCP, or the system does not
    tell.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            told = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA.stop)
    except (OSError, AttributeError):
        return None
    return int.from_bytes(told[LAST_DATA], sys.byteorder) / 1000 if len(told) == LAST_DATA.stop else None


_polls: dict[int, select.poll] = {}
"""A poll object knows a descriptor's number and nothing of what is open behind it, so one per number does for all
times."""


def is_readable(descriptor: int) -> bool:
    """Tell without waiting whether there is something to read: data, an end of file or an error."""
    poll = _polls.get(descriptor)
    if poll is None:
        poll = _polls[descriptor] = select.poll()
        poll.register(descriptor, select.POLLIN)
    try:
        return bool(poll.poll(0))
    except RuntimeError:  # another thread asks with the same object in this moment
        _polls.pop(descriptor, None)
        return is_readable(descriptor)


def peek(descriptor: int, size: int = 65_536) -> bytes:
    """Return what waits to be read, and leave it there; empty at the end of file or after an error.

    Only for a descriptor that `is_readable`: the twin shares the blocking mode with the driver's own socket.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            return twin.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


def identity(descriptor: int) -> int:
    """Return a number that no other open socket has: a descriptor's number is given away again, this is not while it
    lives.
    """
    return os.fstat(descriptor).st_ino


def is_still(descriptor: int, expected: int) -> bool:
    """Tell whether a remembered number still means the socket of the `identity` ``expected``."""
    try:
        return identity(descriptor) == expected
    except OSError:
        return False


def shut_down(descriptor: int, expected: int | None = None) -> bool:
    """Wake every thread that waits on this socket: to them the peer has hung up.  False: it is no open socket.

    The caller holds the lock that also guards closing: a remembered number may by then be a stranger's connection; with
    the `identity` ``expected`` it is checked, on the twin, so that nothing can come between.  The twin is closed at
    once, for it would keep a closed session alive on the server.
    """
    try:
        number = os.dup(descriptor)
    except OSError:
        return False
    if expected is not None and identity(number) != expected:
        os.close(number)  # it may be a file by now, of which no socket can be made
        return False
    try:
        with socket.socket(fileno=number) as twin:
            twin.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def cut_off(descriptor: int, expected: int) -> None:
    """Put a dead socket in the place of the one with this number and `identity`, in this process only: who uses it
    finds the end.

    For a forked child, which shares the socket with its parent: there even a polite goodbye would end the parent's
    session.
    """
    dead, other = socket.socketpair()
    with dead, other:
        if is_still(descriptor, expected):
            os.dup2(dead.fileno(), descriptor, inheritable=False)


def last_word(pending: bytes) -> str | None:
    """Return the SQLSTATE by which PostgreSQL ends the session, where that is among these bytes; None: it is not.

    Message formats: https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    at = 0
    while at + 5 <= len(pending):
        kind, end = pending[at : at + 1], at + 1 + int.from_bytes(pending[at + 1 : at + 5], "big")
        if kind == b"E":
            fields = {field[:1]: field[1:] for field in pending[at + 5 : end].split(b"\0")}
            return (
                fields.get(b"C", b"").decode("ascii", "replace") if fields.get(b"V") in (b"FATAL", b"PANIC") else None
            )
        if kind not in (b"A", b"N", b"S"):
            return None
        at = end
    return None


def only_news(pending: bytes) -> bool:
    """Tell whether these bytes are whole PostgreSQL messages that a healthy idle session may get: notifications,
    notices and changed parameters.  An error message (57P01) before the end of file, or half a message, is not.

    Message formats: https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    at = 0
    while at + 5 <= len(pending):
        if pending[at : at + 1] not in (b"A", b"N", b"S"):
            return False
        at += 1 + int.from_bytes(pending[at + 1 : at + 5], "big")
    return at == len(pending) and at > 0
