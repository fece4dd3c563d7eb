"""Why a node serves: the choice of `core.policies.plan`, told again in words.

A view is never changed, so nothing is written down when a node is chosen: whoever asks later has the same view, the
same want and the same moment, and gets the same answer.  Only the estimates go on; they are told as they are now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..view.node import Node, Origin, Reach, Role
from ..view.obstacles import behind, obstacles
from ..view.view import Service, View, Want
from .load import Load
from .named import Policy
from .plan import chosen

NEEDS = {
    Service.WRITE: "a primary",
    Service.REPLICA: "a replica",
    Service.READ: "any node",
    Service.PREFER_REPLICA: "preferably a replica",
}
"""What a service asks for, in words."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One node, as it looked when the choice was made."""

    node: str
    """Its name."""
    chosen: bool
    """Whether it serves."""
    fits: bool
    """Whether it could serve: the policy chose among those that fit."""
    against: tuple[str, ...]
    """In words, what kept it out, or put it behind; empty: nothing."""
    expected: float | None
    """For how long an answer is expected to take there, in seconds, by the estimate as it is now; None: there is none
    yet."""
    in_flight: int
    """How many of this process's connections to it are in use now."""
    zone: str = ""
    """Where it is; "": not known."""


@dataclass(frozen=True, slots=True)
class Route:
    """Why a node serves."""

    cluster: str
    """The cluster's name."""
    node: str
    """The node that serves; "": none."""
    why: str
    """In one sentence, why this one."""
    wants: str
    """The service that was asked for: ``primary``, ``any``, ``replica`` or ``prefer-replica``."""
    read_only: bool
    """Whether the session refuses writes."""
    max_lag: str
    """How far behind a replica may be; "": as far as it likes."""
    policy: str
    """The name of the policy that chose."""
    at: float
    """When the choice was made, in seconds since 1970."""
    waited: float
    """For how many seconds the caller waited for it."""
    causal: str
    """How the node was proved to have what the read must have seen; "": nothing was asked for."""
    guard: str
    """Whether a COMMIT there is guarded; "": the cluster has no commit guard."""
    moves: tuple[str, ...]
    """The nodes that served before, whose sessions were lost; the latest last."""
    recoveries: int
    """How many statements had failed and went on."""
    candidates: tuple[Candidate, ...]
    """The nodes, in the configured order."""

    def as_dict(self) -> dict[str, Any]:
        """Return the same, ready for JSON."""
        told = asdict(self)
        told["moves"], told["candidates"] = (
            list(self.moves),
            [each | {"against": list(each["against"])} for each in told["candidates"]],
        )
        return told

    def __str__(self) -> str:
        """In one line, for a log."""
        others = "; ".join(f"{each.node}: {', '.join(each.against)}" for each in self.candidates if each.against)
        return f"{self.node or 'no node'}: {self.why}{f' ({others})' if others else ''}"


def candidates(
    view: View, want: Want, loads: Mapping[str, Load], policy: Policy, now: float, taken: str, at: float
) -> tuple[Candidate, ...]:
    """Return what spoke against each node for ``want`` in ``view`` at the time ``at``, where ``taken`` was chosen; "":
    none.  The estimates are as at ``now``; both in monotonic seconds.
    """
    first = [load.name for load in chosen(view, want, loads, policy, at)]
    return tuple(
        _candidate(view, node, want, loads, policy, now, taken, at, first)
        for node in view
        if node.origin is not Origin.REPORTED
    )


def _candidate(
    view: View,
    node: Node,
    want: Want,
    loads: Mapping[str, Load],
    policy: Policy,
    now: float,
    taken: str,
    at: float,
    first: list[str],
) -> Candidate:
    against, fits, load = tuple(_against(view, node, want, at)), node.name in first, loads.get(node.name)
    if fits:  # in panic it is tried whatever speaks against it
        if taken and node.name != taken:
            against = (*against, _put_behind(load, loads.get(taken), taken, policy, now))
    elif not against:
        against = (_left_out(view, node, want, policy, first),)
    return Candidate(
        node.name,
        node.name == taken,
        fits,
        against,
        round(load.expected(now), 6) if load is not None and load.sampled_at else None,
        0 if load is None else load.in_flight,
        view.zone(node),
    )


def _put_behind(load: Load | None, other: Load | None, taken: str, policy: Policy, now: float) -> str:
    """Return why a node, which could serve, was put behind the one that was ``taken``."""
    if load is None or other is None:
        return f"{policy.words} put it behind {taken}"
    return policy.behind(load, other, now)


def _left_out(view: View, node: Node, want: Want, policy: Policy, first: list[str]) -> str:
    """Return why ``node``, which could serve, is not among the ``first``."""
    preferred = want.service is Service.PREFER_REPLICA and node.role is not Role.REPLICA
    if preferred and any(view.by_name[name].role is Role.REPLICA for name in first):
        return f"role: {node.role.value}, and a replica serves, which is preferred"
    return f"the policy {policy.name} leaves it out while others can serve"


def _against(view: View, node: Node, want: Want, at: float) -> Iterator[str]:
    """Yield what keeps ``node`` from serving ``want``, in words."""
    if want.node is not None and want.node != node.name:
        yield f"node={want.node!r} was asked for"
        return
    if found := obstacles(view, node, None, at):
        yield from (f"{one.axis}: {one.value}{f' ({one.why})' if one.why else ''}" for one in found)
        return
    alike = replace(want, among=None, max_lag=None)
    if node.name not in view.serving(alike, at):
        first = view.candidates[Service.WRITE]
        if want.service is Service.WRITE and first and node.role is view.by_name[first[0]].role:
            yield f"writer={view.writer!r}: {first[0]} comes before it in the configured order"
        else:
            yield f"role: {node.role.value}, and {NEEDS[want.service]} is asked for"
    elif why := behind(view, node, want.max_lag, at):
        yield f"freshness: {why}"
    elif want.among is not None and node.name not in want.among:
        yield "causal: it was not seen to have what must have been seen"
    if node.reach is Reach.UP and node.retry_at > at:
        yield "it refuses new connections until its next probe"


def sentence(view: View, want: Want, found: tuple[Candidate, ...], policy: Policy, at: float) -> str:
    """Return why the one that was chosen of ``found`` serves ``want``, or why none does."""
    fitting = [each.node for each in found if each.fits]
    taken = next((each for each in found if each.chosen), None)
    if taken is None:
        return f"{NEEDS[want.service]} is asked for, and {'no node can serve now' if not fitting else 'none was got'}"
    if want.node is not None:
        return "it was asked for by its name"
    if not view.serving(want, at):
        return f"no node that was known to be well could serve as {NEEDS[want.service]}, so those that answer are tried"
    others = ", ".join(name for name in fitting if name != taken.node)
    if taken.node not in fitting:
        return f"it had a connection at hand, and {others or 'no other'} had none"
    if not others:
        return f"{NEEDS[want.service]} is asked for, and it is the only one that can serve"
    return f"{NEEDS[want.service]} is asked for, and {policy.words} put it before {others}"
