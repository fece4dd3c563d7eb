"""Positions of PostgreSQL's log, and its timelines.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-INFO-TABLE
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.causal.bookmark import Bookmark, Kind
from ...core.causal.judge import Answer
from ...core.causal.means import Means, Rows, Taken
from ...core.view.epoch import Switch
from ...core.view.node import Node, Role

# The position where the next record begins: past the commit that was acknowledged, also with synchronous_commit = off.
# A standby's timeline is what `dialect.PROBE` says of it.
LOOK = """\
SELECT pg_catalog.pg_is_in_recovery(),
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                       ELSE pg_catalog.pg_current_wal_insert_lsn() END, '0/0')::bigint,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN greatest((SELECT max(received_tli) FROM pg_catalog.pg_stat_wal_receiver),
                          (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
                          (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())) END,
       (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text"""


def looked(mark: Bookmark, primary: bool, answers: Sequence[Rows]) -> Answer:
    """Read the answer to `LOOK`."""
    (row,) = answers[0]
    standby, place, timeline, reached, system, since = row
    number = int(timeline, 16) if timeline else reached or 0
    return Answer(Kind.LOG, primary and not standby, f"{system} since {since}", str(system), number, _aligned(place))


def _aligned(place: int | None) -> int | None:
    """Where a record ends at the end of a page, the next one begins after the header of the next page (24 bytes), and a
    standby that has replayed all of it is still before that header.
    """
    return None if place is None else place - 24 if place % 8192 == 24 else place


def taken(node: Node, answers: Sequence[Rows]) -> Taken:
    """Read the answer to `LOOK` of a primary; one that is in recovery has no position of its own."""
    answer = looked(Bookmark(Kind.LOG), True, answers)
    if not answer.primary:
        return Taken(Bookmark(Kind.LOG, answer.lineage), f"{answer.identity} in recovery")
    return Taken(Bookmark(Kind.LOG, answer.lineage, answer.timeline, answer.place), answer.identity)


def known(node: Node) -> Answer | None:
    """Return what the last probe has told."""
    if node.epoch is None or not isinstance(node.position, int):
        return None
    primary = node.role is Role.PRIMARY
    timeline = node.epoch.number if primary else max(node.timeline, node.following)
    return Answer(Kind.LOG, primary, node.identity, lineage(node.epoch.lineage), timeline, node.position)


def lineage(name: str) -> str:
    """``system identifier 7713581739421135706`` without its first words."""
    return name.rpartition(" ")[2]


# Only the current timeline's file is needed: it names every ancestor with the position where its successor began.
def history(timeline: int) -> tuple[str, ...]:
    """Return the question for the history of a timeline, which needs ``GRANT EXECUTE ON FUNCTION
    pg_read_file(text)``.
    """
    if timeline < 2:
        return ()
    return (f"SELECT pg_catalog.pg_read_file('pg_wal/{timeline:08X}.history')",)


_LINE = re.compile(r"^\s*(\d+)\s+([0-9A-Fa-f]+)/([0-9A-Fa-f]+)", re.MULTILINE)


def switches(timeline: int, answers: Sequence[Rows]) -> tuple[Switch, ...]:
    """Read a history file: each line is an ancestor, and where the next line's timeline, or at last this one, began."""
    ((text,),) = answers[0]
    lines = [(int(one[1]), int(one[2], 16) << 32 | int(one[3], 16)) for one in _LINE.finditer(str(text))]
    later = [number for number, _ in lines[1:]] + [timeline]
    return tuple(Switch(number, at) for number, (_, at) in zip(later, lines, strict=True))


BOOKMARKS = Means(
    kind=lambda node: Kind.LOG,
    known=known,
    look=lambda mark, primary, seconds: (LOOK,),
    looked=looked,
    take=lambda node: (LOOK,),
    taken=taken,
    polls=True,
    history=history,
    switches=switches,
    lineage=lineage,
)
