"""What a program's sessions are made with, beside what is the node's: arguments of the driver, and a hook.

Sessions of one `Use` are given to callers of the same one only: another use of the cluster has not asked for a
``client_flag`` or a codec, and would read other values with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Use:
    """One way in which a cluster's sessions are made.  Compared by identity."""

    __slots__ = ("arguments", "is_claimed", "is_proven", "on_connect")

    def __init__(self, arguments: Mapping[str, Any], on_connect: Callable[[Any], object] | None) -> None:
        self.arguments = dict(arguments)
        self.on_connect = on_connect
        # Somebody can still ask for its sessions; once nobody can, those that are idle are closed.
        self.is_claimed = True
        # A server has taken the arguments: only then more connections are dialled than callers ask for.
        self.is_proven = False

    def is_for(self, arguments: Mapping[str, Any], on_connect: Callable[[Any], object] | None) -> bool:
        """Whether these are equal arguments, and the same hook."""
        return self.on_connect is on_connect and self.arguments == dict(arguments)


class Claim:
    """Held by each database and connection of one `Use`: a session holds the use itself, and must not keep
    it in use.
    """

    __slots__ = ("__weakref__", "use")

    def __init__(self, use: Use) -> None:
        self.use = use

    def __del__(self) -> None:
        self.use.is_claimed = False
