"""How the position of what was written is taken, when somebody wants to read it: a generator of `core.steps`.

Rules
-----
1. It is taken of the server that has served the work, and counts only if that is the same incarnation still: the
   primary of after a failover is at a position too, and it says nothing about a write that was lost.
2. Whoever cannot be asked any more has taken the proof along: `CausalityLost`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CausalityLost, ConfigError, NoNodeAvailable, PoolTimeout
from ..steps import Borrow, Consult, Return, See, Steps
from ..view.node import Node, Reach
from ..view.view import Service, View, Want
from ..words import first_line
from .after import Served
from .bookmark import Bookmark
from .judge import Answer, Verdict, judged
from .means import Means, Taken

PATIENCE = 1.0
"""Seconds that the server may take to be asked, at most: a program that reads must not wait for one that is dead."""


def taking(due: Sequence[Served], mark: Bookmark | None, means: Means, deadline: float) -> Steps[Bookmark | None]:
    """Return the position that has all of ``due``, and ``mark``.  ``deadline`` in monotonic seconds.

    Raises `CausalityLost`, and `ConfigError` where the servers keep no positions.
    """
    for served in due:
        taken = yield from _taken(served, means, deadline)
        _, view = yield See()
        mark = joined(mark, taken.bookmark, view, means) if taken.bookmark is not None else mark
    return mark


def joined(mark: Bookmark | None, later: Bookmark, view: View, means: Means) -> Bookmark:
    """Return what has ``mark`` and ``later``, which the primary has told.  Raises `CausalityLost` where there is
    nothing that has both.
    """
    both = later if mark is None else mark.joined(later)
    if both is not None or mark is None:
        return both or later
    answer = Answer(later.kind, True, "", later.lineage, later.timeline, later.place)
    finding = judged(mark, answer, view.switches, later.timeline)
    if finding.verdict is not Verdict.REACHED:
        raise CausalityLost(f"what the bookmark stands for cannot be read: {finding.why}")
    return later


def _taken(served: Served, means: Means, deadline: float) -> Steps[Taken]:
    now, view = yield See()
    node = _still_there(served, view)
    statements = means.take(node)
    answers: object = ()
    if statements:
        want = Want(Service.READ, autocommit=True, node=node.name)
        try:
            session = yield Borrow(want, max(0.0, min(PATIENCE, deadline - now)), apart=True)
        except (NoNodeAvailable, PoolTimeout) as exc:
            raise _lost(served, f"it could not be asked: {first_line(exc)}") from exc
        answers = yield Consult(session, statements)
        if isinstance(answers, BaseException):
            raise _lost(served, f"it could not be asked: {first_line(answers)}") from answers
        yield Return(session)
    taken = means.taken(node, answers)  # type: ignore[arg-type]
    if served.identity and taken.identity and taken.identity != served.identity:
        raise _lost(served, "it was started anew since")
    if taken.bookmark is None:
        raise ConfigError(f"node {node.name!r} keeps no positions that a bookmark could tell: {means.missing}")
    return taken


def _still_there(served: Served, view: View) -> Node:
    node = view.by_name.get(served.node)
    if node is None:
        raise _lost(served, "it was removed from the cluster")
    if node.outdated or (served.identity and node.identity and node.identity != served.identity):
        raise _lost(served, "it was started anew since, or is of an old history")
    if node.reach is Reach.DOWN:
        raise _lost(served, f"it is down: {node.why}")
    return node


def _lost(served: Served, why: str) -> CausalityLost:
    return CausalityLost(f"the position of what node {served.node!r} has served cannot be told any more: {why}")
