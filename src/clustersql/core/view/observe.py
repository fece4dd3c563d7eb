"""The reducer: how an observation changes what is believed of the cluster.  ``(view, observation, now) -> view``.

Rules
-----
1. What a node's own state becomes stands in `transitions`, what the configuration changes in `listing`, what members
   tell of each other in `discovery`: everything else that changes a view is in this file.
2. An observation from a connection of an older generation is ignored.
3. Chance is an argument: ``jitter`` is uniform in [0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..faults import Fault
from .cadence import BREAKER, Breaker
from .discovery import admitted, learned
from .epoch import guarded, is_rebuilt, switched
from .freshness import Track
from .listing import added, listed, removed
from .members import Members
from .node import Epoch, Node, Reach, Report, Role
from .observations import Added, Answered, Listed, Missed, Observation, Refused, Removed, SessionLost, Unreachable
from .servers import is_alone, met, reached, remembered
from .transitions import transition
from .view import View


def observe(view: View, seen: Observation, now: float, jitter: float = 0.5, breaker: Breaker = BREAKER) -> View:
    """Return the view after ``seen``; the same object when it is no news.

    ``now`` is monotonic, in seconds.  An observation about a node that is not configured (any more) changes nothing.
    """
    if isinstance(seen, Added):
        return added(view, seen, now)
    if isinstance(seen, Members):
        return learned(view, seen, now)
    if isinstance(seen, Listed):
        return listed(view, seen, now)
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
        return removed(view, node)
    if isinstance(seen, SessionLost | Refused) and seen.generation != node.generation:
        return view  # rule 2
    after = transition(node, seen, now, jitter, breaker)
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


def _is_of_before(node: Node, report: Report) -> bool:
    """Whether it was asked before the node was listed with the address that it has: then it is another server's."""
    return node.reach is Reach.UNKNOWN and report.asked is not None and report.asked < node.since
