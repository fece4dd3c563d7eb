"""Where a read goes that must have seen a bookmark: a function of what is believed of the nodes.

A replica that is known to be there; else one that is asked; else the primary.  Of a view with a memory the reads stay
on the node that served the last one, or go to the primary: another replica may not be there yet, and the reader would
go back in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from ..view.node import Node, Role
from ..view.view import Service, View, Want
from .bookmark import Bookmark, Kind


class Way(Enum):
    """How a node is chosen."""

    KNOWN = "known"
    """It was seen to be there."""
    LOOK = "look"
    """It is asked, and may be waited for."""
    PRIMARY = "primary"
    """It has all there is."""
    ANY = "any"
    """Nobody knows yet who is what: whoever answers is asked."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a read goes next."""

    way: Way
    """How the node is chosen."""
    want: Want
    """What is asked of the pool."""


@dataclass(frozen=True, slots=True)
class Stay:
    """The node that served the last read."""

    node: str
    """Its name."""
    identity: str = ""
    """As `core.view.node.Report.identity`: started anew, it may have gone back."""


def route(
    view: View,
    want: Want,
    mark: Bookmark | None,
    known: Callable[[Node], bool],
    now: float,
    stay: Stay | None = None,
    left: frozenset[str] = frozenset(),
) -> Route:
    """Return where to go for ``want``.  ``known``: whether a node was seen to be there.  ``stay``: where the last read
    was.

    ``left``: the nodes that were asked and are not there: with a primary, one question is enough.
    """
    group = mark is not None and mark.kind is Kind.GALERA
    plain = replace(want, causal=None)
    if mark is not None and mark.only_primary:
        return Route(Way.PRIMARY, replace(plain, service=Service.WRITE))
    if mark is None and stay is None:
        return Route(Way.KNOWN, plain)
    names = view.serving(plain, now)
    # The members of a group are all primaries, and each is asked to catch up.
    there = [name for name in names if group or view.by_name[name].role is Role.REPLICA]
    if stay is not None and not group and want.service is not Service.REPLICA:
        there = [name for name in there if name == stay.node and view.by_name[name].identity in ("", stay.identity)]
    if found := [name for name in there if name not in left and (mark is None or known(view.by_name[name]))]:
        return Route(Way.KNOWN, replace(plain, among=frozenset(found)))
    asked = [name for name in there if name not in left]
    is_enough = bool(left) and want.service is not Service.REPLICA and bool(view.candidates[Service.WRITE])
    if asked and (group or not is_enough):
        return Route(Way.LOOK, replace(plain, among=frozenset(asked)))
    if want.service is not Service.REPLICA and view.candidates[Service.WRITE]:
        return Route(Way.PRIMARY, replace(plain, service=Service.WRITE, max_lag=None))
    if there:
        return Route(Way.LOOK, replace(plain, among=frozenset(there)))
    return Route(Way.ANY, plain)
