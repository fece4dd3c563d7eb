"""The uses of one cluster: who asked for sessions with arguments of the driver's, or a hook, of his own."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from .. import fork
from ..core.view.use import Claim, Use
from ..errors import ConfigError
from ..nodes.dial import NODE_ARGUMENTS

MOST = 8
"""Uses of one cluster at the same time.  A program that makes arguments or a hook anew for each request would fill the
pool with connections that nobody asks for again.
"""


class Uses:
    """The uses of one cluster that somebody holds.  Thread-safe."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._claims: list[weakref.ref[Claim]] = []
        self._lock = threading.Lock()
        fork.track(self)

    def claim(self, arguments: Mapping[str, Any] | None, on_connect: Callable[[Any], object] | None) -> Claim | None:
        """Return the claim on the use with equal ``arguments`` and this ``on_connect``; None: neither is given.

        Raises `ConfigError` for arguments that are the node's, for what is no mapping or function, and for too many.
        """
        self._check(arguments, on_connect)
        if not arguments and on_connect is None:
            return None
        claim = self._found(arguments or {}, on_connect)
        if claim is None:
            gc.collect()  # what a framework holds stands in cycles: what was dropped may still be there
            claim = self._found(arguments or {}, on_connect)
        if claim is None:
            raise ConfigError(
                f"cluster {self._cluster!r}: open() has {MOST} combinations of arguments= and on_connect= in use"
                " already: make them once and give the same objects again, or drop the databases that are not needed"
                " any more"
            )
        return claim

    def _found(self, arguments: Mapping[str, Any], on_connect: Callable[[Any], object] | None) -> Claim | None:
        with self._lock:
            held = [claim for ref in self._claims if (claim := ref()) is not None]
            for claim in held:
                if claim.use.is_for(arguments, on_connect):
                    return claim
            if len(held) >= MOST:
                return None
            claim = Claim(Use(arguments, on_connect))
            self._claims = [weakref.ref(one) for one in (*held, claim)]
            return claim

    def _check(self, arguments: Any, on_connect: Any) -> None:
        where = f"cluster {self._cluster!r}: open()"
        if arguments is not None and not (
            isinstance(arguments, Mapping) and all(isinstance(a, str) for a in arguments)
        ):
            raise ConfigError(f"{where}: arguments must be a mapping from the names of the driver's arguments")
        if wrong := sorted(NODE_ARGUMENTS.intersection(arguments or ())):
            raise ConfigError(f"{where}: {', '.join(wrong)}: address and credentials are the node's, see add_node()")
        if on_connect is not None and not callable(on_connect):
            raise ConfigError(f"{where}: on_connect must be a function of the driver's connection")

    def after_fork(self) -> tuple[()]:
        """In a forked child: a lock of our own; the parent's may have been held by a thread that does not
        exist here.
        """
        self._lock = threading.Lock()
        return ()
