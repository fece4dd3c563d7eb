"""The reducer: how an observation changes what is believed of the cluster.  ``(view, observation, now) -> view``.

Rules
-----
1. Everything that changes a node's state is in this file.
2. A lost session makes a node *suspect*, never down: one killed session must not take out the only primary.  Only a
   failed dial or probe makes it down.
3. An observation from a connection of an older generation is ignored.
4. Any answer to a dial or probe, also "too many connections", proves that the node lives.
5. A refusal is news about the node, not an error of the caller: its role or readiness is forgotten and asked for again
   at once.
6. Chance is an argument: ``jitter`` is uniform in [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..faults import Fault
from .discovery import admitted, excluded, in_order, learned
from .endpoint import HostPort
from .epoch import guarded, is_rebuilt, switched
from .freshness import Track
from .members import Members
from .node import AXES, Epoch, Mark, Node, Origin, Reach, Readiness, Report, Role
from .position import Position
from .servers import LISTED, is_alone, met, reached, remembered
from .view import View


@dataclass(frozen=True, slots=True)
class Answered:
    """A dial or a probe succeeded, and this is what the node said."""

    node: str
    """The node's name."""
    report: Report
    """What it said."""
    dialled: bool = True
    """False: on a connection that was open already, which does not prove that new ones are accepted again."""
    peer: str = ""
    """The address and port at the other end; "": not known."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A dial or a probe failed."""

    node: str
    """The node's name."""
    fault: Fault = Fault.LOST
    """How, as far as the error proves it."""
    why: str = ""
    """The same in words."""
    own: bool = True
    """False: it was tried by its address only, which may lead to other servers too."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A probe that was to reach this server has dialled its address, and reached another one."""

    node: str
    """The node's name."""
    why: str = ""
    """The same in words."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A pooler let us in, and no server behind it answered: all its sessions are in use, it is paused, or the server
    hangs.

    Nobody can tell these apart from here, and the work that is under way there may be slow on a live server.
    """

    node: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """A connection that was open failed."""

    node: str
    """The node's name."""
    generation: int
    """That of the connection."""
    why: str = ""
    """What became of it, in words."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A live node refused a statement: it is read-only, not ready, or short of something."""

    node: str
    """The node's name."""
    generation: int
    """That of the connection."""
    fault: Fault
    """What the error proves."""
    why: str = ""
    """What the node said."""


@dataclass(frozen=True, slots=True)
class Added:
    """A node was configured."""

    node: str
    """The node's name."""
    endpoint: HostPort | None = None
    """Where, if that is known by host and port."""
    weight: float = 1.0
    """For the policy of this name."""
    priority: int = 1
    """For the policy of this name."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A node was taken out of the configuration."""

    node: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The configuration was read again: other nodes, other addresses, or another order."""

    nodes: tuple[Added, ...]
    """All that it names, in its order; those that it does not name and that are not ``gone`` follow."""
    gone: frozenset[str] = frozenset()
    """Those that it names no more."""
    moved: frozenset[str] = frozenset()
    """Those that are somewhere else now: of the server there nothing is known."""
    altered: frozenset[str] = frozenset()
    """Those that are dialled otherwise, as another user for one, at the same place."""

    node: str = ""
    """It is about all of them."""


@dataclass(frozen=True, slots=True)
class Draining:
    """A node gets no new work from now on, or gets it again."""

    node: str
    """The node's name."""
    on: bool = True
    """False: it gets work again."""
    grace: float | None = None
    """Seconds after which connections that are still in use there are ended; None: never by us."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A node's host name was looked up, and leads to these addresses now."""

    node: str
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Positioned:
    """A replica has told a reader where it is, in between two probes."""

    node: str
    """The node's name."""
    identity: str
    """As `Report.identity`: of another incarnation of the server it says nothing about this one."""
    position: Position
    """What it has applied."""
    asked: float
    """When the question was put, in monotonic seconds."""
    reached: int = 0
    """The timeline that it has certainly reached; 0: not told."""
    following: int = 0
    """The timeline that it receives now; 0: not told."""


