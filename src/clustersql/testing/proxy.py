"""A TCP proxy that fails on demand: what a network, or a server behind it, can do to a client.

One thread runs a selector loop that owns every socket.  A verb hands the loop a function and returns when it was run, so
its effect is complete when it returns.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import re
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from .ports import free_ports

__all__ = ["FaultProxy"]

_CHUNK = 65536
_HIGH_WATER = 4 * _CHUNK  # unsent bytes for one side, above which the other side is not read
_TAIL = 1024  # bytes kept to find a pattern that straddles packets

Direction = Literal["answers", "queries"]


@dataclass(eq=False)
class _End:
    """One socket of a connection, with what waits to be sent into it."""

    sock: socket.socket
    out: bytearray = field(default_factory=bytearray)
    connecting: bool = False


@dataclass(eq=False)
class _Link:
    """A client's connection and the one to the server behind it."""

    client: _End
    server: _End | None = None
    tail: bytes = b""
    passed: dict[Direction, int] = field(default_factory=lambda: {"answers": 0, "queries": 0})
    turn: bool = True  # the server has yet to answer: what it sends next is an answer's first byte
    held: int = 0  # delayed pieces under way to the client
    due: float = 0.0  # when the last of them is let go
    drop_answer: bool = False
    forgotten: bool = False  # nothing passes any more, in silence
    closing: bool = False  # close when everything is sent
    closed: bool = False


@dataclass(eq=False)
class _CutOn:
    pattern: re.Pattern[bytes]
    before: bool
    count: int
    silently: bool = False
    """The connection is not cut but forgotten: nothing passes any more, and neither side hears of it."""


@dataclass(eq=False)
class _CutAfter:
    size: int
    direction: Direction
    count: int
    # What each connection had passed when the order was given; those that come later start from zero.
    since: dict[_Link, int]


