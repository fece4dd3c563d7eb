"""How the configuration changes the view: nodes are added, taken out, and listed anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .discovery import excluded, in_order
from .node import Node, Origin
from .observations import Added, Listed
from .servers import LISTED
from .transitions import changed
from .view import View


def added(view: View, seen: Added, now: float) -> View:
    """Return the view with a configured node more.

    A node that was discovered at the same place, or bears the same name, makes way for the configured one.
    """
    if any(n.name == seen.node and n.origin is Origin.CONFIGURED for n in view.nodes):
        return view
    order = max((n.order for n in view.nodes if n.origin is Origin.CONFIGURED), default=-1) + 1
    new = Node(seen.node, order, since=now, **_configured(seen))
    at, known = str(seen.endpoint), view.discovery
    if known is not None:
        known = replace(known, excluded=known.excluded - {at})
    left = [n for n in view.nodes if n.origin is Origin.CONFIGURED or (n.name not in (seen.node, at))]
    return replace(view, nodes=in_order([*left, new]), discovery=known, version=view.version + 1)


def removed(view: View, node: Node) -> View:
    """Return the view without ``node``, and without the other servers behind its address."""
    left, known = tuple(n for n in view.nodes if n.address != node.name), view.discovery
    return replace(view, nodes=left, discovery=known and excluded(known, node), version=view.version + 1)


def listed(view: View, seen: Listed, now: float) -> View:
    """Return the view after the configuration was read again.

    All in one view: whoever looks sees the nodes of before, or those of now.
    """
    for name in sorted(seen.gone & view.by_name.keys()):
        view = removed(view, view.by_name[name])
    for one in seen.nodes:
        view = added(view, one, now)
    place = {one.node: i for i, one in enumerate(seen.nodes)}
    own = [node for node in view.nodes if node.origin in LISTED]
    heads = {node.name: place.get(node.name, len(place) + node.order) for node in own if not node.behind}
    order = {name: i for i, name in enumerate(sorted(heads, key=heads.__getitem__))}
    told = {one.node: one for one in seen.nodes}
    kept = [node for node in own if not node.behind or node.behind not in seen.moved]
    after = [_relisted(node, seen, told.get(node.address), order[node.address], now) for node in kept]
    after.sort(key=lambda node: node.order)
    others = [node for node in view.nodes if node.origin not in LISTED]
    return replace(view, nodes=in_order([*after, *others]), at=now, version=view.version + 1)


def _configured(told: Added) -> dict[str, Any]:
    """Return the fields of a node that the configuration says."""
    return {"endpoint": told.endpoint, "weight": told.weight, "priority": told.priority, "zone": told.zone}


def _relisted(node: Node, seen: Listed, told: Added | None, order: int, now: float) -> Node:
    """What is under way there ends normally; no new work goes by a connection of before, where that is dialled
    otherwise now.
    """
    if told is None:
        return changed(node, order=order)
    same = {"order": order, **_configured(told)}
    if node.name in seen.moved:
        kept: dict[str, Any] = {"generation": node.generation + 1, "draining": node.draining, "ends_at": node.ends_at}
        return Node(node.name, since=now, why="its address was changed", **same, **kept)
    if node.address in seen.altered:
        anew: dict[str, Any] = {"generation": node.generation + 1, "peers": frozenset(), "retry_at": now}
        return changed(node, **same, **anew)
    return changed(node, **same)
