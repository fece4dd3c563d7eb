"""What may pass through a proxy, as it was ordered: decisions on bytes, without I/O.

Rules
-----
1. A pattern is searched in what the client sends, over the borders of packets; the packet in which it ends is the one
   that counts.
2. An order is for so many connections, and gone when it has had them.
3. *Before*: the server gets nothing of that packet.  *After*: it gets it, and its answer is lost; that the answer
   begins is the proof.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

TAIL = 1024
"""Bytes kept to find a pattern that straddles packets."""


class Then(Enum):
    """What becomes of the connection when the bytes that may pass have passed."""

    GO_ON = "go on"
    CLOSE = "close it when they are delivered"
    CUT = "close it at once"
    FORGET = "nothing passes any more, in silence"


@dataclass(eq=False)
class Seen:
    """What the rules remember of one connection."""

    tail: bytes = b""
    """The end of what the client has sent, to find a pattern that straddles packets."""
    passed: dict[str, int] = field(default_factory=lambda: {"answers": 0, "queries": 0})
    """How many bytes have passed, by direction."""
    turn: bool = True
    """The server has yet to answer, so that what it sends next is an answer's first byte."""
    drop_answer: bool = False
    """Its next answer is lost, and the connection with it."""


@dataclass(eq=False)
class CutOn:
    """An order to cut the connection whose client sends a pattern."""

    pattern: re.Pattern[bytes]
    """What is looked for."""
    before: bool
    """The server gets nothing of the packet; False: it gets it, and its answer is lost."""
    count: int
    """For how many more times."""
    silently: bool = False
    """The connection is not cut but forgotten, and neither side hears of it."""


@dataclass(eq=False)
class CutAfter:
    """An order to cut a connection after so many bytes."""

    size: int
    """How many bytes may pass."""
    direction: str
    """Whose: ``queries`` or ``answers``."""
    count: int
    """For how many more connections."""
    since: dict[Seen, int]
    """What each connection had passed when the order was given; those that come later start from zero."""


@dataclass
class Faults:
    """All that was ordered of one proxy."""

    deaf: bool = False
    """Nothing passes, and nobody is told."""
    delay: float = 0.0
    """Seconds by which everything is late."""
    close_on_accept: bool = False
    """A new connection is closed at once."""
    cut_on: list[CutOn] = field(default_factory=list)
    """The orders that wait for a pattern."""
    cut_after: list[CutAfter] = field(default_factory=list)
    """The orders that count bytes."""

    def asked(self, seen: Seen, data: bytes) -> tuple[bytes, Then]:
        """Return what of the client's ``data`` may pass to the server, and what then."""
        order = self._matching(seen, data)
        if order is not None and (order.before or order.silently):
            return b"" if order.before else data, Then.FORGET if order.silently else Then.CUT
        if order is not None:
            seen.drop_answer = True
        seen.turn = True
        return self._limited(seen, data, "queries")

    def answered(self, seen: Seen, data: bytes) -> tuple[bytes, Then]:
        """Return what of the server's ``data`` may pass to the client, and what then.  The caller looks at
        ``seen.turn``, and ends it.
        """
        if seen.drop_answer:
            return b"", Then.CUT
        return self._limited(seen, data, "answers")

    def _matching(self, seen: Seen, data: bytes) -> CutOn | None:
        stream = seen.tail + data
        for order in self.cut_on:
            # A match that ends in the tail was there before this packet.
            if any(match.end() > len(seen.tail) for match in order.pattern.finditer(stream)):
                order.count -= 1
                if order.count <= 0:
                    self.cut_on.remove(order)
                return order
        seen.tail = stream[-TAIL:]
        return None

    def _limited(self, seen: Seen, data: bytes, direction: str) -> tuple[bytes, Then]:
        then = Then.GO_ON
        for order in list(self.cut_after):
            if order.direction != direction:
                continue
            room = order.since.get(seen, 0) + order.size - seen.passed[direction]
            if len(data) >= room:
                data, then = data[: max(0, room)], Then.CLOSE
                order.count -= 1
                if order.count <= 0:
                    self.cut_after.remove(order)
        seen.passed[direction] += len(data)
        return data, then