Observation = (
    Answered
    | Resolved
    | Unreachable
    | Missed
    | Silent
    | SessionLost
    | Refused
    | Added
    | Removed
    | Listed
    | Draining
    | Members
    | Positioned
)

BREAKER_BASE = 1.0
BREAKER_CAP = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a node that failed is dialled again: ``base`` seconds, doubled per failure up to ``cap``, +-20 %
    (`jitter`).
    """

    base: float = BREAKER_BASE
    cap: float = BREAKER_CAP

    def delay(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait after the ``failures``-th failure in a row.

        >>> [round(Breaker().delay(n, 0.5), 1) for n in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 30.0]
        """
        doubled = self.base * 2.0 ** min(failures - 1, 30)
        return float(min(doubled, self.cap) * (0.8 + 0.4 * jitter))


def observe(view: View, seen: Observation, now: float, jitter: float = 0.5, breaker: Breaker = Breaker()) -> View:
    """Return the view after ``seen``; the same object when it is no news.

    ``now`` is monotonic, in seconds.  An observation about a node that is not configured (any more) changes nothing.
    """
    if isinstance(seen, Added):
        return _added(view, seen, now)
    if isinstance(seen, Members):
        return learned(view, seen, now)
    if isinstance(seen, Listed):
        return _listed(view, seen, now)
    node = view.by_name.get(seen.node)
    if node is None or (isinstance(seen, Answered) and _is_of_before(node, seen.report)):
        return view
    if isinstance(seen, Answered):
        view, seen, node = _routed(view, seen, node, now)
    if isinstance(seen, Missed) and node.missed is not None and now - node.missed >= view.forget_after:
        seen = Unreachable(node.name, Fault.LOST, seen.why)
    if isinstance(seen, Unreachable) and not seen.own and not is_alone(view.nodes, node):
        return view  # the dial of an address that leads to several servers says nothing of any one
    if isinstance(seen, Removed):
        return _removed(view, node)
    if isinstance(seen, SessionLost | Refused) and seen.generation != node.generation:
        return view  # rule 3
    after = _TRANSITIONS[type(seen)](node, seen, now, jitter, breaker)
    known, switches = view.discovery, view.switches
    still: Node | None = after
    rebuilt_since = view.rebuilt_since
    if after is node and rebuilt_since is None and not (node.epoch and node.epoch.shared):
        # By far the most: a probe tells what the last one told, and all are judged.
        nodes, epoch = view.nodes, view.epoch
    else:
        nodes = tuple(after if n is node else n for n in view.nodes)
        if known is not None and isinstance(seen, Answered):
            nodes, known = admitted(nodes, after, known, view, now)
        rebuilt_since, newest = _rebuilt(view, nodes, now)
        nodes, epoch = guarded(nodes, node.name, newest, now, switches)
        switches = switched(switches, view.epoch, epoch, _forked_at(node, seen))
        if switches != view.switches:
            nodes, epoch = guarded(nodes, node.name, epoch, now, switches)
        still = next((n for n in nodes if n.name == node.name), None)  # None: another node's double, or a stranger
        after = still or after
    track = (
        _tracked(view.track, still, seen.report, now)
        if still is not None and isinstance(seen, Answered)
        else view.track
    )
    same = epoch == view.epoch and switches == view.switches and rebuilt_since == view.rebuilt_since
    if same and nodes == view.nodes and track is view.track:
        return view
    pairs = zip(nodes, view.nodes)  # noqa: B905 - their lengths are compared first
    news = len(nodes) != len(view.nodes) or any(a is not b and _used(a) != _used(b) for a, b in pairs)
    news |= switches != view.switches
    return replace(
        view,
        nodes=nodes,
        track=track,
        epoch=epoch,
        switches=switches,
        rebuilt_since=rebuilt_since,
        discovery=known,
        at=now,
        version=view.version + news,
    )


