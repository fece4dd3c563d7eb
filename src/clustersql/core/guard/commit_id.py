"""A commit id: the text by which a program, or another process, settles what became of a COMMIT.

Rules
-----
1. What makes a COMMIT unique is 16 bytes of the operating system's randomness, never a counter: a forked child, and a
   machine that is started twice from one snapshot, would count the same.
2. The rest says where and when the id may be asked: it is refused on another database, on a server of an older history,
   and when it is so old that its row may have been deleted.
3. The text holds no secret, and is safe in a URL, a log and a column of text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..view.node import Epoch
from .retention import ASKED_FOR

__all__ = ["BYTES", "VERSION", "CommitId", "refusal"]

T = TypeVar("T")

VERSION = "c1"
"""Begins each id: another form will begin with another word."""
BYTES = 16
"""What is random in a token: as much as in a UUID."""


@dataclass(frozen=True, slots=True)
class CommitId:
    """What a commit id says."""

    token: bytes
    """The 16 random bytes."""
    table: str
    """The table of the tokens, as it was configured."""
    lineage: str = ""
    """Which database it is (`Epoch.lineage`); "": the server tells none."""
    epoch: int = 0
    """The newest history that was known when it was made (`Epoch.number`); 0: the server tells none."""
    at: int = 0
    """When it was made, by the server's clock: seconds since 1970."""

    def __str__(self) -> str:
        words = (self.lineage, str(self.epoch), str(self.at), self.token.hex(), self.table)
        return ":".join((VERSION, *map(_escaped, words)))

    @classmethod
    def parse(cls, text: object) -> CommitId:
        """Read an id from its text.  Raises ValueError, which says what is wrong with it.

        >>> CommitId.parse("c1::0:1700000000:000102030405060708090a0b0c0d0e0f:t").at
        1700000000
        """
        if not isinstance(text, str):
            raise ValueError(f"a commit id is a text, not {type(text).__name__}")
        version, _, rest = text.partition(":")
        words = [_read("text", word, _unescaped) for word in rest.split(":")]
        if version != VERSION or len(words) != 5:
            raise ValueError(
                f"no commit id of this version: it begins with {VERSION}: and has six parts, divided by colons"
            )
        lineage, epoch, at, token, table = words
        return cls(_bytes(token), table, lineage, _count("epoch", epoch), _count("time", at))


def refusal(asked: CommitId, table: str, newest: Epoch | None, now: float) -> str:
    """Return in words why ``asked`` cannot be settled here; "": it can.

    ``table`` is the cluster's, ``newest`` the newest history that it knows, ``now`` the server's clock in seconds since
    1970.
    """
    if asked.table != table:
        return f"its tokens are in the table {asked.table!r}, and those of this cluster in {table!r}"
    if asked.lineage and newest is not None and newest.lineage != asked.lineage:
        return f"it is of another database: {asked.lineage} instead of {newest.lineage}"
    if now - asked.at > ASKED_FOR:
        return f"it is {(now - asked.at) / 86_400:.1f} days old: its row may be gone after {ASKED_FOR / 86_400:g}"
    return ""


def _escaped(word: str) -> str:
    """As in a URL: letters, digits, and ``_ . - ~`` are what they are."""
    return re.sub(r"[^A-Za-z0-9_.~-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), word)


def _unescaped(word: str) -> str:
    parts = re.split(r"%([0-9A-Fa-f]{2})", word)
    texts, digits = parts[::2], parts[1::2]
    joined = b"".join(text.encode() + bytes.fromhex(more) for text, more in zip(texts, [*digits, ""], strict=True))
    return joined.decode()


def _count(what: str, text: str) -> int:
    return _read(what, text, lambda word: int(word) if word.isascii() and word.isdigit() else int("none"))


def _bytes(text: str) -> bytes:
    found: bytes = _read("token", text, bytes.fromhex)
    if len(found) != BYTES or text != found.hex():
        raise ValueError(f"no commit id: its token must be {2 * BYTES} hexadecimal digits")
    return found


def _read(what: str, text: str, reader: Callable[[str], T]) -> T:
    try:
        return reader(text)
    except ValueError:
        raise ValueError(f"no commit id: its {what} cannot be read") from None
