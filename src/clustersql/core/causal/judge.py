"""What a server's answer proves about a bookmark: it has that position, not yet, it cannot be told, or the position is
lost.

Rules
-----
1. A number says something within one timeline only.  A bookmark of an older timeline is satisfied on a newer one where
   it lies at or below each position at which the timelines between forked off; above one of them it is lost; where one
   is not known, nobody can show that it survived.
2. A standby beyond such a position counts only where it is proven to have reached the newer timeline.
3. A primary has all there is: what it lacks was never written here, or is lost.  A replica may only be late.
4. Numbers of two servers of MariaDB are not compared: the one that was promoted counts on from a number that the lost
   writes have too.
5. What is not proven is not said: such a replica is left, and the primary asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..view.epoch import Switch
from ..view.position import Transactions, holds
from .bookmark import NO_GTIDS, Bookmark, Gtids, Kind


class Verdict(Enum):
    """What is known of a server and a bookmark."""

    REACHED = "reached"
    BEHIND = "behind"
    UNPROVEN = "unproven"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server tells of itself."""

    kind: Kind
    """How it tells where it is."""
    primary: bool
    """It is the cluster's primary, and not in recovery."""
    identity: str = ""
    """As `core.view.node.Report.identity`."""
    lineage: str = ""
    """The database that it has, as in a bookmark."""
    timeline: int = 0
    """A primary's own; one that a standby has certainly reached; 0: not told."""
    place: int | Transactions | Gtids | None = None
    """What it has applied; None: not told."""
    written: Gtids = NO_GTIDS
    """MariaDB: what is in its own binary log, by each server that has made it."""
    caught_up: bool | None = None
    """Whether it came to be there while it was asked to wait; None: it was not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, and why."""

    verdict: Verdict
    """What is proven."""
    why: str = ""
    """In words, where it is not reached."""
    unknown: bool = False
    """Only because nobody knows where a later timeline began."""


REACHED = Finding(Verdict.REACHED)

_BEYOND = "its position is beyond the primary's: it was never written here, or is lost"


def judged(mark: Bookmark, answer: Answer, switches: tuple[Switch, ...] = (), newest: int = 0) -> Finding:
    """Return what ``answer`` proves about ``mark``.  ``newest``: the newest timeline that was seen of this database; 0:
    none.
    """
    if answer.kind is not mark.kind or (mark.lineage and answer.lineage and answer.lineage != mark.lineage):
        return _lacking(answer, "it is of another database", Verdict.UNPROVEN)
    if mark.only_primary:
        return REACHED if answer.primary else Finding(Verdict.UNPROVEN, "the bookmark had no room for a position")
    if mark.kind is Kind.LOG:
        return _log(mark, answer, switches, newest)
    if mark.kind is Kind.GALERA:
        return REACHED if answer.caught_up else Finding(Verdict.BEHIND, "it has not caught up with its group")
    if mark.kind is Kind.STREAM:
        return _stream(mark, answer)
    reached = (
        isinstance(mark.place, Transactions)
        and isinstance(answer.place, Transactions)
        and holds(answer.place, mark.place)
    )
    return REACHED if reached else _lacking(answer, _BEYOND)


def _lacking(answer: Answer, why: str, late: Verdict = Verdict.BEHIND) -> Finding:
    return Finding(Verdict.LOST, why) if answer.primary else Finding(late, f"behind the bookmark ({late.value})")


def _log(mark: Bookmark, answer: Answer, switches: tuple[Switch, ...], newest: int) -> Finding:
    place = answer.place
    if not isinstance(place, int) or not isinstance(mark.place, int):
        return Finding(Verdict.UNPROVEN, "it tells no position")
    if answer.timeline < mark.timeline:
        return _lacking(
            answer, f"it is of timeline {mark.timeline}, and the primary's is {answer.timeline}", Verdict.UNPROVEN
        )
    survived = survives(mark.timeline, mark.place, max(answer.timeline, newest), switches)
    if survived is False:
        return Finding(Verdict.LOST, "it lies beyond the position where a newer timeline began")
    if survived is None:
        why = (
            f"it is of timeline {mark.timeline}, and cannot be shown to have survived:"
            " nobody knows where a later one began"
        )
        return Finding(Verdict.LOST if answer.primary else Verdict.UNPROVEN, why, unknown=True)
    if not answer.primary and strayed(answer.timeline, place, switches):
        return Finding(Verdict.UNPROVEN, "it is not proven that it follows the newest timeline")
    return REACHED if place >= mark.place else _lacking(answer, _BEYOND)


def survives(timeline: int, place: int, to: int, switches: Iterable[Switch]) -> bool | None:
    """Tell whether ``place`` of ``timeline`` is in the history of timeline ``to``; None: it is not known where one
    between them began.
    """
    began = {switch.number: switch.at for switch in switches}
    found = [began.get(number) for number in range(timeline + 1, min(to, timeline + _MOST) + 1)]
    if any(at is not None and place > at for at in found):
        return False
    return None if None in found or to > timeline + _MOST else True


_MOST = 64
"""Switches that are looked at: whoever forges a bookmark of timeline 1 must not keep a process busy."""


def strayed(timeline: int, place: int, switches: Iterable[Switch]) -> bool:
    """Tell whether a standby may hold another history than the newest: it is beyond a switch, and not proven to have
    followed it.
    """
    return any(timeline < switch.number and (switch.at is None or place > switch.at) for switch in switches)


def _stream(mark: Bookmark, answer: Answer) -> Finding:
    if not isinstance(mark.place, Gtids):
        return Finding(Verdict.UNPROVEN, "it tells no position")
    if not answer.primary and not answer.caught_up:
        return Finding(Verdict.BEHIND, "behind the bookmark")
    for domain, server, number in mark.place.latest:
        applied = answer.place.number(domain, server) if isinstance(answer.place, Gtids) else None
        told = max((one for one in (applied, answer.written.number(domain, server)) if one is not None), default=None)
        if told is None or told < number:
            why = f"{domain}-{server}-{number} is not in its history" + (
                f", which ends at {told}" if told is not None else ""
            )
            return _lacking(answer, why, Verdict.UNPROVEN)
    return REACHED
