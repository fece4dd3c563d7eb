"""One proxy: a port with its links, and the verbs that act on them, by the names of `clustersql.testing.FaultProxy`."""

from __future__ import annotations

import itertools
import re
import selectors
import socket

from .faults import CutAfter, CutOn, Faults
from .link import Link, Loop


class Listener:
    """A proxy on 127.0.0.1.  ``aim`` says where to."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._targets = itertools.cycle([("", 0)])
        self._sock: socket.socket | None = None
        self._links: set[Link] = set()
        self._faults = Faults()
        self._accepted = self._packets = 0

    def aim(self, host: str, *ports: int) -> None:
        """Forward connections to come to there, to one port after the other."""
        self._targets = itertools.cycle([(host, port) for port in ports])

    def start(self, port: int) -> None:
        """Listen.  Does nothing when it already does."""
        if self._sock is not None:
            return
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(128)
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        self._sock = sock
        self._loop.selector.register(sock, selectors.EVENT_READ, self._accept)

    def stop(self) -> None:
        """Close every connection and refuse new ones."""
        if self._sock is not None:
            self._loop.selector.unregister(self._sock)
            self._sock.close()
            self._sock = None
        for link in list(self._links):
            link.close()

    def count(self) -> tuple[int, int, int]:
        """Return how many connections were accepted, ever, how many there are now, and how many packets came from
        clients, ever.
        """
        return self._accepted, len(self._links), self._packets + sum(link.packets for link in self._links)

    def heal(self) -> None:
        """Call off every fault."""
        self._faults = Faults()
        for link in list(self._links):
            link.faults, link.seen.drop_answer = self._faults, False
            if link.forgotten:
                link.close()
            else:
                self._wake(link)

    def reset(self) -> None:
        """Reset every live connection."""
        for link in list(self._links):
            link.close(reset=True)

    def deaf(self, on: bool) -> None:
        """Let nothing pass; off: what was held passes."""
        self._faults.deaf = on
        for link in list(self._links):
            self._wake(link)

    def delay(self, seconds: float) -> None:
        """Hold each answer for so long."""
        self._faults.delay = seconds

    def close_on_accept(self, on: bool) -> None:
        """Accept and close at once."""
        self._faults.close_on_accept = on

    def cut_after(self, size: int, direction: str, count: int) -> None:
        """Cut connections after so many more bytes."""
        since = {link.seen: link.seen.passed[direction] for link in self._links}
        self._faults.cut_after.append(CutAfter(size, direction, count, since))

    def cut_on(self, pattern: str, before: bool, count: int, silently: bool) -> None:
        """Cut, or forget, connections on which the pattern is sent; its bytes come as characters (latin-1)."""
        found = re.compile(pattern.encode("latin-1"), re.DOTALL)
        self._faults.cut_on.append(CutOn(found, before, count, silently))

    def _wake(self, link: Link) -> None:
        if link.server is None and not self._faults.deaf:
            link.dial(*next(self._targets))
        link.update()

    def _gone(self, link: Link) -> None:
        self._links.discard(link)
        self._packets += link.packets

    def _accept(self, events: int) -> None:
        if self._sock is None:
            return  # stopped in this same round
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return  # the client has gone again
        self._accepted += 1
        if self._faults.close_on_accept:
            sock.close()
            return
        link = Link(sock, self._faults, self._loop, self._gone)
        self._links.add(link)
        self._wake(link)
