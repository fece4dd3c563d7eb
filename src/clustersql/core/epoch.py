"""The epoch guard: a node of an older history than the newest one seen is kept out, whatever it says of itself.

Rules
-----
1. The newest epoch is that of a primary, and is remembered after its node is gone: an old primary that comes back from the dead is known
   by its lower number.
2. A node of another lineage holds another database.  Only when every configured node answers and all tell the same other lineage was the
   whole cluster rebuilt: then that is accepted.
3. Where the members share the number (Galera's configuration), it begins anew with a restart of them all, so it is compared among those
   that answer now and not remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .node import Epoch, Mark, Node, Origin, Reach, Role


def guarded(
    nodes: Sequence[Node], about: str, newest: Epoch | None, now: float
) -> tuple[tuple[Node, ...], Epoch | None]:
    """Return the nodes with those of an older epoch marked, and the newest epoch seen so far, after news of node ``about``."""
    newest = _newest(nodes, newest)
    return tuple(_judged(node, newest, now) if _due(node, about) else node for node in nodes), newest


def _due(node: Node, about: str) -> bool:
    """A shared number that is older may only be an older answer: such a node is judged when it has answered itself."""
    return node.outdated or node.name == about or not (node.epoch and node.epoch.shared)


def _newest(nodes: Sequence[Node], newest: Epoch | None) -> Epoch | None:
    told = [node.epoch for node in nodes if node.epoch is not None and node.reach is Reach.UP]
    lineages = {epoch.lineage for epoch in told}
    configured = [node for node in nodes if node.origin is Origin.CONFIGURED]
    answering = all(node.epoch is not None and node.reach is Reach.UP for node in configured)
    if newest is not None and answering and len(lineages) == 1 and newest.lineage not in lineages:
        newest = None  # rule 2
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
        return f"an old history: {epoch.name} {epoch.number}, and {newest.number} was seen; rebuild the node from the primary"
    return ""


def _judged(node: Node, newest: Epoch | None, now: float) -> Node:
    why = older(node.epoch, newest)
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
