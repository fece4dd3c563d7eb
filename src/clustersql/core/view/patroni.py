"""What Patroni tells of its cluster (``GET /cluster``), and how far it is believed.

Rules
-----
1. Patroni's word is a hint.  It names members, which are nodes of ours when they have answered as those of the same
   database (rule 3 of `discovery`), and it says when a node is worth asking.  A role is the server's own word alone.
2. Before a node has told which database the cluster's is, none of its members is added: it might be another cluster's.
3. It can tell that a member is missing only while the leader that it names says itself that it is the primary, and
   only of one that is not up, or further behind than ``forget_after``: what serves well is not taken out on its word.
4. When it is down, or answers something else, what it has told last holds.
5. A standby with the tag ``noloadbalance`` serves no reads.  Its lag is measured here, as any other's.

https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from ..steps import Fetch, Steps
from ..words import first_line
from .endpoint import endpoint
from .members import Discovery, Member, Members
from .node import Node, Reach, Role

if TYPE_CHECKING:
    from .view import View

PATRONI = "Patroni"
"""Who has told, in place of a node's name."""
LEADERS = frozenset({"leader", "master"})
"""The roles of the primary; ``master`` before Patroni 2.1.  A ``standby_leader`` is a standby of another cluster's."""
MOST = 100
"""Members.  An answer with more is taken for a mistake: each of them would be dialled."""
LONG_ENOUGH = 3
"""Answers in a row in which Patroni names a leader that is none, until that is told: it names the next leader a moment
before that one is promoted."""


def ask(places: Sequence[Any]) -> Steps[tuple[Any, Members]]:
    """Ask one place after the other until one answers.  Returns the place and what it tells, or None and why none
    could.
    """
    wrong = []
    for place in places:
        try:
            return place, cluster_of((yield Fetch(place)))
        except Exception as exc:
            wrong.append(f"{place}: {first_line(exc)}")
    return None, Members(PATRONI, why="; ".join(wrong), outside=True)


def cluster_of(answer: object) -> Members:
    """Return what the answer to ``GET /cluster`` tells.  Raises ValueError, in words, for one that is none of
    Patroni's.
    """
    listed = answer.get("members") if isinstance(answer, Mapping) else None
    if not isinstance(answer, Mapping) or not isinstance(listed, list):
        raise ValueError("its answer is not Patroni's: it has no list of members")
    if len(listed) > MOST:
        raise ValueError(f"its answer is not Patroni's: it names {len(listed)} members, more than {MOST}")
    members = tuple(sorted(filter(None, map(_member, listed)), key=str))
    return Members(PATRONI, members, outside=True, paused=answer.get("pause") is True)


def _member(told: object) -> Member | None:
    """Return one member; None: it has no address yet, as one that is being created."""
    name, role = (told.get("name"), told.get("role")) if isinstance(told, Mapping) else (None, None)
    if not isinstance(told, Mapping) or not isinstance(name, str) or not isinstance(role, str):
        raise ValueError("its answer is not Patroni's: a member has no name and role")
    host, port, tags = told.get("host"), told.get("port"), told.get("tags")
    if host is None:
        return None
    if not _is_host(host) or not (port is None or (type(port) is int and 1 <= port <= 65535)):
        raise ValueError(f"its answer is not Patroni's: the address of member {name!r} is none")
    unread = isinstance(tags, Mapping) and tags.get("noloadbalance") is True
    state = f"{role}, {told.get('state')}, timeline {told.get('timeline')}"
    return Member(host, port, name, leads=role in LEADERS, unread=unread, state=state)


def _is_host(host: object) -> TypeGuard[str]:
    try:
        return isinstance(host, str) and endpoint(host).port is None
    except ValueError:
        return False


def knows_us(view: View) -> bool:
    """Whether a node has told which database it is."""
    return view.epoch is not None


def disputed(leader: Node) -> bool:
    """Whether the node that Patroni calls the leader says itself that it is none."""
    return leader.reach is Reach.UP and leader.role is Role.REPLICA


def agreed(leader: Node | None, known: Discovery) -> set[str]:
    """Return the name of the leader when it says itself that it is the primary, else nothing."""
    agrees = leader is not None and leader.reach is Reach.UP and leader.role is Role.PRIMARY and not leader.outdated
    return {leader.name} if leader is not None and agrees and not known.unheard else set()


def keeps_up(view: View, node: Node, now: float) -> bool:
    """Whether a node serves well, by its own word: it is up, and not known to be further behind than
    ``forget_after``.
    """
    known, lag = view.discovery, view.lag(node, now)
    return node.reach is Reach.UP and not node.outdated and known is not None and (lag or 0.0) <= known.forget_after


def doubts(view: View, leader: Node | None) -> list[str]:
    """Return, in words, what is wrong with Patroni's answers."""
    known, found = view.discovery, []
    if known is None:
        return []
    if known.unheard:
        found.append(f"{PATRONI} could not tell the members: {known.unheard}")
    if known.outside is not None and not knows_us(view):
        found.append(f"no node has answered yet, which would prove that {PATRONI}'s members are of the same database")
    if leader is not None and known.disputed >= LONG_ENOUGH:
        found.append(f"{PATRONI} calls {leader.name} the leader, which says itself that it is a replica")
    return found + pauses(view)


def pauses(view: View) -> list[str]:
    """Return, in words, that Patroni is paused, or nothing."""
    known = view.discovery
    paused = known is not None and known.outside is not None and known.outside.paused
    return [f"{PATRONI} is paused: nobody takes over from a primary that fails"] if paused else []
