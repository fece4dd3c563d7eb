"""A bookmark: a position in the history of one database, as a text that travels in a cookie, a header or a job.

Rules
-----
1. The text is ``1~KIND~...``, of letters, digits and ``~.-`` only, so that no cookie, header or URL has to quote it.
   The first number is the version of the form: another one is refused, not guessed at.
2. It is not signed.  Whoever forges one gains a read on the primary.
3. At most 512 characters: a cookie holds 4,096, and headers are bounded too.  A set of GTIDs that is longer is written
   as "the primary".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from ...errors import ConfigError
from ..view.position import Interval, Transactions, holds

VERSION = "1"
LONGEST = 512
"""Characters of a bookmark at most."""


class Kind(Enum):
    """How a database tells where it is."""

    LOG = "p"
    """A position in the log, on a timeline (PostgreSQL)."""
    GALERA = "g"
    """No position: a member is asked to catch up with its group."""
    STREAM = "b"
    """The latest GTID of each domain (MariaDB's replication)."""
    SET = "m"
    """The set of all GTIDs (MySQL)."""


@dataclass(frozen=True, slots=True)
class Gtids:
    """MariaDB's list of GTIDs: per domain and server, the latest number."""

    latest: tuple[tuple[int, int, int], ...] = ()
    """``(domain, server, number)`` each, in ascending order."""

    def number(self, domain: int, server: int) -> int | None:
        """Return the latest number of that server in that domain; None: there is none of it."""
        return next((number for d, s, number in self.latest if (d, s) == (domain, server)), None)

    def __str__(self) -> str:
        return ",".join("-".join(map(str, one)) for one in self.latest)


NO_GTIDS = Gtids()
"""None of any server."""

Place = int | Transactions | Gtids
"""Where a server is in its history, by `Kind`."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A position that a reader must have seen."""

    kind: Kind
    """How the position is told."""
    lineage: str = ""
    """The database itself: PostgreSQL's system identifier, Galera's UUID of the cluster; "": the position names its
    makers."""
    timeline: int = 0
    """Of the log; 0: there are none."""
    place: Place | None = None
    """The position; None: there is none to compare, or it was too long for a text."""

    @property
    def only_primary(self) -> bool:
        """Whether its text had no room for the position, so that only the primary is known to be there."""
        return self.place is None and self.kind is not Kind.GALERA

    def __str__(self) -> str:
        text = f"{VERSION}~{self.kind.value}~{_WRITE[self.kind](self)}"
        return text if len(text) <= LONGEST else f"{VERSION}~{self.kind.value}~"

    def joined(self, other: Bookmark) -> Bookmark | None:
        """Return what has both positions, of one history; None: of two timelines or databases, so that it has to be
        asked whether there is one.
        """
        if (self.kind, self.lineage, self.timeline) != (other.kind, other.lineage, other.timeline):
            return None
        if self.place is None or other.place is None:
            return self if self.place is None else other
        return replace(self, place=_joined(self.place, other.place))


def _joined(a: Place, b: Place) -> Place:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    if isinstance(a, Transactions) and isinstance(b, Transactions):
        return a if holds(a, b) else b if holds(b, a) else _union(a, b)
    assert isinstance(a, Gtids)
    assert isinstance(b, Gtids)
    found = {(domain, server): number for domain, server, number in a.latest}
    for domain, server, number in b.latest:
        found[domain, server] = max(number, found.get((domain, server), 0))
    return Gtids(tuple(sorted((domain, server, number) for (domain, server), number in found.items())))


def _union(a: Transactions, b: Transactions) -> Transactions:
    made: dict[str, tuple[Interval, ...]] = dict(a.made)
    for maker, intervals in b.made:
        made[maker] = merged([*made.get(maker, ()), *intervals])
    return Transactions(tuple(sorted(made.items())))


def merged(intervals: list[Interval]) -> tuple[Interval, ...]:
    """Return the intervals in ascending order, with a gap between any two.

    >>> merged([(4, 6), (1, 3), (9, 9)])
    ((1, 6), (9, 9))
    """
    found: list[Interval] = []
    for first, last in sorted(intervals):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


# -- the text ----------------------------------------------------------------------------------------------------------


def _log(mark: Bookmark) -> str:
    return f"{int(mark.lineage):x}~{mark.timeline:x}~{mark.place:x}"


def _stream(mark: Bookmark) -> str:
    return str(mark.place).replace(",", "~") if mark.place is not None else ""


def _set(mark: Bookmark) -> str:
    if not isinstance(mark.place, Transactions):
        return ""
    return "~".join(".".join((_short(maker), *map(_span, intervals))) for maker, intervals in mark.place.made)


def _short(maker: str) -> str:
    """``3e11fa47-71ca-11e1-9e33-c80aa9429562:tag`` without the hyphens of its UUID."""
    uuid, _, tag = maker.partition(":")
    return uuid.replace("-", "") + (f".{tag}" if tag else "")


def _span(interval: Interval) -> str:
    first, last = interval
    return f"{first}-{last}" if last > first else str(first)


_WRITE: Mapping[Kind, Callable[[Bookmark], str]] = {
    Kind.LOG: _log,
    Kind.GALERA: lambda mark: mark.lineage.replace("-", ""),
    Kind.STREAM: _stream,
    Kind.SET: _set,
}

# Each number is bounded as its server bounds it: Python's integers are not, and nobody shall compare millions of
# digits.
_LOG = re.compile(r"([1-9a-f][0-9a-f]{0,15})~([1-9a-f][0-9a-f]{0,7})~(0|[1-9a-f][0-9a-f]{0,15})", re.ASCII)
_UUID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})", re.ASCII)
_GTID = re.compile(r"(0|[1-9]\d{0,9})-(0|[1-9]\d{0,9})-(0|[1-9]\d{0,19})", re.ASCII)
_SPAN = re.compile(r"([1-9]\d{0,18})(?:-([1-9]\d{0,18}))?", re.ASCII)
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}", re.ASCII)