class FaultProxy:
    """A TCP proxy on 127.0.0.1 in front of ``target_port``.

        with FaultProxy(cluster.port("n1")) as proxy:
            conn = psycopg.connect(host="127.0.0.1", port=proxy.port, ...)
            proxy.cut_on(b"COMMIT", before=False)

    Patterns see the bytes on the wire, so they do not match inside TLS.  A server that refuses the connection looks like
    one that accepts and closes: the proxy has accepted by then.

    Args:
        target_port: where to forward; the attribute may be changed, for connections to come.
        host: the target's host.
        port: where to listen; default: a free one.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.target_port = target_port
        self.host = host
        self.port = port or free_ports(1)[0]
        self.accepted = 0
        """How many connections were accepted, ever."""
        self._links: set[_Link] = set()
        self._orders: deque[tuple[Callable[[], object], Future[None]]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._clear()

    def __repr__(self) -> str:
        state = "listening" if self._thread else "stopped"
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
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._links)

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen.  Does nothing when it already does."""
        if self._thread:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda events: None)
        self._running = True
        self._thread = threading.Thread(target=self._loop, name=f"FaultProxy:{self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and refuse new ones.  Faults that were ordered stay ordered."""
        thread = self._thread
        if thread is None:
            return
        self._do(self._shut)
        thread.join()
        # Not in the loop: it may obey before `_do` has rung the bell.
        self._wake.close()
        self._woken.close()
        self._thread = None

    def restart(self) -> None:
        """Close every connection, refuse for a moment, listen again on the same port."""
        self.stop()
        self.start()

    def heal(self) -> None:
        """Call off every fault; listen again if stopped.  Connections that still live go on."""
        self._do(self._clear)
        self.start()

    def reset(self) -> None:
        """Reset (RST) every live connection, on both sides; new ones are served."""

        def change() -> None:
            for link in list(self._links):
                self._close(link, reset=True)

        self._do(change)

    def deaf(self, on: bool = True) -> None:
        """Go silent: connections are accepted, and old ones kept, but nothing passes.  Off: what was held passes."""

        def change() -> None:
            self._deaf = on
            for link in list(self._links):
                if not on and link.server is None:
                    self._dial(link)
                self._update(link)

        self._do(change)

    def delay(self, seconds: float) -> None:
        """Hold each answer of the server for so long, its greeting included; 0 ends that.

        It is latency, not bandwidth: an answer of many packets is delayed once.
        """
        self._do(lambda: setattr(self, "_delay", seconds))

    def cut_after(self, size: int, direction: Direction = "answers", *, count: int = 1) -> None:
        """Let ``size`` more bytes pass on each connection, then cut it; the first ``count`` that get there, no others.

        Args:
            size: bytes that still pass.  On connections to come they count from the start, the login included.
            direction: which bytes count: the server's ``"answers"`` or the client's ``"queries"``.
            count: how many connections are cut.
        """
        if direction not in ("answers", "queries"):
            raise ValueError(f"direction must be 'answers' or 'queries', not {direction!r}")
        self._do(
            lambda: self._cut_after.append(
                _CutAfter(size, direction, count, {link: link.passed[direction] for link in self._links})
            )
        )

    def cut_on(self, pattern: bytes, *, before: bool, count: int = 1) -> None:
        r"""Cut the connection on which the client sends bytes that match a regular expression.

        Args:
            pattern: searched in the client's stream (case counts; ``(?i)`` ends that), over packets' borders too,
                for matches of up to 1024 bytes.
            before: cut before the server received that packet, so what was asked did not happen.  False: hand it on, wait
                until the server begins to answer, so it has happened, and cut without passing the answer.  Wants a
                client that sends a statement whole before it awaits an answer, as psycopg and PyMySQL do; one that
                prepares first (asyncpg with parameters) is cut after the preparation.
            count: how many times.
        """
        order = _CutOn(re.compile(pattern, re.DOTALL), before, count)
        self._do(lambda: self._cut_on.append(order))

    def forget_on(self, pattern: bytes, *, before: bool, count: int = 1) -> None:
        """Be a NAT that forgets the connection on which ``pattern`` is sent: from then on nothing passes, and neither side hears of it.

        The arguments are those of `cut_on`: with ``before`` the server does not get that packet, else it does and its answer is lost.
        Other connections, also new ones, go on.  `heal` closes what was forgotten.
        """
        order = _CutOn(re.compile(pattern, re.DOTALL), before, count, silently=True)
        self._do(lambda: self._cut_on.append(order))

    def close_on_accept(self, on: bool = True) -> None:
        """Be a node that accepts and at once closes.  Connections that already live go on."""
        self._do(lambda: setattr(self, "_close_on_accept", on))

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._deaf = False
        self._delay = 0.0
        self._close_on_accept = False
        self._cut_on: list[_CutOn] = []
        self._cut_after: list[_CutAfter] = []
        for link in list(self._links):
            link.drop_answer = False
            if link.forgotten:
                self._close(link)
                continue
            if link.server is None:
                self._dial(link)
            self._update(link)

    def _do(self, order: Callable[[], object]) -> None:
        """Run ``order`` in the loop, and return when it is done."""
        done: Future[None] = Future()
        if self._thread is None:
            order()
            return
        self._orders.append((order, done))
        self._wake.send(b"x")
        done.result(10)

    def _loop(self) -> None:
        while self._running:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, events in self._selector.select(wait):
                key.data(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            if self._orders:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(1024)
                self._obey()

    def _obey(self) -> None:
        while self._orders:
            order, done = self._orders.popleft()
            try:
                order()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _shut(self) -> None:
        self._running = False
        for link in list(self._links):
            self._close(link)
        self._timers.clear()
        self._selector.close()
        if self._listener is not None:
            self._listener.close()

    def _accept(self, events: int) -> None:
        assert self._listener is not None  # registered by start
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # the client has gone again
        self.accepted += 1
        if self._close_on_accept:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(_End(sock))
        self._links.add(link)
        if not self._deaf:
            self._dial(link)
        self._update(link)

    def _dial(self, link: _Link) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.server = _End(sock, connecting=True)
        if sock.connect_ex((self.host, self.target_port)) not in (0, errno.EINPROGRESS):
            link.closing = True

    def _update(self, link: _Link) -> None:
        """Tell the selector what this connection waits for, after anything about it changed."""
        if link.closed:
            return
        client, server = link.client, link.server
        if link.closing and not client.out and not link.held and (server is None or not server.out):
            self._close(link)
            return
        reading = not (self._deaf or link.closing or link.forgotten)
        self._interest(link, client, reading and server is not None and len(server.out) < _HIGH_WATER)
        if server is not None:
            self._interest(link, server, reading and len(client.out) < _HIGH_WATER)

    def _interest(self, link: _Link, end: _End, read: bool) -> None:
        write = end.connecting or (bool(end.out) and not self._deaf)
        events = (selectors.EVENT_READ if read and not end.connecting else 0) | (selectors.EVENT_WRITE if write else 0)
        registered = self._selector.get_map().get(end.sock)
        if registered is not None and registered.events == events:
            return
        if registered is not None:
            self._selector.unregister(end.sock)
        if events:
            self._selector.register(end.sock, events, lambda ready: self._ready(link, end, ready))

    def _ready(self, link: _Link, end: _End, events: int) -> None:
        if link.closed:
            return  # by what happened to its other socket in this same round
        try:
            if events & selectors.EVENT_WRITE:
                self._write(end)
            if events & selectors.EVENT_READ:
                self._read(link, end)
        except OSError:
            # A broken side breaks the other one, as it came: a reset stays a reset.
            self._close(link, reset=not end.connecting)
            return
        self._update(link)

    def _write(self, end: _End) -> None:
        if end.connecting:
            if error := end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "the target refused")
            end.connecting = False
        with contextlib.suppress(BlockingIOError):
            while end.out:
                del end.out[: end.sock.send(end.out)]

    def _read(self, link: _Link, end: _End) -> None:
        try:
            data = end.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        if not data:
            link.closing = True
        elif end is link.client:
            self._from_client(link, data)
        else:
            self._from_server(link, data)

    # -- the faults -------------------------------------------------------------------------------------------------

    def _from_client(self, link: _Link, data: bytes) -> None:
        assert link.server is not None  # the client is not read before
        order = self._matching(link, data)
        if order is not None and order.silently:
            link.forgotten = True
            if not order.before:
                link.server.out += data
            return
        if order is not None and order.before:
            self._close(link)
            return
        if order is not None:
            link.drop_answer = True
        link.turn = True
        data, cut = self._limited(link, data, "queries")
        link.server.out += data
        link.closing = link.closing or cut

    def _matching(self, link: _Link, data: bytes) -> _CutOn | None:
        stream = link.tail + data
        for order in self._cut_on:
            # A match that ends in the tail was there before this packet.
            if any(match.end() > len(link.tail) for match in order.pattern.finditer(stream)):
                order.count -= 1
                if order.count <= 0:
                    self._cut_on.remove(order)
                return order
        link.tail = stream[-_TAIL:]
        return None

    def _from_server(self, link: _Link, data: bytes) -> None:
        if link.drop_answer:
            self._close(link)
            return
        data, cut = self._limited(link, data, "answers")
        if (self._delay and link.turn) or link.held:
            # What follows a delayed piece must not overtake it; it is let go right after it.
            link.due = max(link.due, time.monotonic() + self._delay if link.turn else 0.0)
            self._hold(link, data)
        else:
            link.client.out += data
        link.turn = False
        link.closing = link.closing or cut

    def _hold(self, link: _Link, data: bytes) -> None:
        def release() -> None:
            link.held -= 1
            if not link.closed:
                link.client.out += data
                self._update(link)

        link.held += 1
        heapq.heappush(self._timers, (link.due, next(self._serial), release))

    def _limited(self, link: _Link, data: bytes, direction: Direction) -> tuple[bytes, bool]:
        """What of ``data`` may pass by the orders of `cut_after`, and whether the connection is cut after it."""
        cut = False
        for order in list(self._cut_after):
            if order.direction != direction:
                continue
            room = order.since.get(link, 0) + order.size - link.passed[direction]
            if len(data) >= room:
                data, cut = data[: max(0, room)], True
                order.count -= 1
                if order.count <= 0:
                    self._cut_after.remove(order)
        link.passed[direction] += len(data)
        return data, cut

    def _close(self, link: _Link, *, reset: bool = False) -> None:
        if link.closed:
            return
        link.closed = True
        self._links.discard(link)
        for end in (link.client, link.server):
            if end is None:
                continue
            if end.sock in self._selector.get_map():
                self._selector.unregister(end.sock)
            if reset:
                # Linger of 0 s: close() sends RST in place of FIN.
                end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.sock.close()
