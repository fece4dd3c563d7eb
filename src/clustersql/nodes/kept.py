"""The connections that are kept for probes: one a node, none of them in a pool's book.

Whoever takes one has it alone, and gives it back by `Kept.keep`, or closes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from ..drivers.contract import AnyDriver
from .dial import Dialling, Spare
from .topology import Topology

NewLock = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes a lock; for asyncio, where everything happens in one thread, what is none."""


class Kept:
    """The open connections of one cluster that wait for the next question to their node."""

    def __init__(self, topology: Topology, driver: AnyDriver, new_lock: NewLock, close: Callable[[Any], None]) -> None:
        self.closed = False
        self._topology = topology
        self._driver = driver
        self._new_lock = new_lock
        self.close = close
        self._raws: dict[str, Any] = {}
        self._identities: dict[str, str] = {}  # to which server it leads, as `Report.identity`
        self._told: dict[str, tuple[float, float]] = {}  # when it was opened, and how long its latest answer took
        self._lock = new_lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes to which one is open at this moment."""
        return tuple(self._raws)

    def take(self, name: str) -> Any:
        """Return the connection to ``name``, which is the caller's from now on; None: there is none at this moment."""
        with self._lock:
            return self._raws.pop(name, None)

    def identity(self, name: str) -> str:
        """Return which server the connection to ``name`` leads to, or the latest one that was taken; "": not told."""
        return self._identities.get(name, "")

    def keep(
        self, name: str, raw: Any, identity: str | None = None, by: str | None = None, second: bool = False
    ) -> None:
        """Keep a connection for the next question; it is closed where none will be put.

        ``identity``: to which server it leads; None: it was taken from here.  ``by``: whose address has led to it,
        where that is another node's.  ``second``: it is closed where there is one already.
        """
        with self._lock:
            keep = not self.closed and (by or name) in self._topology.addresses and not (second and name in self._raws)
            old = None if second and not keep else self._raws.pop(name, None)
            if keep:
                self._raws[name] = raw
                if identity is not None:
                    self._identities[name] = identity
        for useless in (old, None if keep else raw):
            if useless is not None:
                self.close(useless)

    def note(self, name: str, probe: Dialling) -> None:
        """Remember of a probe that ``name`` has answered when its connection was opened, and how long the answer
        took.
        """
        opened = probe.began if probe.result.dialled else self._told.get(name, (probe.began, 0.0))[0]
        self._told[name] = opened, probe.seconds

    def spare(self, name: str, now: float) -> Spare | None:
        """Give the connection to ``name`` away, for work that would have to dial; None: there is none at
        this moment.
        """
        raw = self.take(name)
        return None if raw is None else Spare(raw, *self._told.get(name, (now, 0.0)), self.identity(name))

    def drop_useless(self) -> None:
        """Close what leads to a node that was removed, or to an address that its name no longer leads to."""
        by_name, useless = self._topology.view.by_name, []
        with self._lock:  # or another thread may take one, and close it, while its address is looked at
            for name, raw in list(self._raws.items()):
                node = by_name.get(name)
                if node is None or self._driver.peer(raw) not in ("", *node.peers):
                    useless.append(self._raws.pop(name))
        for raw in useless:
            self.close(raw)

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was noted of nodes that are no members any more."""
        for name in names:
            self._told.pop(name, None)
            self._identities.pop(name, None)

    def end(self) -> list[Any]:
        """Keep nothing from now on.  Returns the connections, which are the caller's to close."""
        with self._lock:
            self.closed = True
            raws = list(self._raws.values())
            self._raws.clear()
        return raws

    def after_fork(self) -> list[Any]:
        """In a forked child: forget the parent's connections, and return them."""
        raws, self._raws = list(self._raws.values()), {}
        self._lock = self._new_lock()
        return raws
