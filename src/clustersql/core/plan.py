"""Whom to try, in order: the filter (`core.view`), then the rank (`core.policy`).  A plan is an order of preference, not a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .latency import Load
from .policy import Policy, Random, admitted
from .view import SLOW_START, View, Want

L = TypeVar("L", bound=Load)


def plan(
    view: View,
    want: Want,
    loads: Mapping[str, L],
    policy: Policy,
    now: float,
    random: Random,
    slow_start: float = SLOW_START,
) -> tuple[str, ...]:
    """Return the nodes to dial for ``want``, best first.

    The nodes that serve, ranked by the policy; then those that were never dialled or whose latest session was lost, in the configured
    order; when there are none of both, those that answer but do not want work (panic).  A node that refuses new connections is left out
    until its next probe (``retry_at``).
    """
    serving = [loads[name] for name in view.serving(want, now) if name in loads and view.by_name[name].retry_at <= now]
    if serving and now < view.slow_until:
        first = admitted(serving, now, random, slow_start)
        ranked = sorted(policy.rank(serving, now, random), key=lambda load: load not in first)
    else:
        ranked = policy.rank(serving, now, random) if len(serving) > 1 else serving
    names = [load.name for load in ranked]
    names += [name for name in view.dialable(want) if name in loads]
    if not names and not view.serving(want, now):
        tired = [loads[name] for name in view.panicking(want, now) if name in loads]
        names = [load.name for load in (policy.rank(tired, now, random) if tired else ())]
    return tuple(names)


def avoiding(names: tuple[str, ...], avoid: str | None) -> tuple[str, ...]:
    """Return ``names`` with ``avoid`` last: a retry goes to another node where there is one."""
    if avoid is None or avoid not in names:
        return names
    return (*(name for name in names if name != avoid), avoid)
