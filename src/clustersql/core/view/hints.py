"""What follows from Patroni's word (`patroni`): which nodes are asked at once, and which serve no reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .discovery import told_outside
from .members import Members
from .node import Readiness, Report, Role
from .view import View


def worth_asking(view: View, before: Members | None) -> Iterator[str]:
    """Yield the nodes of which Patroni has told something new: another role, state, timeline or tag.

    ``before``: what it had told until then.  Of a member that it had not told of, another role than the node's own is
    new.
    """
    old = {member.name: member for member in before.members} if before is not None else {}
    for one, node in told_outside(view):
        known = old.get(one.member.name)
        if one.member != known if known is not None else one.member.leads is not (node.role is Role.PRIMARY):
            yield node.name


def shunned(view: View, name: str, report: Report) -> Report:
    """Return the report of the node ``name``: not ready, where Patroni has it that this standby shall serve no
    reads.
    """
    if report.role is not Role.REPLICA or report.readiness is not Readiness.READY:
        return report
    if not any(one.member.unread and node.name == name for one, node in told_outside(view)):
        return report
    return replace(report, readiness=Readiness.MAINTENANCE, why="Patroni has the tag noloadbalance for it")
