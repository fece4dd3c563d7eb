"""What one cluster knows: its nodes' addresses, the published view, what happened to each node.  Shared by the sync and the asyncio API.

Rules
-----
1. The view is replaced in one place, `Topology.tell`; everybody else reads the reference once, without a lock.
2. Listeners (the pools) are told after the lock is released; they may hear of two views in either order, and ignore the older one.
3. One log line per change of a node's state, none per statement.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from .address import Address
from .checks import nearest
from .core.budget import Budget
from .core.node import Node
from .core.observe import Added, Answered, Breaker, Draining, Observation, Removed, observe
from .core.view import View
from .drivers.contract import Reading
from .errors import ConfigError
from .knobs import Settings

log = logging.getLogger("clustersql")
log.addHandler(logging.NullHandler())  # a program that has not set up logging is not written to on stderr


@dataclass(slots=True)
class Record:
    """What happened to one node, under the ancestor's names in `clustersql.metrics`.  Wall clock times, in seconds since 1970; 0.0: never."""

    connections: int = 0
    errors: int = 0
    last_success: float = 0.0
    last_error: float = 0.0
    last_error_message: str = ""
    recovered: int = 0


class Topology:
    """The state of one cluster, thread-safe."""

    def __init__(self, name: str, driver: Reading, settings: Settings) -> None:
        self.name = name
        self.driver = driver
        self.settings = settings
        self.view = View(writer=settings.writer)
        self.addresses: dict[str, Address] = {}
        self.records: dict[str, Record] = {}
        self.passwords: dict[str, str] = {}  # the latest that was used per node, only to keep it out of every text
        self.latest: dict[str, BaseException] = {}
        self.budget = Budget(settings.retry_ratio, settings.retry_reserve)
        self.started = time.time()
        self.listeners: list[Callable[[View], None]] = []
        self._breaker = Breaker(settings.breaker_base, settings.breaker_cap)
        self._lock = threading.Lock()

    def add(self, name: str, address: Address) -> None:
        """Configure a node.  Raises `ConfigError` when there is one of that name."""
        with self._lock:
            if name in self.addresses:
                raise ConfigError(
                    f"cluster {self.name!r} has a node {name!r} already; remove_node({name!r}) it first, or choose another name"
                )
            self.addresses[name] = address
            self.records[name] = Record()
        self.tell(Added(name))

    def is_shared(self, name: str) -> bool:
        """Whether the sessions of a node's server are shared with other clients, by a pooler in between."""
        address = self.addresses.get(name)
        return address is not None and address.via is not None

    def remove(self, name: str) -> None:
        """Take a node out.  Raises `ConfigError` when there is none of that name."""
        with self._lock:
            if self.addresses.pop(name, None) is None:
                raise ConfigError(
                    f"cluster {self.name!r} has no node {name!r}; it has {', '.join(sorted(self.addresses)) or 'none'}"
                )
            self.records.pop(name, None)
            self.latest.pop(name, None)
            self.passwords.pop(name, None)
        self.tell(Removed(name))

    def drain(self, name: str, on: bool, grace: float | None = None) -> None:
        """Give a node no new work, or work again.  Raises `ConfigError` when there is none of that name."""
        if name not in self.addresses:
            raise ConfigError(f"cluster {self.name!r} has no node {name!r}; {nearest(name, sorted(self.addresses))}")
        self.tell(Draining(name, on, grace))

    def tell(self, seen: Observation) -> View:
        """Take an observation into account, publish the view that follows, and return it."""
        if isinstance(seen, Answered):
            report = seen.report.limited(self.settings.max_receive_queue)
            seen = seen if report is seen.report else replace(seen, report=report)
        elif why := getattr(seen, "why", ""):
            seen = replace(seen, why=self.redacted(seen.node, why))  # type: ignore[arg-type]
        with self._lock:
            before = self.view
            after = self.view = observe(before, seen, time.monotonic(), random.random(), self._breaker)
        if after is not before:
            self._log(before, after)
            for listener in tuple(self.listeners):
                listener(after)
        return after

    def connected(self, name: str) -> None:
        """Count a connection that was opened."""
        record = self.records.get(name)
        if record is not None:
            record.connections += 1
            record.last_success = time.time()

    def recovered(self, name: str) -> None:
        """Count a statement that went on elsewhere, now on ``name``."""
        record = self.records.get(name)
        if record is not None:
            record.recovered += 1

    def failed(self, name: str, error: BaseException) -> None:
        """Keep a node's latest error, so that none is ever lost, however well it was masked."""
        record = self.records.get(name)
        if record is not None:
            self.latest.pop(name, None)  # re-inserted, so that the newest is last
            self.latest[name] = _bare(error)
            record.errors += 1
            record.last_error = time.time()
            record.last_error_message = self.redacted(name, f"{type(error).__name__}: {error}")

    def redacted(self, name: str, text: str) -> str:
        """Return ``text`` without the node's password: drivers quote connection strings in their messages."""
        password = self.passwords.get(name)
        return text.replace(password, "***") if password else text

    def after_fork(self) -> None:
        """Give the child a lock of its own: the parent's may have been held by a thread that does not exist here."""
        self._lock = threading.Lock()

    def _log(self, before: View, after: View) -> None:
        for node in after.nodes:
            old = before.by_name.get(node.name)
            if old is not None and _state(old) != _state(node):
                log.log(
                    logging.INFO if node.usable else logging.WARNING,
                    "cluster %s: node %s is %s%s",
                    self.name,
                    node.name,
                    _words(node),
                    f": {' '.join(node.why.split())}" if node.why else "",  # a driver's message has several lines
                )


def _bare(error: BaseException) -> BaseException:
    """Return a copy without its traceback: that would keep the caller's variables alive, a forgotten connection among them."""
    try:
        return copy.copy(error).with_traceback(None)
    except Exception:  # its class wants other arguments than it keeps
        return RuntimeError(f"{type(error).__name__}: {error}")


def _state(node: Node) -> tuple[object, ...]:
    return node.reach, node.role, node.readiness, node.draining, node.outdated


def _words(node: Node) -> str:
    words = [
        node.reach.value,
        node.role.value if node.role.value != "unknown" else "role unknown",
        node.readiness.value,
    ]
    return ", ".join(words + (["draining"] if node.draining else []) + (["outdated"] if node.outdated else []))
