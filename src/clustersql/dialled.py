"""Connections that frameworks keep in pools of their own: dialled here, remembered weakly, judged without I/O."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import fork
from .core.procedures import blamed
from .core.verdict import Situation
from .core.view import Service, Want
from .drivers.contract import Reading
from .topology import Topology


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection was dialled for, where, and in which generation."""

    node: str
    generation: int
    want: Want
    driver: Reading


class Dialled:
    """The register of one cluster's outside connections.

    By identity, because some drivers' connections are not hashable, with a weak reference that takes the entry out again.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._origins: dict[int, tuple[Any, Origin]] = {}
        self._lock = threading.Lock()
        fork.track(self)

    def remember(self, raw: Any, origin: Origin, gone: Callable[[], None]) -> None:
        """Remember, weakly, what a connection was dialled for; ``gone`` is called when it is no more, from anywhere, and may take no lock."""
        key = id(raw)

        def dropped(_: object) -> None:  # no lock may be taken here: the garbage collector calls it wherever it likes
            self._origins.pop(key, None)
            gone()

        try:
            ref: Any = weakref.ref(raw, dropped)
        except (
            TypeError
        ):  # a C type without weak references: the object is kept, so that its id is not given to another
            ref = lambda: raw  # noqa: E731
        with self._lock:
            self._origins[key] = (ref, origin)

    def _origin(self, raw: Any) -> Origin | None:
        entry = self._origins.get(id(raw))
        return entry[1] if entry is not None and entry[0]() is raw else None

    def is_current(self, raw: Any) -> bool:
        """See `Cluster.is_current`."""
        origin = self._origin(raw)
        if origin is None:
            return False
        view = self._topology.view
        node = view.by_name.get(origin.node)
        if node is None or node.generation != origin.generation or node.draining:
            return False
        return origin.node in view.serving(origin.want) or (
            origin.want.service is Service.READ
            and node.usable
            and view.fresh(node, origin.want.max_lag, time.monotonic())
        )

    def observe(self, raw: Any, error: BaseException) -> bool:
        """See `Cluster.observe`."""
        origin = self._origin(raw)
        if origin is None:
            return False
        facts = origin.driver.facts(error, raw)
        seen = blamed(
            Situation(facts, read_only=origin.want.read_only),
            origin.node,
            origin.generation,
            str(error),
        )
        if seen is not None:
            self._topology.failed(origin.node, error)
            self._topology.tell(seen)
        return facts.lost or seen is not None

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: the parent's connections are not ours."""
        raws = [ref() for ref, _ in self._origins.values()]
        self._origins = {}
        self._lock = threading.Lock()
        return [raw for raw in raws if raw is not None]
