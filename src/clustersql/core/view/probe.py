"""How a node is asked for its role and readiness: a generator of `core.steps`, and the answer that it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..steps import Ask, Connect, LetGo, Query, Steps
from .node import Report
from .observations import Answered


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node has answered."""

    raw: Any
    """The driver's connection on which it has answered."""
    report: Report
    """What it says of itself."""
    dialled: bool = True
    """Whether that connection was opened for this: one that was open already says nothing about new ones."""
    ends: float | None = None
    """When what it was opened with ends, in monotonic seconds; None: not known, or never."""
    left: bool = False
    """Whether the connection that was open already has failed before."""
    running: Sequence[Sequence[Any]] | None = None
    """The numbers of the sessions that are at work, one a row, among those asked about; None: about none."""

    def news(self, node: str, peer: str) -> Answered:
        """Return what this says about ``node``.  ``peer``: the address at the other end of the connection."""
        return Answered(node, self.report, self.dialled, peer)


def probe(node: str, kept: Any, fresh: bool, question: str = "") -> Steps[Probe]:
    """Ask ``node`` on the connection that was ``kept``, if any; where that fails, on a new one, which tells whether the
    old one was to blame.

    ``fresh``: on a new one in any case.  ``question``: the query that tells which sessions are at work, put on the same
    connection; empty, there is none.  Raises what the last connection raises.
    """
    answer = yield from _on_kept(kept, fresh)
    if answer is None:
        answer = yield Connect(node)
        if kept is not None and not fresh:
            answer = replace(answer, left=True)
    if not question:
        return answer
    running = yield Query(answer.raw, question)
    return replace(answer, running=running)


def _on_kept(raw: Any, fresh: bool) -> Steps[Probe | None]:
    if raw is None:
        return None
    if fresh:
        yield LetGo(raw)
        return None
    try:
        report = yield Ask(raw)
    except Exception:
        if not (yield LetGo(raw)):  # it hung, and was abandoned: a new dial would only hang as well
            raise
        return None
    return Probe(raw, report, dialled=False)
