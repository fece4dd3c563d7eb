"""What a member of MySQL's Group Replication tells of itself, beside the variables that every server tells.

Only the majority can commit: a primary that is cut off from it still calls itself ONLINE and writable, and its writes
wait, by default for ever (``group_replication_unreachable_majority_timeout``).  It shows the others as UNREACHABLE.
https://dev.mysql.com/doc/refman/9.5/en/group-replication-network-partitioning.html

The tables need ``GRANT SELECT``.  To whom they are refused, a member is what its variables say: read-only or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.view.node import Epoch, Readiness, Report, Role
from .. import Rows
from .members import text

NAME = "group_replication_group_name"

STATES = (
    "SELECT m.MEMBER_ID, m.MEMBER_STATE, m.MEMBER_ROLE, s.VIEW_ID FROM performance_schema.replication_group_members m"
    " LEFT JOIN performance_schema.replication_group_member_stats s USING (MEMBER_ID)",
)

_READINESS = {
    "ONLINE": (Readiness.READY, ""),
    "RECOVERING": (Readiness.JOINING, "it is catching up with the group (MEMBER_STATE is RECOVERING)"),
}


def ask_group(report: Report) -> tuple[str, ...]:
    """Return the statements for a server that has reported so; none where no group is configured."""
    return STATES if report.details.get(NAME) else ()


def grouped(report: Report, answers: Sequence[Rows]) -> Report:
    """Return the report with what the group's tables say.  A readiness that the variables deny stays as it is."""
    rows = [[text(column or "") for column in row] for row in answers[0]]
    own = next((row for row in rows if row[0] == report.identity), ["", "OFFLINE", "", ""])
    _, state, role, view = own
    reached = sum(row[1] != "UNREACHABLE" for row in rows)
    majority = 2 * reached > len(rows)
    readiness, why = _readiness(state, majority)
    primary = report.role is Role.PRIMARY and role in ("PRIMARY", "")
    if report.readiness is not Readiness.READY:
        readiness, why = report.readiness, report.why
    told = {"member_state": state, "member_role": role, "view_id": view}
    return replace(
        report,
        role=Role.PRIMARY if primary else Role.REPLICA,
        readiness=readiness,
        why=why or report.why or ("" if primary else f"it is a {role} of the group"),
        details={**report.details, **told},
        epoch=_epoch(report.details[NAME], view) if majority and state in _READINESS else None,
    )


def _readiness(state: str, majority: bool) -> tuple[Readiness, str]:
    if state not in _READINESS:
        return Readiness.NOT_READY, f"not in the group (MEMBER_STATE is {state})"
    if not majority:
        return Readiness.NOT_READY, "cut off from the majority of the group: what is written there waits"
    return _READINESS[state]


_TICKS = 10**7
"""Of the clock of the founding, a second: a number of 17 digits could not be told in JSON."""
_CHANGES = 10**6
"""More changes of its members than a group will have from its founding to its end."""


def _epoch(group: str, view: str) -> Epoch | None:
    """``FOUNDED:CHANGE``: the first number is by the clock of the founding, the second counts the changes since then.

    A group that is founded again has a later first number, and counts from 1.
    """
    founded, _, change = view.partition(":")
    if not (founded.isdigit() and change.isdigit()):
        return None
    return Epoch(f"group {group}", int(founded) // _TICKS * _CHANGES + int(change), "view", shared=True)
