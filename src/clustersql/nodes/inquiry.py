"""How the members of a cluster are asked for, where they are discovered.

A node that has answered a probe is asked next, on the same connection but as a question of its own: on some servers it
can wait for a lock (``SHOW SLAVE STATUS`` while replication is being stopped), which must not look like a dead node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from ..core.view.members import Members
from ..core.view.node import Report
from ..core.words import first_line
from ..drivers.contract import AnyDriver
from .dial import D
from .kept import Kept, NewLock
from .resolver import EVERY
from .topology import Topology


@dataclass(frozen=True, slots=True)
class Told:
    """What came of statements put on a connection."""

    raw: Any
    """The driver's connection, as good as before."""
    rows: Any = None
    """The rows of each statement; None: nothing was asked for, or it was refused."""
    refused: Exception | None = None
    """The error with which the server refused them."""
    name: str = ""
    """The node to which the connection has led, where that may be another one than was meant; "": it is the same."""
    identity: str | None = None
    """Which server it was opened to, as `Report.identity`; None: it was open already."""


MakeQuestion = Callable[[str, Any, Sequence[str], Report], D]
"""Returns the question for the members that a node knows, given its name, the connection, the statements and its
report, not started yet.

It ends with `Told`, calls `Inquiry.ended`, and `Inquiry.heard_out` when it hangs no more.
"""


class Inquiry(Generic[D]):
    """The questions for members that are under way: one a node at most, also while it hangs."""

    def __init__(
        self, topology: Topology, driver: AnyDriver, kept: Kept, new_lock: NewLock, question: MakeQuestion[D]
    ) -> None:
        self._topology = topology
        self._driver = driver
        self._kept = kept
        self._new_lock = new_lock
        self._question = question
        self._asking: dict[str, D] = {}
        self._refused_at: dict[str, float] = {}
        self._lock = new_lock()

    @property
    def under_way(self) -> tuple[D, ...]:
        """The questions that have not been heard out."""
        return tuple(self._asking.values())

    def begin(self, name: str, report: Report) -> None:
        """Ask a node that has just answered for the members of its cluster, unless such a question still
        hangs there.
        """
        statements = self._driver.dialect.ask_members
        if statements is None or self._topology.settings.discover is not True:
            return
        with self._lock:
            raw = None if name in self._asking else self._kept.take(name)
            if raw is None:
                return
            question = self._asking[name] = self._question(name, raw, statements(report), report)
        question.start()

    def ended(self, question: D, report: Report) -> None:
        """A node has told its members, or refused to; or it did not answer, which says nothing about the members, nor
        about the node.
        """
        if question.error is None:
            told: Told = question.result
            self._topology.tell(self._members(question.name, report, told))
            if told.refused is not None and self._is_due_anew(question.name):
                self._kept.close(told.raw)
            else:
                self._kept.keep(question.name, told.raw)
        elif isinstance(question.error, Exception):
            self._topology.tell(Members(question.name, why=first_line(question.error)))

    def _members(self, name: str, report: Report, told: Told) -> Members:
        if told.refused is not None:
            return Members(name, why=first_line(told.refused))
        try:
            return self._driver.dialect.members(name, report, told.rows)
        except Exception as exc:  # an answer in a form that we do not know must not end the probes
            return Members(name, why=f"its answer cannot be read: {type(exc).__name__}: {first_line(exc)}")

    def _is_due_anew(self, name: str) -> bool:
        """Whether a refusal is answered by a new connection: a session of MariaDB has the privileges of its beginning
        for ever.
        """
        now, every = time.monotonic(), EVERY * self._topology.settings.probe_interval
        if now - self._refused_at.setdefault(name, now) < every:
            return False
        self._refused_at[name] = now
        return True

    def heard_out(self, name: str) -> None:
        """A question hangs no more; only now may the next one be put."""
        with self._lock:
            self._asking.pop(name, None)

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was noted of nodes that are no members any more."""
        for name in names:
            self._refused_at.pop(name, None)

    def after_fork(self) -> list[Any]:
        """In a forked child: forget the parent's questions, and return the connections that they use."""
        raws = [question.held for question in self._asking.values() if question.held is not None]
        self._asking = {}
        self._lock = self._new_lock()
        return raws
