"""What one cluster knows: its nodes' addresses, the published view, what happened to each node.  Shared by the sync and
the asyncio API.

Rules
-----
1. The view is replaced in one place, `Topology.tell`; everybody else reads the reference once, without a lock.
2. Listeners (the pools) are told after the lock is released; they may hear of two views in either order, and ignore the
   older one.  A checkout that comes before they are told looks here by itself.
3. One log line per change of a node's state, none per statement.
4. A node that was discovered, or is one no longer, is known by the view first decided; its address is made or dropped
   under the same lock.
5. The knobs are published with the view, under the same lock, so that nobody sees the new view with the old knobs.
   They are read here, or taken over with the view; nobody keeps a copy.
6. What keeps discovery from being complete is logged once, however often it is found.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from ..config.address import Address
from ..config.checks import nearest
from ..config.knobs import Knobs
from ..config.options import MeasuredLag, Options, check_options
from ..config.zones import node_zone
from ..core.booking.durations import Durations
from ..core.recovery.budget import Budget
from ..core.view.cadence import Breaker
from ..core.view.discovery import complaints
from ..core.view.hints import shunned
from ..core.view.node import Node, Origin, Report
from ..core.view.observations import Added, Answered, Draining, Listed, Observation, Removed
from ..core.view.observe import observe
from ..core.view.servers import LISTED, group, reached
from ..core.view.view import View
from ..core.words import in_one_line
from ..drivers.contract import AnyDriver
from ..errors import ConfigError
from .events import Events
from .guard import CommitGuard
from .login import Login
from .members import begun, derived, where

log = logging.getLogger("clustersql")
log.addHandler(logging.NullHandler())  # a program that has not set up logging is not written to on stderr


@dataclass(slots=True)
class Record:
    """What happened to one node, under the ancestor's names in `clustersql.metrics`."""

    connections: int = 0
    """How many connections were opened to it."""
    errors: int = 0
    """How many errors were met there."""
    last_success: float = 0.0
    """When a connection was opened last: wall clock, in seconds since 1970; 0.0: never."""
    last_error: float = 0.0
    """When an error was met last, likewise."""
    last_error_message: str = ""
    """That error, in one line and without the password."""
    recovered: int = 0
    """How many statements went on there after an error."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The nodes that a configuration names now."""

    addresses: Mapping[str, Address]
    """Their addresses, by their names, in its order."""
    seen: Listed
    """The same as the view is told."""