def _rebuilt(view: View, nodes: Sequence[Node], now: float) -> tuple[float | None, Epoch | None]:
    """Return since when only another database answers, and the newest epoch; None: whatever is told is the newest."""
    if not is_rebuilt(nodes, view.epoch):
        return None, view.epoch
    since = now if view.rebuilt_since is None else view.rebuilt_since
    return (None, None) if now - since >= view.lineage_after else (since, view.epoch)


def _routed(view: View, seen: Answered, asked: Node, now: float) -> tuple[View, Answered, Node]:
    """Return the view, the answer and the node that it is about: of the server that gave it, at the address that was
    dialled.
    """
    name = reached(view.nodes, seen.node, seen.report.server, seen.report.identity)
    nodes = met(view.nodes, seen.node, name, seen.report.server, now)
    if len(nodes) > 1:
        nodes = remembered(nodes, asked.address, now, view.forget_after)
    if nodes != view.nodes:
        view = replace(view, nodes=nodes, at=now, version=view.version + 1)
    if name not in view.by_name:  # it has become the configured node's own
        name = asked.address
    return view, seen if name == seen.node else replace(seen, node=name), view.by_name[name]


def _forked_at(node: Node, seen: Observation) -> int | None:
    """Where the timeline of a new primary began, if this process has seen that very incarnation of the server as a
    standby.
    """
    if not isinstance(seen, Answered) or not node.stood_by or node.stood_by != seen.report.identity:
        return None
    return seen.report.forked_at


def _used(node: Node) -> Node:
    """Return of a node what a waiter or a pool acts on: neither a measurement, nor how often and why a node that is
    down failed again.

    Else each failed probe would wake every waiter: with a thousand of them, thirty times a second, a process that does
    nothing else.
    """
    retry_at = node.retry_at if node.reach is Reach.UP else 0.0  # who is not up is not dialled for a caller
    return replace(
        node, position=None, asked=0.0, timeline=0, failures=0, retry_at=retry_at, missed=None, why="", marks={}
    )


def _tracked(track: Track, node: Node, report: Report, now: float) -> Track:
    """Return the track of the primary's log, with what ``node`` has just said: not the position that it told before,
    where a dial tells none.
    """
    if node.role is not Role.PRIMARY or node.outdated or report.position is None:
        return track
    return track.seen(node.name, report.position, now if report.asked is None else report.asked, now)


def _added(view: View, seen: Added, now: float) -> View:
    """A node that was discovered at the same place, or bears the same name, makes way for the configured one."""
    if any(n.name == seen.node and n.origin is Origin.CONFIGURED for n in view.nodes):
        return view
    order = max((n.order for n in view.nodes if n.origin is Origin.CONFIGURED), default=-1) + 1
    added = Node(seen.node, order, since=now, endpoint=seen.endpoint, weight=seen.weight, priority=seen.priority)
    at, known = str(seen.endpoint), view.discovery
    if known is not None:
        known = replace(known, excluded=known.excluded - {at})
    left = [n for n in view.nodes if n.origin is Origin.CONFIGURED or (n.name not in (seen.node, at))]
    return replace(view, nodes=in_order([*left, added]), discovery=known, version=view.version + 1)


def _removed(view: View, node: Node) -> View:
    left, known = tuple(n for n in view.nodes if n.address != node.name), view.discovery
    return replace(view, nodes=left, discovery=known and excluded(known, node), version=view.version + 1)


def _listed(view: View, seen: Listed, now: float) -> View:
    """All in one view: whoever looks sees the nodes of before, or those of now."""
    for name in sorted(seen.gone & view.by_name.keys()):
        view = _removed(view, view.by_name[name])
    for one in seen.nodes:
        view = _added(view, one, now)
    place = {one.node: i for i, one in enumerate(seen.nodes)}
    listed = [node for node in view.nodes if node.origin in LISTED]
    heads = {node.name: place.get(node.name, len(place) + node.order) for node in listed if not node.behind}
    order = {name: i for i, name in enumerate(sorted(heads, key=heads.__getitem__))}
    told = {one.node: one for one in seen.nodes}
    kept = [node for node in listed if not node.behind or node.behind not in seen.moved]
    after = [_relisted(node, seen, told.get(node.address), order[node.address], now) for node in kept]
    after.sort(key=lambda node: node.order)
    others = [node for node in view.nodes if node.origin not in LISTED]
    return replace(view, nodes=in_order([*after, *others]), at=now, version=view.version + 1)


