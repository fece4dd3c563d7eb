"""The questions that the monitor puts to each node of a cluster, on connections of its own: all but the waiting.

A probe asks for the role and the readiness, never merely for a pulse.  One at a time per node, in the background, so
that a node that hangs delays no other.  A node that is not up is dialled anew: an old connection that still answers
says nothing about new ones.

Here is which probe is due, and what follows when one has ended.  How a node is asked stands in `core.view.probe`, the
connections in `kept`, the question for the members in `inquiry`.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic

from ..config.patroni import Place
from ..core.view.cadence import hurried, probe_due
from ..core.view.members import Members
from ..core.view.node import Node, Reach, Report
from ..core.view.observations import Missed, SessionLost
from ..core.view.probe import Probe
from ..core.view.servers import is_alone
from ..drivers.contract import AnyDriver
from .dial import D, Order, Owed, Spare, judge, patience, tell_failure
from .inquiry import Inquiry
from .kept import Kept
from .patroni import Patroni
from .resolver import Lookups
from .topology import Topology

Heard = Callable[[Sequence[Owed], Collection[int], str], None]
"""Told what was asked about, the numbers of the sessions that are at work, and on which server (`Report.identity`)."""

HUNG = 2
"""Probes of one node that may hang in a driver that knows no timeout; with so many, no further one is begun."""


class BaseProber(Generic[D]):
    """Probes every node of one cluster when it is due; its probes report from wherever they ran."""

    def __init__(self, topology: Topology, driver: AnyDriver, heard: Heard) -> None:
        self.topology = topology
        self.driver = driver
        self.heard = heard
        self.ran = 0
        self._spread = 0.0  # of its own share of the hurry in a long outage; not drawn yet
        self._last: dict[str, float] = {}
        self._starving_since: float | None = None
        self._asking: dict[str, D] = {}
        self._owed: dict[str, tuple[Owed, ...]] = {}
        self._running: dict[str, int] = {}
        self._looked: dict[str, float] = {}  # when an address was dialled to see whether it leads elsewhere too
        self._on_open: set[str] = set()  # asked on a connection that was open already
        self._on_look: set[str] = set()  # asked on a new one, though one was open
        self._doubted: set[str] = set()  # of those, behind a pooler: the answer was late
        self._kept = Kept(topology, driver, self._new_lock, self._close)
        self._inquiry: Inquiry[D] = Inquiry(topology, driver, self._kept, self._new_lock, self._members_attempt)
        self._lookups = Lookups(topology)
        self._patroni = Patroni(topology)
        self._hinted: frozenset[str] = frozenset()  # asked at the next round, by Patroni's word
        self._lock = self._new_lock()

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> D:
        """Return the probe of ``name``, not started yet: it drives `core.view.probe.probe`, calls `_done`, and
        `_ended`.
        """
        raise NotImplementedError

    def _members_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> D:
        """Return the question for the members that ``name`` knows; see `inquiry.MakeQuestion`."""
        raise NotImplementedError

    def say(self, name: str, order: Order) -> None:
        """Give ``name`` an order in the background, on the connection for probes; one connection per node for all of
        them.
        """
        raise NotImplementedError

    def _look_up(self, name: str, host: str) -> None:
        """Resolve ``host`` in the background, and give what came of it to `Lookups.done`."""
        raise NotImplementedError

    def _ask_patroni(self, places: Sequence[Place]) -> None:
        """Ask Patroni in the background, and give what came of it to `_told`."""
        raise NotImplementedError

    def _close(self, raw: Any) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        raise NotImplementedError

    # -- what is due ---------------------------------------------------------------------------------------------------

    def tick(
        self,
        now: float,
        starving: bool,
        owed: Mapping[str, tuple[Owed, ...]] = MappingProxyType({}),
        stalled: float = 0.0,
    ) -> float:
        """Begin the probes that are due and abandon those that are late.  Returns when the next thing is due (monotonic
        seconds).

        ``starving``: a caller waits for a role that no node has.  ``owed``: per node the answers that it owes for
        longer than ``stall_after``, about which it is asked.  ``stalled``: seconds for which this process did not run.
        """
        settings = self.topology.settings
        self._starving_since = (now if self._starving_since is None else self._starving_since) if starving else None
        waited = None if self._starving_since is None else now - self._starving_since
        self._kept.drop_useless()
        self._forget_the_gone()
        for name, host in self._lookups.due(now):
            self._look_up(name, host)
        if places := self._patroni.due(now, starving):
            self._ask_patroni(places)
        due = min(now + settings.probe_interval, self._patroni.next)
        for question in self._inquiry.under_way:
            judge(self.topology, question, now, stalled)
            due = min(due, max(question.deadline, now + settings.failover_probe))
        for node in self.topology.view:
            attempt = self._asking.get(node.name)
            if attempt is not None:
                judge(self.topology, attempt, now, stalled)
                due = min(due, max(attempt.deadline, now))
            else:
                due = min(due, self._probe_when_due(node, now, waited, owed.get(node.name)))
        return due

    def _forget_the_gone(self) -> None:
        """Members come and go under new addresses for as long as the process lives: what is known of the gone would
        only grow.
        """
        view = self.topology.view
        if len(self._last) > len(view.nodes):
            gone = [name for name in list(self._last) if name not in view.by_name and name not in self._asking]
            for name in gone:
                self._last.pop(name, None)
                self._owed.pop(name, None)
                self._looked.pop(name, None)
            for memory in (self._kept, self._inquiry, self._lookups):
                memory.forget(gone)

    def _probe_when_due(self, node: Node, now: float, waited: float | None, owed: tuple[Owed, ...] | None) -> float:
        """Begin the probe of a node that is asked nothing, if it is due.  Returns when to look again."""
        settings, name = self.topology.settings, node.name
        last = self._last.get(name, float("-inf"))  # one that was just added is asked at once: reads may use it then
        hurry = self._hurry(waited)
        at = probe_due(node, now, last, settings.probe_interval, waited, hurry)
        if at > now and name not in self._hinted and (owed is None or last >= now - settings.stall_after):
            return at
        if name in self._hinted:
            with self._lock:
                self._hinted -= {name}
        looks = waited is not None and self._looks(node, now, waited)
        begun = self._begin(name, self._is_dialled(node) or name in self._doubted, now, owed or (), looks)
        return now + settings.failover_probe if begun is None else begun.deadline  # its end wakes the monitor

    def _hurry(self, waited: float | None) -> float:
        """Seconds between two questions to a node while a wanted role has had none for so long; a little more or less
        in each process, so that all of them do not ask at once.
        """
        settings = self.topology.settings
        calm = hurried(waited or 0.0, settings.failover_probe, settings.probe_interval)
        if calm <= settings.failover_probe:
            return calm
        self._spread = self._spread or 0.8 + 0.4 * random.random()
        return calm * self._spread

    def _looks(self, node: Node, now: float, waited: float) -> bool:
        """Whether the address of a node that answers is dialled all the same, while a role is wanted that no node has.

        The connection that is kept leads to the server that is known; the one with the role may be behind the same
        address by now.  Every other question is put to the known one: it may get the role itself.
        """
        looks = not node.behind and node.reach is Reach.UP and not self.topology.is_shared(node.name)
        if not looks or now < self._looked.get(node.name, 0.0) + self._hurry(waited):
            return False
        self._looked[node.name] = now
        return True

    def _is_dialled(self, node: Node) -> bool:
        """Whether the connection that is kept is not to be believed.  Where the address leads to several servers it is
        the only sure way to this one.
        """
        suspect = node.reach is Reach.SUSPECT and not is_alone(self.topology.view.nodes, node)
        return node.distrusted and not suspect

    def _begin(self, name: str, fresh: bool, now: float, owed: tuple[Owed, ...], looks: bool = False) -> D | None:
        self._last[name] = now
        numbers = [str(one.number) for one in owed if one.number is not None]
        question = self.driver.dialect.running.format(", ".join(numbers)) if numbers else ""
        with self._lock:
            if self._kept.closed or self._running.get(name, 0) >= HUNG:
                return None
            self._running[name] = self._running.get(name, 0) + 1
            kept = None if looks else self._kept.take(name)
            dials = fresh or kept is None
            (self._on_open.discard if dials else self._on_open.add)(name)
            attempt = self._attempt(name, kept, fresh, patience(self.topology, dials), question)
            self._asking[name] = attempt
            self._owed[name] = owed
            (self._on_look.add if looks else self._on_look.discard)(name)
        self.ran += 1
        attempt.start()
        return attempt

    # -- what follows --------------------------------------------------------------------------------------------------

    def _done(self, name: str) -> None:
        """A probe of ``name`` hangs no more, whatever became of it."""
        with self._lock:
            self._running[name] -= 1

    def _ended(self, attempt: D) -> None:
        if attempt.error is None:
            self._answered(attempt, attempt.result)
        elif isinstance(attempt.error, Exception):  # a cancellation is no news about the node
            self._failed(attempt, attempt.error)
        with self._lock:
            if self._asking.get(attempt.name) is attempt:
                del self._asking[attempt.name]
        self._wake()

    def _answered(self, attempt: D, answer: Probe) -> None:
        asked, peer = attempt.name, self.driver.peer(answer.raw)
        self._doubted.discard(asked)
        if answer.left:
            self._left(asked, answer.report)
        name = self.topology.reached(asked, answer.report)
        looks = asked in self._on_look
        if not looks or name not in self._kept.names:
            self._kept.note(name, attempt)
        # Before the view is told: whoever that wakes may take it (`spare`).
        self._kept.keep(name, answer.raw, answer.report.identity, asked, looks)
        self.topology.tell(answer.news(asked, peer))
        if name != asked and not looks:
            self.topology.tell(Missed(asked, f"its address has led to {name} instead"))
        self._inquiry.begin(name, answer.report)
        if answer.running is not None:
            self.heard(self._owed[asked], {row[0] for row in answer.running}, answer.report.identity)

    def _left(self, name: str, report: Report) -> None:
        """The connection that was kept has failed, and a new one has led to the server of ``report``: where that is
        another one, nothing else is known of the first.
        """
        node = self.topology.view.by_name.get(name)
        if node is not None and node.server and self.topology.reached(name, report) != name:
            self.topology.tell(SessionLost(name, node.generation, "its connection for probes has failed"))

    def _failed(self, attempt: D, error: Exception) -> None:
        """A probe has failed; a silence behind a pooler does not condemn the node, for it may be the pooler's queue.

        A pooler that lets nobody in is dead.  So an answer that is late on an open connection is followed by a dial, at
        once.
        """
        name = attempt.name
        if name in self._on_look:  # the known one answers on the connection that is kept
            self.topology.failed(name, error)
            return
        if attempt.late and name in self._on_open and self.topology.is_shared(name):
            self._doubted.add(name)
            self._last.pop(name, None)
        else:
            self._doubted.discard(name)
            tell_failure(self.topology, self.driver, attempt, error)

    def _told(self, place: Place | None, told: Members | None) -> None:
        """A question to Patroni has ended; see `Patroni.heard`."""
        hinted = self._patroni.heard(place, told)
        with self._lock:
            self._hinted |= frozenset(hinted)
        self._wake()  # members that are new are asked at once too

    def spare(self, name: str) -> Spare | None:
        """Give the connection for probes to ``name`` away, for work that would have to dial; None: there is none at
        this moment.

        The next probe dials a new one, soon: on an open connection a silence is judged sooner than at a dial
        (`patience`).  Whoever is first has it, this one or the probe that is due (`_begin`): both take it under its
        lock.
        """
        settings, now = self.topology.settings, time.monotonic()
        address = self.topology.addresses.get(name)
        if address is not None and address.credentials is not None:
            return None  # nobody remembers when the lease ends under which it was opened
        spare = self._kept.spare(name, now)
        if spare is not None:
            self._last[name] = now - settings.probe_interval + settings.failover_probe
            self._wake()
        return spare

    # -- the end, and forks --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections for probes; one that is under way is closed when it ends."""
        for raw in self._kept.end():
            self._close(raw)

    def after_fork(self) -> list[Any]:
        """In a forked child: forget everything, and return the parent's connections."""
        raws = self._kept.after_fork() + self._inquiry.after_fork()
        raws += [attempt.held for attempt in self._asking.values() if attempt.held is not None]
        self._asking, self._running = {}, {}
        self._on_open, self._on_look, self._doubted = set(), set(), set()
        self._lookups = Lookups(self.topology)
        self._patroni = Patroni(self.topology)
        self._lock = self._new_lock()
        return raws
