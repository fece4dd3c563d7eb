"""Positions of MariaDB's replication (its latest GTIDs), of Galera (none is needed), and of MySQL (the set of its
GTIDs).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.causal.bookmark import Bookmark, Gtids, Kind
from ...core.causal.judge import Answer
from ...core.causal.means import Means, Rows, Taken
from ...core.view.node import Node, Role
from ...core.view.position import Transactions
from .gtids import gtid_set
from .members import text

# A member applies all that its group had committed when it was asked, and answers then.  After 15 s by default
# (repl.causal_read_timeout) it is 1205.  https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait
CATCH_UP = "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1"

# @@last_gtid is another session's by now; what that has committed is in the binary log's position.
TAKE_STREAM = "SELECT @@global.gtid_binlog_pos, @@global.server_id"
TAKE_SET = "SELECT @@global.gtid_executed, @@global.server_uuid, @@global.gtid_mode"

SHORTEST = 0.001
"""Seconds: MySQL waits for ever where it is told to wait for 0."""


def kind(node: Node) -> Kind:
    """Return how that server tells where it is."""
    if node.epoch is not None and node.epoch.name == "configuration":
        return Kind.GALERA
    return Kind.SET if node.version.startswith("MySQL ") else Kind.STREAM


def known(node: Node) -> Answer | None:
    """Return what the last probe has told: a set is a proof, MariaDB's last number is none."""
    if not isinstance(node.position, Transactions):
        return None
    return Answer(Kind.SET, node.role is Role.PRIMARY, node.identity, place=node.position)


def look(mark: Bookmark, primary: bool, seconds: float) -> tuple[str, ...]:
    """Ask, and let a replica wait for at most ``seconds``.  MASTER_GTID_WAIT knows only what came by replication, so it
    waits in vain on a primary.
    """
    wait = f"{max(SHORTEST, seconds):.3f}"
    if mark.kind is Kind.GALERA:
        return (CATCH_UP,)
    if mark.kind is Kind.SET:
        if primary:
            return ("SELECT 0, @@global.gtid_executed, @@global.server_uuid, @@global.read_only",)
        return (
            f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{written(mark)}', {wait}), @@global.gtid_executed,"
            " @@global.server_uuid, 1",
        )
    waited = "0" if primary else f"MASTER_GTID_WAIT('{latest(mark)}', {wait})"
    return (
        f"SELECT {waited}, @@global.gtid_binlog_state, @@global.server_id, @@global.gtid_slave_pos, @@global.read_only",
    )


def latest(mark: Bookmark) -> str:
    """Return a bookmark's GTIDs, one for each domain, as a replica counts them: the highest number."""
    assert isinstance(mark.place, Gtids)
    found = {
        domain: (domain, server, number) for domain, server, number in sorted(mark.place.latest, key=lambda one: one[2])
    }
    return str(Gtids(tuple(sorted(found.values()))))


def written(mark: Bookmark) -> str:
    """Return a bookmark's set as MySQL writes it.

    >>> from .gtids import gtid_set
    >>> written(Bookmark(Kind.SET, place=gtid_set("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:11")))
    '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:11'
    """
    assert isinstance(mark.place, Transactions)
    return ",".join(
        ":".join((maker, *(f"{first}-{last}" if last > first else str(first) for first, last in intervals)))
        for maker, intervals in mark.place.made
    )


def looked(mark: Bookmark, primary: bool, answers: Sequence[Rows]) -> Answer:
    """Read the answer to what `look` has asked."""
    if mark.kind is Kind.GALERA:
        return Answer(Kind.GALERA, primary, caught_up=True)
    ((waited, there, identity, *rest),) = answers[0]
    if mark.kind is Kind.SET:
        return Answer(Kind.SET, primary and _off(rest[0]), text(identity), place=gtid_set(text(there)))
    applied, read_only = rest
    return Answer(
        Kind.STREAM,
        primary and _off(read_only),
        f"server_id {identity}",
        place=gtids(text(applied)),
        written=gtids(text(there)),
        caught_up=waited is not None and int(waited) == 0,
    )


def _off(value: object) -> bool:
    """Anything but off is read-only: MariaDB 12 knows more values than ON."""
    return text(value).upper() in ("0", "OFF")


_GTID = re.compile(r"(\d+)-(\d+)-(\d+)")


def gtids(told: str) -> Gtids:
    """Read MariaDB's list of GTIDs.

    >>> gtids("0-1-1207,0-2-1213")
    Gtids(latest=((0, 1, 1207), (0, 2, 1213)))
    """
    return Gtids(tuple(sorted((int(one[1]), int(one[2]), int(one[3])) for one in _GTID.finditer(told))))


def lineage(name: str) -> str:
    """``cluster 6c1a...`` without its first word."""
    return name.rpartition(" ")[2]


def take(node: Node) -> tuple[str, ...]:
    """Return the question for the position of a primary; of a member of Galera there is none."""
    return {Kind.GALERA: (), Kind.SET: (TAKE_SET,), Kind.STREAM: (TAKE_STREAM,)}[kind(node)]


def taken(node: Node, answers: Sequence[Rows]) -> Taken:
    """Read the answer."""
    how = kind(node)
    if how is Kind.GALERA:
        return Taken(Bookmark(Kind.GALERA, lineage(node.epoch.lineage) if node.epoch is not None else ""))
    ((told, identity, *rest),) = answers[0]
    if how is Kind.SET:
        place = gtid_set(text(told)) if text(rest[0]) == "ON" else Transactions()
        return Taken(Bookmark(Kind.SET, place=place) if place.made else None, text(identity))
    latest = gtids(text(told))
    return Taken(Bookmark(Kind.STREAM, place=latest) if latest.latest else None, f"server_id {identity}")


BOOKMARKS = Means(
    kind=kind,
    known=known,
    look=look,
    looked=looked,
    take=take,
    taken=taken,
    lineage=lineage,
    missing="it needs a binary log (log_bin), and MySQL gtid_mode = ON",
)
