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
    """What the rules remember of one connection.

    ``turn``: the server has yet to answer, so that what it sends next is an answer's first byte.
    """

    tail: bytes = b""
    passed: dict[str, int] = field(default_factory=lambda: {"answers": 0, "queries": 0})
    turn: bool = True
    drop_answer: bool = False


@dataclass(eq=False)
class CutOn:
    """``silently``: the connection is not cut but forgotten, and neither side hears of it."""

    pattern: re.Pattern[bytes]
    before: bool
    count: int
    silently: bool = False


@dataclass(eq=False)
class CutAfter:
    """``since``: what each connection had passed when the order was given; those that come later start from zero."""

    size: int
    direction: str
    count: int
    since: dict[Seen, int]


@dataclass
class Faults:
    """All that was ordered of one proxy."""

    deaf: bool = False
    delay: float = 0.0
    close_on_accept: bool = False
    cut_on: list[CutOn] = field(default_factory=list)
    cut_after: list[CutAfter] = field(default_factory=list)

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
