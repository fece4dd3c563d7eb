"""The questions that the monitor puts to each node of a cluster, on connections of its own: all but the waiting.

A probe asks for the role and the readiness, never merely for a pulse.  One at a time per node, in the background, so that a node that
hangs delays no other.  A node that is not up is dialled anew: an old connection that still answers says nothing about new ones.

Where members are discovered, a node that has answered is asked for them next, on the same connection but as a question of its own: on some
servers it can wait for a lock (``SHOW SLAVE STATUS`` while replication is being stopped), which must not look like a dead node.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ..core.steps import Ask, Step, Steps, Tell
from ..core.view.members import Members
from ..core.view.node import Report
from ..core.view.observe import probe_due
from ..core.view.probe import probe
from ..core.words import first_line
from ..drivers.contract import AnyDriver
from .dial import Dialling, Owed, Spare, allowed, connect_facts, is_behind, tell_failure
from .resolver import EVERY, Lookups
from .topology import Topology

Heard = Callable[[Sequence[Owed], Collection[int]], None]
"""Told what was asked about, and the numbers of the sessions that are at work."""

HUNG = 2
"""Probes of one node that may hang in a driver that knows no timeout; with so many, no further one is begun."""


D = TypeVar("D", bound=Dialling)


class BaseProber(Generic[D]):
    """Probes every node of one cluster when it is due; its probes report from wherever they ran."""

    def __init__(self, topology: Topology, driver: AnyDriver, heard: Heard) -> None:
        self.topology = topology
        self.driver = driver
        self.heard = heard
        self.ran = 0
        self._last: dict[str, float] = {}
        self._starving_since: float | None = None
        self._told: dict[str, tuple[float, float]] = {}
        self._asking: dict[str, D] = {}
        self._owed: dict[str, tuple[Owed, ...]] = {}
        self._running: dict[str, int] = {}
        self._on_open: set[str] = set()  # asked on a connection that was open already
        self._doubted: set[str] = set()  # of those, behind a pooler: the answer was late
        self._kept: dict[str, Any] = {}
        self._learning: dict[str, D] = {}
        self._refused_at: dict[str, float] = {}
        self._lookups = Lookups(topology)
        self._closed = False
        self._lock = self._new_lock()

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def _attempt(self, name: str, kept: Any, fresh: bool, patience: float, question: str) -> D:
        """Return the probe of ``name``, not started yet; it calls `_ended`, and closes ``kept`` unless it answers on it.

        Its result: the connection, the report, whether it was dialled for that, and the rows of ``question``, where that is not empty.
        """
        raise NotImplementedError

    def _learn_attempt(self, name: str, raw: Any, statements: Sequence[str], report: Report) -> D:
        """Return the question for the members that ``name`` knows, not started yet; it calls `_learned`, and `_heard_out` when it hangs no more.

        Its result: the connection, and the rows of each statement, or the error with which the server refused them.
        """
        raise NotImplementedError

    def say(self, name: str, statement: str) -> None:
        """Send ``statement`` to ``name`` in the background, on the connection for probes; one connection per node for all of them."""
        raise NotImplementedError

    def _look_up(self, name: str, host: str) -> None:
        """Resolve ``host`` in the background, and give what came of it to `Lookups.done`."""
        raise NotImplementedError

    def _close(self, raw: Any) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        raise NotImplementedError

    def tick(
        self,
        now: float,
        starving: bool,
        owed: Mapping[str, tuple[Owed, ...]] = MappingProxyType({}),
        stalled: float = 0.0,
    ) -> float:
        """Begin the probes that are due and abandon those that are late.  Returns when the next thing is due (monotonic seconds).

        ``starving``: a caller waits for a role that no node has.  ``owed``: per node the answers that it owes for longer than
        ``stall_after``, about which it is asked.  ``stalled``: seconds for which this process did not run.
        """
        settings, due = self.topology.settings, now + self.topology.settings.probe_interval
        self._starving_since = (now if self._starving_since is None else self._starving_since) if starving else None
        waited = None if self._starving_since is None else now - self._starving_since
        self._drop_useless()
        for name, host in self._lookups.due(now):
            self._look_up(name, host)
        for asked in tuple(self._learning.values()):
            asked.deadline = allowed(asked, now, stalled)
            self._judge(asked, now)
            due = min(due, max(asked.deadline, now + settings.failover_probe))
        for node in self.topology.view:
            attempt = self._asking.get(node.name)
            if attempt is not None:
                if stalled:  # not otherwise: a probe that dials after all moves its deadline itself
                    attempt.deadline = allowed(attempt, now, stalled)
                self._judge(attempt, now)
                due = min(due, max(attempt.deadline, now))
                continue
            last = self._last.get(
                node.name, float("-inf")
            )  # a node that was just added is asked at once: reads may use it then
            at = probe_due(node, now, last, settings.probe_interval, waited, settings.failover_probe)
            if node.name in owed and last < now - settings.stall_after:
                at = now
            if at <= now:
                fresh = node.distrusted or node.name in self._doubted
                begun = self._begin(node.name, fresh, now, owed.get(node.name, ()))
                at = now + settings.failover_probe if begun is None else begun.deadline  # its end wakes the monitor
            due = min(due, at)
        return due

    def _judge(self, attempt: D, now: float) -> None:
        """Abandon a question that is late, unless the node is not to blame."""
        if attempt.deadline <= now:
            attempt.heed(now, attempt.patience + self.topology.settings.connect_timeout)
            if attempt.deadline <= now:
                attempt.abandon()

    def _drop_useless(self) -> None:
        """Close what leads to a node that was removed, or to an address that its name no longer leads to."""
        view, useless = self.topology.view, []
        with self._lock:  # or another thread may take one, and close it, while its address is looked at
            for name, raw in list(self._kept.items()):
                node = view.by_name.get(name)
                if node is None or self.driver.peer(raw) not in ("", *node.peers):
                    useless.append(self._kept.pop(name))
        for raw in useless:
            self._close(raw)
        if len(self._last) > len(
            view.nodes
        ):  # members come and go under new addresses for as long as the process lives
            gone = [name for name in list(self._last) if name not in view.by_name and name not in self._asking]
            for name in gone:
                for memory in (self._last, self._told, self._owed, self._refused_at):
                    memory.pop(name, None)
            self._lookups.forget(gone)

    def _begin(self, name: str, fresh: bool, now: float, owed: tuple[Owed, ...]) -> D | None:
        self._last[name] = now
        numbers = [str(one.number) for one in owed if one.number is not None]
        question = self.driver.dialect.running.format(", ".join(numbers)) if numbers else ""
        with self._lock:
            if self._closed or self._running.get(name, 0) >= HUNG:
                return None
            self._running[name] = self._running.get(name, 0) + 1
            kept = self._kept.pop(name, None)
            (self._on_open.discard if fresh or kept is None else self._on_open.add)(name)
            attempt = self._asking[name] = self._attempt(
                name, kept, fresh, self._patience(fresh or kept is None), question
            )
            self._owed[name] = owed
        self.ran += 1
        attempt.start()
        return attempt

    def _done(self, name: str) -> None:
        """A probe of ``name`` hangs no more, whatever became of it."""
        with self._lock:
            self._running[name] -= 1

    def _patience(self, dials: bool) -> float:
        """Seconds that a node may take: an open connection is asked one small question, so silence there says more than at a dial."""
        settings = self.topology.settings
        return settings.connect_timeout if dials else min(settings.connect_timeout, settings.stall_after)

    def _ended(self, attempt: D) -> None:
        name, peer = attempt.name, ""
        if attempt.error is None:  # kept before the view is: whoever that wakes may take it (`spare`)
            self._note(attempt)
            peer = self.driver.peer(attempt.result[0])
            self._keep(name, attempt.result[0])
        if isinstance(attempt.error, Exception) and self._is_no_verdict(attempt, attempt.error):
            pass
        elif attempt.error is None or isinstance(attempt.error, Exception):  # a cancellation is no news about the node
            self._doubted.discard(name)
            dialled = attempt.error is not None or attempt.result[2]
            steps = probe(name, lambda exc: connect_facts(self.driver, exc), dialled, peer)
            _follow(steps, lambda step: self._perform(step, attempt))
        if attempt.error is None:
            running = attempt.result[3]
            self._learn(name, attempt.result[1])
            if running is not None:
                self.heard(self._owed[name], {row[0] for row in running})
        with self._lock:
            if self._asking.get(name) is attempt:
                del self._asking[name]
        self._wake()

    def _is_no_verdict(self, attempt: D, error: Exception) -> bool:
        """Whether a silence behind a pooler does not condemn the node: it may be the pooler's queue.

        A pooler that lets nobody in is dead.  So an answer that is late on an open connection is followed by a dial, at once.
        """
        name = attempt.name
        if attempt.late and name in self._on_open and self.topology.is_shared(name):
            self._doubted.add(name)
            self._last.pop(name, None)
            return True
        if not is_behind(self.topology, self.driver, attempt, error):
            return False
        self._doubted.discard(name)
        tell_failure(self.topology, self.driver, attempt, error)
        return True

    def _perform(self, step: Step, attempt: D) -> Report | None:
        match step:
            case Ask():
                if attempt.error is not None:
                    self.topology.failed(attempt.name, attempt.error)
                    raise attempt.error
                report: Report = attempt.result[1]
                return report
            case Tell(seen):
                self.topology.tell(seen)
                return None
        raise AssertionError(step)

    def _note(self, attempt: D) -> None:
        """Remember when the connection was opened, and how long the answer took."""
        opened = attempt.began if attempt.result[2] else self._told.get(attempt.name, (attempt.began, 0.0))[0]
        self._told[attempt.name] = opened, attempt.seconds

    def spare(self, name: str) -> Spare | None:
        """Give the connection for probes to ``name`` away, for work that would have to dial; None: there is none at this moment.

        The next probe dials a new one, soon: on an open connection a silence is judged sooner than at a dial (`_patience`).
        Whoever is first has it, this one or the probe that is due (`_begin`): both take it under the lock.
        """
        with self._lock:
            raw = self._kept.pop(name, None)
        if raw is None:
            return None
        settings, now = self.topology.settings, time.monotonic()
        self._last[name] = now - settings.probe_interval + settings.failover_probe
        self._wake()
        return Spare(raw, *self._told.get(name, (now, 0.0)))

    def _learn(self, name: str, report: Report) -> None:
        """Ask a node that has just answered for the members of its cluster, unless such a question still hangs there."""
        ask = self.driver.dialect.ask_members
        if ask is None or not self.topology.settings.discover:
            return
        with self._lock:
            raw = None if self._closed or name in self._learning else self._kept.pop(name, None)
            if raw is None:
                return
            attempt = self._learning[name] = self._learn_attempt(name, raw, ask(report), report)
        attempt.start()

    def _learned(self, attempt: D, report: Report) -> None:
        """A node has told its members, or refused to; or it did not answer, which says nothing about the members, nor about the node."""
        error = attempt.error
        if error is None:
            raw, answer = attempt.result
            self.topology.tell(self._members(attempt.name, report, answer))
            if isinstance(answer, Exception) and self._is_due_anew(attempt.name):
                self._close(raw)
            else:
                self._keep(attempt.name, raw)
        elif isinstance(error, Exception):
            self.topology.tell(Members(attempt.name, why=first_line(error)))

    def _is_due_anew(self, name: str) -> bool:
        """Whether a refusal is answered by a new connection: a session of MariaDB has the privileges of its beginning for ever."""
        now, every = time.monotonic(), EVERY * self.topology.settings.probe_interval
        if now - self._refused_at.setdefault(name, now) < every:
            return False
        self._refused_at[name] = now
        return True

    def _members(self, name: str, report: Report, answer: Any) -> Members:
        if isinstance(answer, Exception):
            return Members(name, why=first_line(answer))
        try:
            return self.driver.dialect.members(name, report, answer)
        except Exception as exc:  # an answer in a form that we do not know must not end the probes
            return Members(name, why=f"its answer cannot be read: {type(exc).__name__}: {first_line(exc)}")

    def _heard_out(self, name: str) -> None:
        """A question for the members hangs no more; only now may the next one be put."""
        with self._lock:
            self._learning.pop(name, None)

    def _keep(self, name: str, raw: Any) -> None:
        with self._lock:
            keep = not self._closed and name in self.topology.addresses
            old = self._kept.pop(name, None)
            if keep:
                self._kept[name] = raw
        for useless in (old, None if keep else raw):
            if useless is not None:
                self._close(useless)

    def close(self) -> None:
        """Close the connections for probes; one that is under way is closed when it ends."""
        with self._lock:
            self._closed = True
            kept = list(self._kept.values())
            self._kept.clear()
        for raw in kept:
            self._close(raw)

    def after_fork(self) -> list[Any]:
        """In a forked child: forget everything, and return the parent's connections."""
        raws = [*self._kept.values(), *(attempt.held for attempt in self._asking.values() if attempt.held is not None)]
        raws += [attempt.held for attempt in self._learning.values() if attempt.held is not None]
        self._kept, self._asking, self._running, self._learning = {}, {}, {}, {}
        self._on_open, self._doubted = set(), set()
        self._lookups = Lookups(self.topology)
        self._lock = self._new_lock()
        return raws


def _follow(steps: Steps[None], perform: Callable[[Step], object]) -> None:
    """Run a procedure whose steps are all answered at once: `probe`, whose question was put before."""
    step = next(steps)
    with contextlib.suppress(StopIteration):
        while True:
            try:
                answer = perform(step)
            except Exception as exc:
                step = steps.throw(exc)
            else:
                step = steps.send(answer)
