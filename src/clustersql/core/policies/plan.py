"""Whom to try, in order: the filter (`core.view.view`), then the groups and the rank (`core.policies.named`).  A plan
is an order of preference, not a node.

Where a replica is preferred, the primary is in the plan only when no replica is: the groups that the policy makes of
what was configured come first, so a node that is configured to be the last stays the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..view.node import Role
from ..view.view import SLOW_START, Service, View, Want
from .load import Load
from .named import Policy, Random, admitted

L = TypeVar("L", bound=Load)


def chosen(
    view: View, want: Want, loads: Mapping[str, L], policy: Policy, now: float | None = None, avoid: str | None = None
) -> tuple[L, ...]:
    """Return the nodes whose connections may be used for ``want`` now, in the configured order.

    Those that serve it, or in panic those that answer; of them those that come into question by the policy, and of
    these the replicas where they are preferred.  ``avoid`` is left out where there is another one, whatever the policy
    says of that: a retry goes to another node.
    """
    found = [loads[name] for name in view.eligible(want, now) if name in loads]
    others = found if avoid is None else [load for load in found if load.name != avoid]
    first = policy.first(others or found)
    return tuple(first) if want.service is not Service.PREFER_REPLICA else tuple(_preferred(view, want, first))


def _preferred(view: View, want: Want, loads: Sequence[L]) -> Sequence[L]:
    """Return the replicas of ``loads`` where ``want`` prefers them; all where it does not, or where there is none."""
    if want.service is not Service.PREFER_REPLICA:
        return loads
    return [load for load in loads if view.by_name[load.name].role is Role.REPLICA] or loads


def plan(
    view: View,
    want: Want,
    loads: Mapping[str, L],
    policy: Policy,
    now: float,
    random: Random,
    slow_start: float = SLOW_START,
    avoid: str | None = None,
) -> tuple[str, ...]:
    """Return the nodes to dial for ``want``, best first.

    The nodes that serve, as far as they come into question by the policy, and ranked by it; then those that were never
    dialled or whose latest session was lost: for a single writer in the configured order, which is the same in every
    process; for work that is spread ranked as the others, so that not every process begins with the same node; those
    that come into question first.  When there are none of both, those that answer but do not want work (panic).  A node
    that refuses new connections is left out until its next probe (``retry_at``), but for panic.  Where one node is to
    be the writer for all clients, those before it that have said nothing yet come first: at the start of a process the
    first answer decides nothing.  ``avoid`` comes last.
    """
    serving = view.serving(want, now)
    untried = [loads[name] for name in view.dialable(want) if name in loads]
    usable = serving or (() if untried else view.panicking(want, now))
    ready = {name for name in usable if name in loads and (not serving or view.by_name[name].retry_at <= now)}
    best: Sequence[L] = [load for load in chosen(view, want, loads, policy, now, avoid) if load.name in ready]
    if (
        ready and not best
    ):  # the group that comes first only refuses new connections: else a caller without any would wait for its retry
        others = [loads[name] for name in usable if name in ready and name != avoid]
        best = _preferred(view, want, policy.first(others))
    names = [load.name for load in _ranked(view, best, policy, now, random, slow_start)]
    if untried:
        first = _preferred(view, want, policy.first(untried))
        groups = [first, [load for load in untried if load not in first]]
        if view.spreads(want):
            groups = [_all_ranked(group, policy, now, random) for group in groups]
        names += [load.name for group in groups for load in group]
    if serving and names and (unheard := view.undecided(want, names[0])):
        names = [*unheard, *(name for name in names if name not in unheard)]
    if avoid in names or avoid in ready:
        names = [*(name for name in names if name != avoid), avoid]
    return tuple(names)


def _all_ranked(loads: Sequence[L], policy: Policy, now: float, random: Random) -> Sequence[L]:
    """Return ``loads``, best first, and what the policy leaves out of them: whoever has said nothing yet may still turn
    out to be needed.
    """
    best = policy.rank(loads, now, random) if len(loads) > 1 else list(loads)
    return [*best, *(load for load in loads if load not in best)]


def _ranked(
    view: View, loads: Sequence[L], policy: Policy, now: float, random: Random, slow_start: float
) -> Sequence[L]:
    """Return ``loads``, best first; what is in its slow start and lost the draw is behind the others."""
    if len(loads) < 2:
        return loads
    if now >= view.slow_since + slow_start:
        return policy.rank(loads, now, random)
    first = admitted(loads, now, random, slow_start)
    return sorted(policy.rank(loads, now, random), key=lambda load: load not in first)
