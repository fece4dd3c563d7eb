"""The epoch guard: a node of an older history than the newest one seen is kept out, whatever it says of itself.

Rules
-----
1. The newest epoch is that of a primary, and is remembered after its node is gone: an old primary that comes back from
   the dead is known by its lower number.
2. A node of another lineage holds another database.  Only when every configured address is answered and all tell the
   same other lineage was the whole cluster rebuilt: once that has been so for ``lineage_after`` seconds it is accepted.
   One address that leads elsewhere for a moment must not make strangers of the cluster's own nodes.
3. Two timelines share what comes before the position where the newer one forked off.  A standby beyond it holds the
   newer history only if it is proven to have reached that; one that follows the older one there is kept out.  Where the
   switch was, is believed only of a primary that this process has seen as a standby since the same start: later it
   tells another position.
4. Where the members share the number (Galera's configuration), it begins anew with a restart of them all, so it is
   compared among those that answer now and not remembered.  A member that comes to a new one some milliseconds after
   another is out for as long, and asked again soon (`cadence.probe_due`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .node import Epoch, Mark, Node, Origin, Reach, Role
from .position import holds

KEPT = 16
"""Switches that are remembered; a standby that was left behind by an earlier one has been rebuilt since."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The timeline ``number`` was seen to begin, at the position ``at``; None: nobody knows where."""

    number: int
    at: int | None = None


def switched(
    switches: tuple[Switch, ...], before: Epoch | None, after: Epoch | None, forked_at: int | None
) -> tuple[Switch, ...]:
    """Return the switches after the newest epoch has become ``after``; those of another database, which was rebuilt,
    are forgotten.
    """
    if before is None or after is None or after.shared:
        return switches
    if before.lineage != after.lineage:
        return ()
    if not 0 < before.number < after.number:
        return switches
    return (*switches, Switch(after.number, forked_at))[-KEPT:]


def is_rebuilt(nodes: Sequence[Node], newest: Epoch | None) -> bool:
    """Whether every configured address is answered, and every server that answers tells the same lineage, another than
    that of ``newest``.
    """
    told = [(node.address, node.epoch) for node in nodes if node.epoch is not None and node.reach is Reach.UP]
    lineages = {epoch.lineage for _, epoch in told}
    silent = {node.name for node in nodes if node.origin is Origin.CONFIGURED} - {address for address, _ in told}
    return newest is not None and not silent and len(lineages) == 1 and newest.lineage not in lineages


def unproven(node: Node, switches: tuple[Switch, ...]) -> Switch | None:
    """Return the switch after which a replica may hold another history than the primary's; None: it holds no other."""
    if node.role is not Role.REPLICA or node.position is None:
        return None
    for switch in switches:
        shared = switch.at is not None and holds(switch.at, node.position)
        if max(node.timeline, node.following) < switch.number and not shared:
            return switch
    return None


def guarded(
    nodes: Sequence[Node], about: str, newest: Epoch | None, now: float, switches: tuple[Switch, ...] = ()
) -> tuple[tuple[Node, ...], Epoch | None]:
    """Return the nodes with those of an older epoch marked, and the newest epoch seen so far, after news of node
    ``about``.
    """
    newest = _newest(nodes, newest)
    return tuple(_judged(node, newest, now, switches) if _due(node, about) else node for node in nodes), newest


def _due(node: Node, about: str) -> bool:
    """A shared number that is older may only be an older answer: such a node is judged when it has answered itself."""
    return node.outdated or node.name == about or not (node.epoch and node.epoch.shared)


def _newest(nodes: Sequence[Node], newest: Epoch | None) -> Epoch | None:
    told = [node.epoch for node in nodes if node.epoch is not None and node.reach is Reach.UP]
    primaries = [n.epoch for n in nodes if n.epoch in told and n.role is Role.PRIMARY and n.epoch and n.epoch.number]
    if newest is None:
        newest = primaries[0] if primaries else None
    same = [epoch for epoch in primaries if newest is not None and epoch.lineage == newest.lineage]
    if not same:
        return newest
    remembered = [] if same[0].shared or newest is None else [newest]
    return max([*remembered, *same], key=lambda epoch: epoch.number)


def older(epoch: Epoch | None, newest: Epoch | None) -> str:
    """Return in words why a node of ``epoch`` is kept out; "": it is not."""
    if epoch is None or newest is None:
        return ""
    if epoch.lineage != newest.lineage:
        return f"another database: {epoch.lineage} instead of {newest.lineage}"
    if 0 < epoch.number < newest.number:
        seen = f"{epoch.name} {epoch.number}, and {newest.number} was seen"
        advice = "it has not come to the newest yet" if epoch.shared else "rebuild the node from the primary"
        return f"an old history: {seen}; {advice}"
    return ""


def _left_behind(node: Node, switches: tuple[Switch, ...]) -> str:
    """Return in words why a standby is kept out that is proven to follow an older timeline where a newer one goes on;
    "": it is not.

    It must be known where that is: a standby before it has only yet to come to it.
    """
    switch = unproven(node, switches)
    if switch is None or switch.at is None or not 0 < node.following < switch.number:
        return ""
    return (
        f"an old history: it follows timeline {node.following} beyond the position where timeline {switch.number}"
        " began; rebuild the node from the primary"
    )


def _judged(node: Node, newest: Epoch | None, now: float, switches: tuple[Switch, ...]) -> Node:
    why = older(node.epoch, newest) or _left_behind(node, switches)
    if bool(why) == node.outdated:
        return node
    mark = {"outdated": Mark(now, why or "its history is the newest again")}
    generation = node.generation + (1 if why else 0)  # nobody may go on there
    return replace(
        node,
        outdated=bool(why),
        generation=generation,
        since=now,
        why=mark["outdated"].why,
        marks={**node.marks, **mark},
    )