def _relisted(node: Node, seen: Listed, told: Added | None, order: int, now: float) -> Node:
    """What is under way there ends normally; no new work goes by a connection of before, where that is dialled
    otherwise now.
    """
    if told is None:
        return _changed(node, order=order)
    same = {"order": order, "endpoint": told.endpoint, "weight": told.weight, "priority": told.priority}
    if node.name in seen.moved:
        kept = {"generation": node.generation + 1, "draining": node.draining, "ends_at": node.ends_at}
        return Node(node.name, since=now, why="its address was changed", **same, **kept)  # type: ignore[arg-type]
    if node.address in seen.altered:
        anew = {"generation": node.generation + 1, "peers": frozenset(), "retry_at": now}
        return _changed(node, **same, **anew)
    return _changed(node, **same)


def _is_of_before(node: Node, report: Report) -> bool:
    """Whether it was asked before the node was listed with the address that it has: then it is another server's."""
    return node.reach is Reach.UNKNOWN and report.asked is not None and report.asked < node.since


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
    after = _changed(
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


def _changed(node: Node, **fields: object) -> Node:
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
    if alive is not None:  # rule 4: it answered, so it lives, but it cannot be used
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
    changed = [axis for axis in AXES if getattr(before, axis) != getattr(after, axis)] if after is not before else []
    if not changed:
        return after if before.why == why or not why else _explained(after, why)
    marks = {**before.marks, **dict.fromkeys(changed, Mark(now, why))}
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


SOONEST = 0.025
"""Seconds between two questions to a node while a wanted role has no node at all, at least."""
SHARE = 5.0
"""One part in so many of an outage may be added to it by asking seldom.  A promotion takes PostgreSQL 0.1 to 0.5 s:
then asking each 0.1 s would add up to half of it again; this asks 8 times more in the first second, and no more often
after it."""


CALM = 5.0
"""Seconds of an outage after which every node is asked less often: most failovers are over by then, and hundreds of
processes must not storm a primary that starts."""


def hurried(waited: float, hurry: float, interval: float) -> float:
    """Return the seconds between two questions to a node when a wanted role has had none for ``waited`` seconds:
    ``hurry`` at first, growing with the outage to ``interval``.

    >>> [round(hurried(waited, 0.1, 1.0), 2) for waited in (1.0, 5.0, 10.0, 300.0)]
    [0.1, 0.1, 0.2, 1.0]
    """
    return max(hurry, min(interval, hurry * waited / CALM)) if waited > CALM else hurry


def probe_due(node: Node, now: float, last: float, interval: float, waited: float | None, hurry: float) -> float:
    """Return when ``node`` is to be asked again, on the clock of ``now``.

    ``last`` is when the latest question was put, ``interval`` the seconds between questions to a node that is up.
    ``waited``: for how many seconds a wanted role has had no node at all; None: each has one.  Then the breaker does
    not count, one prober asks for all waiters, and ``hurry`` are the seconds between questions at most: a node that
    answers is asked again after a fifth of the time that was waited so far, for its new role shortens the wait, and a
    question costs little there; one that must be dialled is not.  A member that has only just been found behind the
    others' common number is asked again after ``hurry``: mostly it comes to it some milliseconds after them.
    """
    if waited is not None:
        return last + (min(hurry, max(SOONEST, waited / SHARE)) if node.reach is Reach.UP else hurry)
    if node.reach is Reach.UP and node.outdated and node.epoch and node.epoch.shared and now - node.since < CALM:
        return last + hurry
    if node.reach is Reach.UP and node.readiness is not Readiness.MISCONFIGURED:
        return node.retry_at if 0.0 < node.retry_at <= now and last < node.retry_at else last + interval
    if node.reach is Reach.UNKNOWN:
        return last + interval
    return max(node.retry_at, last + hurry)
