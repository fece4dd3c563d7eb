"""Why a node serves: worked out when somebody asks, from what the checkout has left behind (`core.policies.choice`)."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.booking.shelf import Chosen
from ..core.causal.reading import aimed
from ..core.causal.route import Way
from ..core.policies.choice import Candidate, Route, candidates, sentence
from ..core.policies.plan import chosen
from .causal import search

if TYPE_CHECKING:
    from ..core.booking.shelf import Shelf
    from ..core.policies.named import Policy
    from ..core.view.view import View, Want
    from .base import BasePool

PROOFS = {
    "known": "it was seen to have what must have been seen",
    "waited": "it was asked whether it has what must have been seen, and has it",
    "primary": "the primary has all there is, and no replica was seen to have what must have been seen",
}
"""How a session was proved to have what a read must have seen, in words."""
AIMS = {
    Way.KNOWN: PROOFS["known"],
    Way.LOOK: "it will be asked whether it has what must have been seen, and waited for at most {wait:g} s",
    Way.PRIMARY: PROOFS["primary"],
    Way.ANY: "nobody knows yet who has what must have been seen: whoever answers is asked",
}
"""The same before anybody has been asked; ``wait``: the knob `causal_wait`."""


Left = tuple["Shelf", Any, float]
"""What a checkout has left behind: the node's shelf, `Session.chosen` and `Session.lent_at`."""


def told(pool: BasePool[Any], want: Want, left: Left, moves: tuple[str, ...], recoveries: int) -> Route:
    """Return why a node was chosen for ``want``, from what its checkout has ``left``."""
    shelf, how, at = left
    node, known = shelf.name, Chosen.of(how)
    asked = replace(known.want or want, causal=None)
    loads, policy, now = pool.book.shelves, pool.book.policy, time.monotonic()
    found = candidates(known.view, asked, loads, policy, now, node, at)
    route = _route(pool, want, node, sentence(known.view, asked, found, policy, at), found, at)
    proof = PROOFS.get(known.causal, "")
    return replace(route, waited=round(known.waited, 6), causal=proof, moves=moves, recoveries=recoveries)


def rehearsed(pool: BasePool[Any], want: Want) -> Route:
    """Return which node would be chosen for ``want`` now, and why.  Nothing is checked out, and no server is asked."""
    now, view = time.monotonic(), pool.topology.view
    asked, causal = _aim(pool, want, view, now)
    loads, policy = pool.book.shelves, pool.book.policy
    node = _first(view, asked, loads, policy, now, pool)
    found = candidates(view, asked, loads, policy, now, node, now)
    return replace(_route(pool, want, node, sentence(view, asked, found, policy, now), found, now), causal=causal)


def _first(view: View, want: Want, loads: Mapping[str, Shelf], policy: Policy, now: float, pool: BasePool[Any]) -> str:
    fitting = chosen(view, want, loads, policy, now)
    if not fitting:
        return ""
    # Whose turn it is must not change by a question: so a copy is asked.
    return copy.copy(policy).pick(fitting, now, pool.book.random).name


def _aim(pool: BasePool[Any], want: Want, view: View, now: float) -> tuple[Want, str]:
    """Return what would be asked of the pool, and how that is proved to have what must have been seen."""
    if want.causal is None or not want.read_only:
        return replace(want, causal=None), ""
    memory = want.causal.memory
    looked_for = search(pool, want, None if memory is None else memory.mark, now + pool.timeout)
    aim = aimed(looked_for, view, now)
    if looked_for.mark is None and aim.way is Way.KNOWN:
        return aim.want, "nothing must have been seen yet"
    return aim.want, AIMS[aim.way].format(wait=looked_for.wait)


def _route(pool: BasePool[Any], want: Want, node: str, why: str, found: tuple[Candidate, ...], at: float) -> Route:
    return Route(
        cluster=pool.topology.name,
        node=node,
        why=why,
        wants=want.service.value,
        read_only=want.read_only,
        max_lag="" if want.max_lag is None else str(want.max_lag),
        policy=pool.book.policy.name,
        at=round(time.time() - (time.monotonic() - at), 3),
        waited=0.0,
        causal="",
        guard=_guard(pool, node),
        moves=(),
        recoveries=0,
        candidates=tuple(
            replace(each, against=tuple(pool.topology.redacted(each.node, text) for text in each.against))
            for each in found
        ),
    )


def _guard(pool: BasePool[Any], node: str) -> str:
    guard = pool.topology.guard
    if guard is None or not node:
        return ""
    why = guard.refusals.get(node)
    return "a COMMIT there is guarded" if why is None else f"a COMMIT there is not guarded: {why}"
