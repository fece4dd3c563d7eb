"""The caller who can do nothing but wait: the pool is full, and all of it is in use.

By far the most of those who wait are such.  They need no events, no steps and no look at the nodes: a connection that
comes back is put into their hands.  Whatever else happens to one of them makes it a waiter as any other (`general`),
who looks at everything.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..policies.named import Policy
from ..view.view import Want
from .shelf import Waiter

_ROOM = frozenset(("",))


class PlainWaiter(Waiter):
    """One who found the pool full, and wants room in it or whatever comes back from the nodes ``names``."""

    __slots__ = ()

    def __init__(self, want: Want, names: tuple[str, ...], policy: Policy, now: float, holder: Any) -> None:
        # Written out, without the containers that it will hardly need: there may be thousands.
        nothing: Any = ()
        blocked_on: Any = _ROOM
        self.want = want
        self.holder = holder
        self.avoid = None
        self.signal: Any = None
        self.outside = False
        self.names = names
        self.policy = policy
        self.events = self.raised = nothing
        self.passed_over = 0
        self.since = now
        self.urgent = False
        self.refused = frozenset()
        self.blocked_on = blocked_on
        self.given = None
        self.plain = True

    def general(self) -> None:
        """From now on it is a waiter as any other; twice does no harm."""
        if self.plain:
            self.plain = False
            self.events, self.raised = deque(), {}
            self.blocked_on = set(_ROOM)
