"""Connections that frameworks keep in pools of their own: dialled here, remembered weakly, judged without I/O.

Their owner may close one at any moment, without a lock that we could take.  So a socket is remembered by its number and
its identity: the number may mean a stranger's by then, the two together never do.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import fork
from ..core.recovery.observed import During, Observed, Outcome, outcome
from ..core.recovery.recover import blamed
from ..core.recovery.verdict import Situation
from ..core.view.node import Reach, Role
from ..core.view.view import Service, Want
from ..drivers.base import sockets
from ..drivers.contract import AnyDriver
from ..nodes.topology import Topology


@dataclass(frozen=True, slots=True)
class DialledFor:
    """What a connection was dialled for, where, and in which generation."""

    node: str
    """The node's name."""
    generation: int
    """The node's, when it was dialled."""
    want: Want
    """What was asked for."""
    driver: AnyDriver
    """By what it was dialled."""


@dataclass(slots=True)
class Entry:
    """One connection in the register."""

    ref: Callable[[], Any]
    """Returns the driver's connection; None: it is no more."""
    origin: DialledFor
    socket: tuple[int, int] | None
    """The number of its descriptor and the identity of its socket; None: it has none, or was shut down by us."""


class OutsideConnections:
    """The register of one cluster's outside connections.

    By identity, because some drivers' connections are not hashable, with a weak reference that takes the entry out
    again.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._entries: dict[int, Entry] = {}
        self._lock = threading.Lock()
        fork.track(self)

    def remember(self, raw: Any, origin: DialledFor, gone: Callable[[], None]) -> None:
        """Remember, weakly, what a connection was dialled for; ``gone`` is called when it is no more, from anywhere,
        and may take no lock.
        """
        key = id(raw)

        def dropped(_: object) -> None:  # no lock may be taken here: the garbage collector calls it wherever it likes
            self._entries.pop(key, None)
            gone()

        try:
            ref: Callable[[], Any] = weakref.ref(raw, dropped)
        except (
            TypeError
        ):  # a C type without weak references: the object is kept, so that its id is not given to another
            ref = lambda: raw  # noqa: E731
        with self._lock:
            self._entries[key] = Entry(ref, origin, origin.driver.socket(raw))

    def _origin(self, raw: Any) -> DialledFor | None:
        entry = self._entries.get(id(raw))
        return entry.origin if entry is not None and entry.ref() is raw else None

    def is_current(self, raw: Any) -> bool:
        """See `Cluster.is_current`."""
        origin = self._origin(raw)
        if origin is None:
            return False
        view = self._topology.view
        node = view.by_name.get(origin.node)
        if node is None or node.generation != origin.generation or node.draining:
            return False
        if origin.want.service is Service.PREFER_REPLICA and node.role is not Role.REPLICA:
            # Those of a framework's pool would stay on the primary for as long as it keeps them.
            return not view.serving(replace(origin.want, service=Service.REPLICA), time.monotonic())
        return origin.node in view.serving(origin.want) or (
            origin.want.service in (Service.READ, Service.PREFER_REPLICA)
            and node.usable
            and view.fresh(node, origin.want.max_lag, time.monotonic())
        )

    def observe(self, raw: Any, error: BaseException, during: During) -> Observed:
        """See `Cluster.observe`."""
        origin = self._origin(raw)
        if origin is None:
            return Observed(False, Outcome.UNKNOWN)
        facts = origin.driver.facts(_drivers_own(error, origin.driver.error), raw)
        # A connection that had ended before anything was sent is news too: nobody of ours looks at those that the
        # framework keeps.
        seen = blamed(
            Situation(replace(facts, not_sent=False), read_only=origin.want.read_only),
            origin.node,
            origin.generation,
            str(error),
        )
        if seen is not None:
            self._topology.failed(origin.node, error)
            self._topology.tell(seen)
        return Observed(facts.lost or seen is not None, outcome(facts, during))

    def wake_the_hung(self, patience: float) -> int:
        """Shut down the sockets of connections to nodes that are down, and return how many: what waits there will have
        no answer.

        We do not know which of them waits, for their statements pass by us, but what has come from the node: a
        connection that was sent something within ``patience`` seconds is at work, though the node refuses new ones.
        """
        down = {node.name for node in self._topology.view if node.reach is Reach.DOWN}
        if not down:
            return 0
        entries = [entry for key in list(self._entries) if (entry := self._entries.get(key)) is not None]
        return sum(_is_woken(entry, patience) for entry in entries if entry.origin.node in down)

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: the parent's connections are not ours, and not the framework's, which may close them
        here.
        """
        for entry in self._entries.values():
            if entry.socket is not None:
                sockets.cut_off(*entry.socket)
        raws = [entry.ref() for entry in self._entries.values()]
        self._entries = {}
        self._lock = threading.Lock()
        return [raw for raw in raws if raw is not None]


def _is_woken(entry: Entry, patience: float) -> bool:
    """Shut its socket down, once, unless something has come from the node a moment ago."""
    if entry.socket is None:
        return False
    silent = sockets.silent_since(entry.socket[0])
    if silent is not None and silent < patience:
        return False
    known, entry.socket = entry.socket, None
    return sockets.shut_down(*known)


def _drivers_own(error: BaseException, own: type[BaseException] | tuple[type[BaseException], ...]) -> BaseException:
    """Return the driver's error that a framework made its own of (SQLAlchemy's asyncpg dialect does), else ``error``
    itself.
    """
    inner: BaseException | None = error
    for _ in range(8):
        if inner is None or isinstance(inner, own):
            break
        inner = inner.__cause__
    return error if inner is None or not isinstance(inner, own) else inner
