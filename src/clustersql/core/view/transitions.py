"""How an observation of one node changes what is believed of it.

Rules
-----
1. A lost session makes a node *suspect*, never down: one killed session must not take out the only primary.  Only a
   failed dial or probe makes it down.
2. Any answer to a dial or probe, also "too many connections", proves that the node lives.
3. A refusal is news about the node, not an error of the caller: its role or readiness is forgotten and asked for again
   at once.
4. Chance is an argument: ``jitter`` is uniform in [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..faults import Fault
from .cadence import Breaker
from .node import AXES, Mark, Node, Reach, Readiness, Report, Role
from .observations import (
    Answered,
    Draining,
    Missed,
    Positioned,
    Refused,
    Resolved,
    SessionLost,
    Silent,
    Unreachable,
)


def transition(node: Node, seen: object, now: float, jitter: float, breaker: Breaker) -> Node:
    """Return the node after ``seen``, which is about it; itself when that is no news.

    ``now`` is monotonic, in seconds; ``breaker`` says when a node that failed is dialled again.
    """
    return _TRANSITIONS[type(seen)](node, seen, now, jitter, breaker)


def _answered(node: Node, seen: Answered, now: float, jitter: float, breaker: Breaker) -> Node:
    report = seen.report if seen.report.complete else _completed(node, seen.report)
    if is_overtaken(node, report):
        return node
    was_primary = node.role is Role.PRIMARY or (node.role is Role.UNKNOWN and node.reach in (Reach.UP, Reach.SUSPECT))
    demoted = was_primary and report.role not in (Role.PRIMARY, node.role)  # unknown: it refused a write a moment ago
    same = report.server in ("", node.server) or report.identity == node.identity != ""
    another = node.server != "" and not same  # its address leads elsewhere now
    returned = node.failures > 0 and not node.usable  # also by way of "the database system is starting up"
    pushed_back = not seen.dialled and node.usable  # it refused new connections a moment ago
    after = changed(
        node,
        reach=Reach.UP,
        role=report.role,
        readiness=report.readiness,
        version=report.version or node.version,
        position=report.position,
        asked=_asked(node, report, now),
        epoch=report.epoch,
        failures=node.failures if pushed_back else 0,
        retry_at=node.retry_at if pushed_back and node.retry_at > now else 0.0,
        slow_since=now if returned else node.slow_since,
        # Sessions of a demoted primary would cling to it, as those to a server that is no longer meant.
        generation=node.generation + (1 if demoted or another else 0),
        identity=report.identity or node.identity,
        server=report.server or node.server,
        missed=None,
        timeline=report.timeline,
        following=report.following or (node.following if report.identity in ("", node.identity) else 0),
        stood_by=report.identity
        if report.role is Role.REPLICA and report.timeline and report.complete
        else node.stood_by,
        undoes=report.undoes if report.complete else node.undoes,
        peers=node.peers | {seen.peer} if seen.peer else node.peers,
    )
    return _dated(node, after, now, report.why)


def _asked(node: Node, report: Report, now: float) -> float:
    """When the question of its position was put; the first of those that it answers alike, or an idle cluster would
    have a new view each second.
    """
    if report.position == node.position and report.identity in ("", node.identity):
        return node.asked
    return now if report.asked is None else report.asked


def _positioned(node: Node, seen: Positioned, now: float, jitter: float, breaker: Breaker) -> Node:
    """Of another incarnation, or of one that is gone or promoted, it says nothing about this one."""
    if node.reach is not Reach.UP or node.role is not Role.REPLICA or seen.identity != node.identity:
        return node
    return replace(
        node,
        position=seen.position,
        asked=seen.asked,
        timeline=max(node.timeline, seen.reached),
        following=seen.following or node.following,
    )


def is_overtaken(node: Node, report: Report) -> bool:
    """Whether it was asked for before the node refused: it would be called ready again, and probed on a connection that
    it still serves.

    At a smart shutdown that went on for as long as the connection lived.  What is asked after a refusal is asked by a
    dial (`Node.distrusted`).
    """
    if node.reach is not Reach.UP or node.readiness is not Readiness.NOT_READY or report.asked is None:
        return False
    mark = node.marks.get("readiness")
    return mark is not None and report.asked < mark.since


def changed(node: Node, **fields: object) -> Node:
    """Return ``node`` with these fields; itself when it has them already."""
    same = all(getattr(node, name) == value for name, value in fields.items())
    return node if same else replace(node, **fields)  # type: ignore[arg-type]


_CONTRADICTED = (Readiness.MISCONFIGURED, Readiness.OVERLOADED, Readiness.NOT_READY)
"""What a successful dial proves to be over."""


def _completed(node: Node, report: Report) -> Report:
    """Return what a dial has told, with the readiness that is known from the latest probe."""
    if node.reach is not Reach.UP or node.readiness in _CONTRADICTED:
        return report
    return replace(
        report,
        readiness=node.readiness,
        why=node.why,
        position=node.position,
        epoch=node.epoch,
        timeline=node.timeline,
    )


def _unreachable(node: Node, seen: Unreachable, now: float, jitter: float, breaker: Breaker) -> Node:
    failures, retry_at = node.failures, node.retry_at
    resting = node.reach is Reach.DOWN and now < retry_at and seen.fault not in _ALIVE
    if not resting:  # of several dials that fail at once one counts: ten callers are not ten outages
        failures += 1
        retry_at = now + breaker.delay(failures, jitter)
    alive = _ALIVE.get(seen.fault)
    if seen.fault in (Fault.OVERLOADED, Fault.MISCONFIGURED) and node.usable:
        # Only new connections are refused: the open ones work on, and a node must not lose its role for being popular,
        # nor all nodes theirs while a password is being changed.
        return replace(node, failures=failures, retry_at=retry_at)
    if alive is not None:  # rule 2: it answered, so it lives, but it cannot be used
        after = replace(node, reach=Reach.UP, readiness=alive, failures=failures, retry_at=retry_at)
        if node.reach in (Reach.UNKNOWN, Reach.DOWN):
            after = replace(after, role=Role.UNKNOWN)
        if seen.fault is Fault.NOT_READY and node.usable:  # its shutdown waits for the sessions that are idle here
            after = replace(after, generation=node.generation + 1)
        return _dated(node, after, now, seen.why)
    generation = node.generation if node.reach is Reach.DOWN else node.generation + 1
    after = replace(
        node,
        reach=Reach.DOWN,
        role=Role.UNKNOWN,
        position=None,
        generation=generation,
        failures=failures,
        retry_at=retry_at,
    )
    return _dated(node, after, now, seen.why)


def _missed(node: Node, seen: Missed, now: float, jitter: float, breaker: Breaker) -> Node:
    """A server that was in doubt, or that has refused a write, is given up: nobody may stay on a demoted one."""
    if node.reach is Reach.UP and node.role is not Role.UNKNOWN:
        return node if node.missed is not None else replace(node, missed=now)
    return _unreachable(node, Unreachable(node.name, Fault.LOST, seen.why), now, jitter, breaker)


def _silent(node: Node, seen: Silent, now: float, jitter: float, breaker: Breaker) -> Node:
    """Whoever can, goes elsewhere; who waits there is left alone, as on a node that answers.  A node that was not up
    stays down.
    """
    if node.reach not in (Reach.UP, Reach.SUSPECT) or node.role is Role.UNKNOWN:
        return _unreachable(node, Unreachable(node.name, Fault.LOST, seen.why), now, jitter, breaker)
    failures = node.failures + 1
    retry_at = now + breaker.delay(failures, jitter)
    after = replace(node, reach=Reach.UP, readiness=Readiness.OVERLOADED, failures=failures, retry_at=retry_at)
    return _dated(node, after, now, seen.why)


_ALIVE = {
    Fault.MISCONFIGURED: Readiness.MISCONFIGURED,
    Fault.OVERLOADED: Readiness.OVERLOADED,
    Fault.NOT_READY: Readiness.NOT_READY,
}


def _session_lost(node: Node, seen: SessionLost, now: float, jitter: float, breaker: Breaker) -> Node:
    after = replace(node, generation=node.generation + 1)
    if node.reach is Reach.UP:  # a server that was killed may have gone back: its position is that of one incarnation
        after = replace(after, reach=Reach.SUSPECT, retry_at=now, position=None)
    return _dated(node, after, now, seen.why)


def _refused(node: Node, seen: Refused, now: float, jitter: float, breaker: Breaker) -> Node:
    if seen.fault is Fault.READ_ONLY:  # the generation is raised by the probe's answer, when it really was demoted
        after = replace(node, role=Role.UNKNOWN if node.role is Role.PRIMARY else node.role, retry_at=now)
    elif seen.fault is Fault.OVERLOADED:  # pushed back, not taken out: fewer new connections is what helps it
        failures = node.failures + 1
        return replace(node, failures=failures, retry_at=now + breaker.delay(failures, jitter))
    else:
        after = replace(node, readiness=Readiness.NOT_READY, generation=node.generation + 1, retry_at=now)
    return _dated(node, after, now, seen.why)


def _resolved(node: Node, seen: Resolved, now: float, jitter: float, breaker: Breaker) -> Node:
    """A connection to an address that the name no longer leads to must not be used again; the new one is asked at
    once.
    """
    left = frozenset(peer for peer in node.peers if peer.rpartition(":")[0].strip("[]") in seen.hosts)
    if left == node.peers:
        return node
    why = f"its name leads to {', '.join(sorted(seen.hosts))} now, no longer to {', '.join(sorted(node.peers - left))}"
    after = replace(node, peers=left, generation=node.generation + 1, retry_at=now)
    return _dated(node, after, now, why)


def _draining(node: Node, seen: Draining, now: float, jitter: float, breaker: Breaker) -> Node:
    ends_at = now + seen.grace if seen.on and seen.grace is not None else None
    if seen.on == node.draining:
        return replace(node, ends_at=ends_at)  # the operator has thought again of the grace
    generation = node.generation + (1 if seen.on else 0)
    why = "drained by the operator" if seen.on else "no longer drained"
    return _dated(node, replace(node, draining=seen.on, ends_at=ends_at, generation=generation), now, why)


def _dated(before: Node, after: Node, now: float, why: str) -> Node:
    """Stamp ``since`` and ``why`` when an axis has changed; a mere repetition keeps the first moment and cause."""
    differ = [axis for axis in AXES if getattr(before, axis) != getattr(after, axis)] if after is not before else []
    if not differ:
        return after if before.why == why or not why else _explained(after, why)
    marks = {**before.marks, **dict.fromkeys(differ, Mark(now, why))}
    return replace(after, since=now, why=why, marks=marks)


def _explained(node: Node, why: str) -> Node:
    """The state is the same, and there is a newer reason for what is wrong with it: reachability, or else readiness."""
    axis = "readiness" if node.reach is Reach.UP else "reach"
    mark = node.marks.get(axis)
    marks = {**node.marks, axis: Mark(mark.since, why)} if mark else node.marks
    return replace(node, why=why, marks=marks)


_TRANSITIONS: dict[type, Callable[..., Node]] = {
    Answered: _answered,
    Unreachable: _unreachable,
    Missed: _missed,
    Silent: _silent,
    SessionLost: _session_lost,
    Refused: _refused,
    Draining: _draining,
    Resolved: _resolved,
    Positioned: _positioned,
}