def text_of(mark: Bookmark | None) -> str:
    """Return the text of a bookmark; "": there is none."""
    return "" if mark is None else str(mark)


def parse(text: object) -> Bookmark:
    """Return the bookmark that ``text`` tells.  Raises `ConfigError` for what is none, or was made by another version
    of the library.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a bookmark is a text, as `bookmark` gives it, not {type(text).__name__}")
    if len(text) > LONGEST:
        raise ConfigError(f"a bookmark has at most {LONGEST} characters, not {len(text)}")
    version, _, rest = text.partition("~")
    kind, _, told = rest.partition("~")
    if version != VERSION and re.fullmatch(r"\d{1,4}", version, re.ASCII) and rest:
        raise ConfigError(f"this bookmark has form {version}, and this version of clustersql knows form {VERSION} only")
    try:
        found = _READ[Kind(kind)](told) if version == VERSION else None
    except ValueError:
        found = None
    if found is None:
        raise ConfigError(f"{text[:30]!r} is no bookmark: give one as `bookmark` has told it, in one piece")
    return found


def _read_log(told: str) -> Bookmark | None:
    if (found := _LOG.fullmatch(told)) is None:
        return None
    lineage, timeline, place = (int(word, 16) for word in found.groups())
    return Bookmark(Kind.LOG, str(lineage), timeline, place)


def _read_galera(told: str) -> Bookmark | None:
    return Bookmark(Kind.GALERA, _uuid(told))


def _read_stream(told: str) -> Bookmark | None:
    found = [_GTID.fullmatch(word) for word in told.split("~")] if told else []
    latest = sorted((int(one[1]), int(one[2]), int(one[3])) for one in found if one is not None)
    if len(latest) != len(found) or len({one[:2] for one in latest}) != len(latest):
        return None
    return Bookmark(Kind.STREAM, place=Gtids(tuple(latest)) if latest else None)


def _read_set(told: str) -> Bookmark | None:
    made: dict[str, tuple[Interval, ...]] = {}
    for word in told.split("~") if told else []:
        short, *spans = word.split(".")
        maker = _uuid(short)
        if spans and _TAG.fullmatch(spans[0]):
            maker = f"{maker}:{spans.pop(0)}"
        intervals = [_interval(span) for span in spans]
        if not intervals or maker in made:
            return None
        made[maker] = merged(intervals)
    return Bookmark(Kind.SET, place=Transactions(tuple(sorted(made.items()))) if made else None)


def _interval(span: str) -> Interval:
    if (found := _SPAN.fullmatch(span)) is None or int(found[2] or found[1]) < int(found[1]):
        raise ValueError(span)
    return int(found[1]), int(found[2] or found[1])


def _uuid(short: str) -> str:
    if (found := _UUID.fullmatch(short)) is None:
        raise ValueError(short)
    return "-".join(found.groups())


_READ: Mapping[Kind, Callable[[str], Bookmark | None]] = {
    Kind.LOG: _read_log,
    Kind.GALERA: _read_galera,
    Kind.STREAM: _read_stream,
    Kind.SET: _read_set,
}
