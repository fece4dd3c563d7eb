"""One client's connection and the one to the server behind it: two sockets, and what waits to be sent into each."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .faults import Faults, Seen, Then

_CHUNK = 65536
_HIGH_WATER = 4 * _CHUNK  # unsent bytes for one side, above which the other side is not read


class Loop(Protocol):
    """What a link needs of the loop: `program.Program`."""

    selector: selectors.BaseSelector

    def later(self, at: float, function: Callable[[], None]) -> None:
        """Call ``function`` when the monotonic clock says ``at``."""


@dataclass(eq=False)
class End:
    """One socket of a link, with what waits to be sent into it."""

    sock: socket.socket
    out: bytearray = field(default_factory=bytearray)
    connecting: bool = False

    def write(self) -> None:
        """Send what can be sent without waiting."""
        if self.connecting:
            if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "the target refused")
            self.connecting = False
        with contextlib.suppress(BlockingIOError):
            while self.out:
                del self.out[: self.sock.send(self.out)]


class Link:
    """A connection through a proxy.  ``faults`` are the proxy's, shared by all its links and replaced by `heal`."""

    def __init__(self, sock: socket.socket, faults: Faults, loop: Loop, gone: Callable[[Link], None]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = End(sock)
        self.server: End | None = None
        self.faults, self.seen = faults, Seen()
        self.forgotten = False
        self.packets = 0  # that came from the client
        self._loop, self._gone = loop, gone
        self._held = 0  # delayed pieces under way to the client
        self._due = 0.0  # when the last of them is let go
        self._closing = False  # close when everything is sent
        self._closed = False

    def dial(self, host: str, port: int) -> None:
        """Connect to the server; the client is not read before."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server = End(sock, connecting=True)
        if sock.connect_ex((host, port)) not in (0, errno.EINPROGRESS):
            self._closing = True

    def update(self) -> None:
        """Tell the selector what this link waits for, after anything about it changed."""
        if self._closed:
            return
        client, server, deaf = self.client, self.server, self.faults.deaf
        if self._closing and not client.out and not self._held and (server is None or not server.out):
            self.close()
            return
        reading = not (deaf or self._closing or self.forgotten)
        self._interest(client, reading and server is not None and len(server.out) < _HIGH_WATER)
        if server is not None:
            self._interest(server, reading and len(client.out) < _HIGH_WATER)

    def _interest(self, end: End, read: bool) -> None:
        selector = self._loop.selector
        write = end.connecting or (bool(end.out) and not self.faults.deaf)
        events = (selectors.EVENT_READ if read and not end.connecting else 0) | (selectors.EVENT_WRITE if write else 0)
        registered = selector.get_map().get(end.sock)
        if registered is not None and registered.events == events:
            return
        if registered is not None:
            selector.unregister(end.sock)
        if events:
            selector.register(end.sock, events, lambda ready: self._ready(end, ready))

    def _ready(self, end: End, events: int) -> None:
        if self._closed:
            return  # by what happened to its other socket in this same round
        try:
            if events & selectors.EVENT_WRITE:
                end.write()
            if events & selectors.EVENT_READ:
                self._read(end)
        except OSError:
            # A broken side breaks the other one, as it came: a reset stays a reset.
            self.close(reset=not end.connecting)
            return
        self.update()

    def _read(self, end: End) -> None:
        try:
            data = end.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._closing = True
        elif end is self.client:
            assert self.server is not None  # the client is not read before
            self.packets += 1
            data, then = self.faults.asked(self.seen, data)
            self.server.out += data
            self._then(then)
        else:
            data, then = self.faults.answered(self.seen, data)
            self._answer(data)
            self._then(then)

    def _then(self, then: Then) -> None:
        if then is Then.CUT:
            self.close()
        self._closing = self._closing or then is Then.CLOSE
        self.forgotten = self.forgotten or then is Then.FORGET

    def _answer(self, data: bytes) -> None:
        """Pass an answer on, later if it is to be delayed."""
        delay, turn = self.faults.delay, self.seen.turn
        self.seen.turn = False
        if not (delay and turn) and not self._held:
            self.client.out += data
            return
        # What follows a delayed piece must not overtake it; it is let go right after it.
        self._due = max(self._due, time.monotonic() + delay if turn else 0.0)
        self._held += 1

        def release() -> None:
            self._held -= 1
            if not self._closed:
                self.client.out += data
                self.update()

        self._loop.later(self._due, release)

    def close(self, *, reset: bool = False) -> None:
        """Close both sides, in the ordinary way or by a reset."""
        if self._closed:
            return
        self._closed = True
        self._gone(self)
        for end in (self.client, self.server):
            if end is None:
                continue
            if end.sock in self._loop.selector.get_map():
                self._loop.selector.unregister(end.sock)
            if reset:
                # Linger of 0 s: close() sends RST in place of FIN.
                end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.sock.close()