class Topology:
    """The state of one cluster, thread-safe."""

    def __init__(self, name: str, driver: AnyDriver, settings: Knobs) -> None:
        self.name = name
        self.driver = driver
        self.settings = settings
        self.measured_lag = MeasuredLag(
            driver.dialect.name,
            driver.dialect.measures_lag,
            settings.probe_interval,
            driver.dialect.bookmarks is not None,
        )
        self.guard = CommitGuard.of(name, settings, driver.dialect)
        self.view = View(
            writer=settings.writer,
            discovery=begun(settings, driver.dialect),
            forget_after=settings.forget_after,
            lineage_after=settings.lineage_after,
            zones=settings.zone_map or {},
        )
        self.addresses: dict[str, Address] = {}
        self.records: dict[str, Record] = {}
        self.passwords: dict[str, str] = {}  # the latest that was used per node, only to keep it out of every text
        self.logins: dict[str, Login] = {}
        self.latest: dict[str, BaseException] = {}
        self.budget = Budget(settings.retry_ratio, settings.retry_reserve)
        self.started = time.time()
        # How causal reads were served, and how many bookmarks an integration has refused.
        self.causal = Counter(known=0, waited=0, primary=0, refused=0)
        self.events = Events(name, self.without_passwords)
        # How long things take, while somebody asks for it.
        self.durations: Durations | None = None
        self.listeners: list[Callable[[View], None]] = []
        self._breaker = Breaker(settings.breaker_base, settings.breaker_cap)
        self._complained: set[str] = set()
        self._lock = threading.Lock()

    def reconfigure(
        self,
        change: Callable[[Knobs], Knobs],
        addresses: Callable[[Mapping[str, Address]], Addresses | None] = lambda known: None,
    ) -> None:
        """Publish what ``change`` makes of the knobs, and ``addresses`` of the nodes, together with a view that goes by
        them.

        An error of either passes, and nothing has changed then.
        """
        with self._lock:
            before, old = self.settings, self.view
            knobs, listing = change(before), addresses(self.addresses)
            known = old.discovery
            if known is not None:
                known = replace(known, forget_after=knobs.forget_after)
            # Before the knobs: what is checked against it is kept for as long as these are the knobs.
            self.measured_lag = replace(self.measured_lag, probe_interval=knobs.probe_interval)
            self.settings = knobs
            self._breaker = Breaker(knobs.breaker_base, knobs.breaker_cap)
            self.budget.resize(knobs.retry_ratio, knobs.retry_reserve)
            after = self.view = replace(
                old,
                writer=knobs.writer,
                discovery=known,
                forget_after=knobs.forget_after,
                lineage_after=knobs.lineage_after,
                zones=knobs.zone_map or {},
                version=old.version + 1,
            )
            if listing is not None:
                after = self._relist(listing, after)
        changes = [(each.name, getattr(before, each.name), getattr(knobs, each.name)) for each in fields(knobs)]
        if text := ", ".join(f"{name}: {a} -> {b}" for name, a, b in changes if a != b):
            log.info("cluster %s: %s", self.name, text)
            self.events.note("reconfigured", "", text)
        if listing is not None:
            self._log(old, after)
        for listener in tuple(self.listeners):
            listener(after)

    def _relist(self, listing: Addresses, view: View) -> View:
        """Take the addresses over that the configuration has now, and return the view that follows; under the lock."""
        for name in listing.seen.gone | listing.seen.moved | listing.seen.altered:
            self._forget_login(name)
        for name in listing.seen.gone:
            self._forget(name)
        for name, address in listing.addresses.items():
            self.addresses[name] = address
            self.records.setdefault(name, Record())
        after = observe(view, listing.seen, time.monotonic())
        for node in view:
            if node.behind and node.name not in after.by_name:
                self._forget(node.name)
            elif node.behind in listing.addresses:
                self.addresses[node.name] = listing.addresses[node.behind]
        self._locate(after)
        self.view = after
        return after

    def check(self, options: Options) -> None:
        """Raise `ConfigError` for options that name a node that is not here, or a lag that cannot be told."""
        check_options(options, self.name, self.nodes, self.measured_lag)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes: the configured ones, and those that were discovered and have answered."""
        reported = {node.name for node in self.view if node.origin in (Origin.REPORTED, Origin.BEHIND)}
        return tuple(name for name in tuple(self.addresses) if name not in reported)

    @property
    def servers(self) -> tuple[str, ...]:
        """The same, and the names of those that are reached at the address of one of these nodes."""
        return (*self.nodes, *(node.name for node in self.view if node.behind))

    def add(self, name: str, address: Address) -> None:
        """Configure a node.  Raises `ConfigError` when there is one of that name."""
        known = self.view.by_name.get(name)
        if known is not None and known.origin not in LISTED:
            self.tell(Removed(name))  # the operator's makes it the operator's own; not discovered again meanwhile
        with self._lock:
            if name in self.addresses:
                raise ConfigError(
                    f"cluster {self.name!r} has a node {name!r} already; remove_node({name!r}) it first, or choose"
                    " another name"
                )
            self.addresses[name] = address
            self.records[name] = Record()
        self.tell(self.added(address))

    def added(self, address: Address) -> Added:
        """Return what the view is told of a configured node.  Raises `ConfigError` where its zone is that of a variable
        which is not set.
        """
        weight = 1.0 if address.weight is None else float(address.weight)
        priority = 1 if address.priority is None else address.priority
        return Added(address.node, where(address, self.driver.dialect.port), weight, priority, node_zone(address))

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
            self._forget(name)
        self.tell(Removed(name))

    def _forget(self, name: str) -> None:
        self.addresses.pop(name, None)
        self.records.pop(name, None)
        self.latest.pop(name, None)
        self.passwords.pop(name, None)
        self._forget_login(name)

    def _forget_login(self, name: str) -> None:
        self.logins.pop(name, None)

    def is_at(self, name: str, address: Address) -> bool:
        """Whether a node still has this address."""
        return self.addresses.get(name, address) == address

    def login(self, name: str) -> Login:
        """Return what is known of the credentials for a node."""
        return self.logins.setdefault(name, Login())

    def drain(self, name: str, on: bool, grace: float | None = None) -> None:
        """Give a node no new work, or work again.  Raises `ConfigError` when there is none of that name."""
        if name not in self.addresses:
            raise ConfigError(f"cluster {self.name!r} has no node {name!r}; {nearest(name, sorted(self.addresses))}")
        view = self.view
        for node in group(view.nodes, view.by_name[name]) if name in view.by_name else ():
            self.tell(Draining(node.name, on, grace))

    def reached(self, name: str, report: Report) -> str:
        """Return the name of the node that ``report`` is about, which was given to a dial of ``name``."""
        return name if self.is_shared(name) else reached(self.view.nodes, name, report.server, report.identity)

    def tell(self, seen: Observation) -> View:
        """Take an observation into account, publish the view that follows, and return it."""
        if isinstance(seen, Answered):
            report = seen.report.limited(self.settings.max_receive_queue)
            if self.settings.discover == "patroni":
                report = shunned(self.view, seen.node, report)
            if report.server and self.is_shared(seen.node):  # the pooler's next session may be another server's
                report = replace(report, server="")
            seen = seen if report is seen.report else replace(seen, report=report)
        elif why := getattr(seen, "why", ""):
            seen = replace(seen, why=self.redacted(seen.node, why))  # type: ignore[arg-type]
        with self._lock:
            before = self.view
            after = observe(before, seen, time.monotonic(), random.random(), self._breaker)
            moved = after.by_name.keys() != before.by_name.keys() or (
                after.discovery is not None and after.version != before.version
            )
            if moved:
                self._locate(after)
            self.view = after
            for name in before.by_name.keys() - after.by_name.keys() if moved else ():
                if before.by_name[name].origin is not Origin.CONFIGURED:  # `remove` has forgotten it
                    self._forget(name)
        if after is not before:
            self._log(before, after)
            if self.guard is not None and self.guard.refusals:
                self.guard.forgive(before, after)
            if moved or after.discovery is not before.discovery:
                self._complain()
            for listener in tuple(self.listeners):
                listener(after)
        return after

    def _locate(self, view: View) -> None:
        """Make the addresses of the nodes that were reported; all anew, for the first configured node may be another
        one by now.

        Before the view is published: whoever sees a node there may dial it.
        """
        first = next(
            (self.addresses[n.name] for n in view if n.origin is Origin.CONFIGURED and n.name in self.addresses), None
        )
        for node in view:
            if node.behind and node.name not in self.addresses and node.behind in self.addresses:
                self.addresses[node.name] = self.addresses[node.behind]
                self.records.setdefault(node.name, Record())
            elif node.origin not in LISTED and node.endpoint is not None and first is not None:
                self.addresses[node.name] = derived(node.name, node.endpoint, first)
                self.records.setdefault(node.name, Record())

    def _complain(self) -> None:
        for text in self.complaints():
            if text not in self._complained:
                self._complained.add(text)
                log.warning("cluster %s: discovery: %s", self.name, " ".join(text.split()))
                self.events.note("discovery", "", text)

    def connected(self, name: str) -> None:
        """Count a connection that was opened."""
        record = self.records.get(name)
        if record is not None:
            record.connections += 1
            record.last_success = time.time()

    def recovered(self, name: str, error: BaseException) -> None:
        """Count a statement that went on elsewhere after ``error``, now on ``name``."""
        self.events.note("recovery", name, f"a statement was recovered there, after {type(error).__name__}")
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
            record.last_error_message = self.redacted(name, f"{type(error).__name__}: {in_one_line(error)}")

    def redacted(self, name: str, text: str) -> str:
        """Return ``text`` without the node's password: drivers quote connection strings in their messages."""
        password = self.passwords.get(name)
        return text.replace(password, "***") if password else text

    def without_passwords(self, text: str) -> str:
        """Return ``text`` without the password of any node."""
        for name in tuple(self.passwords):
            text = self.redacted(name, text)
        return text

    def complaints(self) -> tuple[str, ...]:
        """Return what keeps discovery from being complete, without any password."""
        return tuple(map(self.without_passwords, complaints(self.view)))

    def after_fork(self) -> None:
        """Give the child a lock of its own: the parent's may have been held by a thread that does not exist here."""
        self._lock = threading.Lock()
        for login in self.logins.values():
            login.after_fork()
        if self.durations is not None:
            self.durations.clear()
        if self.guard is not None:
            self.guard.after_fork()

    def _log(self, before: View, after: View) -> None:
        self._note(before, after)
        if before.epoch and after.epoch and before.epoch.lineage != after.epoch.lineage:
            text = (
                f"another database is the cluster's own from now on: {after.epoch.lineage}, not {before.epoch.lineage}"
            )
            log.warning("cluster %s: %s", self.name, text)
            self.events.note("database", "", text)
        for node in after.nodes:
            old = before.by_name.get(node.name)
            if old is None and node.behind:
                log.info("cluster %s: the address of node %s leads to %s too", self.name, node.behind, node.server)
            if old is not None and _state(old) != _state(node) and node.origin is not Origin.REPORTED:
                log.log(
                    logging.INFO if node.usable else logging.WARNING,
                    "cluster %s: node %s is %s%s",
                    self.name,
                    node.name,
                    _words(node),
                    f": {' '.join(node.why.split())}" if node.why else "",  # a driver's message has several lines
                )
            if old is not None and old.peers - node.peers:
                log.warning("cluster %s: node %s: %s", self.name, node.name, node.why)
        for node in before.nodes:
            if node.name not in after.by_name and node.origin is Origin.DISCOVERED:
                log.info(
                    "cluster %s: node %s, which was discovered, is none of its nodes any more", self.name, node.name
                )

    def _note(self, before: View, after: View) -> None:
        """Make an event of each change of a node."""
        for node in after.nodes:
            old = before.by_name.get(node.name)
            if node.origin is Origin.REPORTED or (old is not None and _state(old) == _state(node)):
                continue
            kind = "drain" if old is not None and old.draining is not node.draining else "node"
            became = "was added" if old is None else f"is {_words(node)}"
            why = f": {node.why}" if old is not None and node.why else ""
            self.events.note(kind, node.name, became + why)
        for name in before.by_name.keys() - after.by_name.keys():
            if before.by_name[name].origin is not Origin.REPORTED:
                self.events.note("node", name, "was removed")


def _bare(error: BaseException) -> BaseException:
    """Return a copy without its traceback: that would keep the caller's variables alive, a forgotten connection among
    them.
    """
    try:
        bare, cause = copy.copy(error).with_traceback(None), error.__cause__
        bare.__cause__ = None if cause is None else copy.copy(cause).with_traceback(None)
        return bare
    except Exception:  # its class wants other arguments than it keeps
        return RuntimeError(f"{type(error).__name__}: {error}")


def _state(node: Node) -> tuple[object, ...]:
    return node.origin, node.reach, node.role, node.readiness, node.draining, node.outdated


def _words(node: Node) -> str:
    words = [
        node.reach.value,
        node.role.value if node.role.value != "unknown" else "role unknown",
        node.readiness.value,
    ]
    words += ["discovered"] if node.origin is Origin.DISCOVERED else []
    return ", ".join(words + (["draining"] if node.draining else []) + (["outdated"] if node.outdated else []))
