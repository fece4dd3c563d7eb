"""One connection to one node: nothing waits on it longer than its deadline, or a frozen node would hang the check."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar, cast

from ...core.view.members import Members
from ...core.words import first_line
from ...dialects import Dialect
from ...drivers.contract import Driver
from ...nodes.topology import Topology
from ...sync.dial import connect

__all__ = ["Wire", "gather"]

T = TypeVar("T")

LOOK_UP = 0.1
"""Seconds that a wait lasts at most before Ctrl-C is looked for.  A signal that comes between Python's own look and the
wait does not end the wait: it would be noticed only when the time is over (seen: a check that waited for 60 s more)."""
Rows = list[tuple[Any, ...]]


def gather(works: Sequence[Callable[[], T]], seconds: float) -> list[T | Exception]:
    """Do all ``works`` at once, each in a thread; return the value or the error of each, `TimeoutError` for those that
    are late.
    """
    done: queue.SimpleQueue[tuple[int, T | Exception]] = queue.SimpleQueue()

    def work(index: int) -> None:
        try:
            done.put((index, works[index]()))
        except Exception as exc:
            done.put((index, exc))

    found: list[T | Exception] = [TimeoutError(f"no answer within {seconds:g} s") for _ in works]
    for index in range(len(works)):
        threading.Thread(target=work, args=(index,), name=f"check-{index}", daemon=True).start()
    deadline, waiting = monotonic() + seconds, len(works)
    while waiting and (left := deadline - monotonic()) > 0.0:
        with contextlib.suppress(queue.Empty):
            index, outcome = done.get(timeout=min(left, LOOK_UP))
            found[index], waiting = outcome, waiting - 1
    return found


class Wire:
    """The connection.  ``seconds`` bounds each call; a call that is late is aborted, raises `TimeoutError`, and ends
    the connection.
    """

    def __init__(self, topology: Topology, node: str, seconds: float) -> None:
        self.node = node
        self._topology = topology
        self._driver = cast(Driver, topology.driver)  # `check_cluster` has seen to it that it is one for threads
        self._seconds = seconds
        self._raw: Any = None
        self._given_up = False
        self._busy = False
        self._lock = threading.Lock()

    def open(self) -> float:
        """Connect; return how many seconds it took.  Raises what the driver raises."""
        began = monotonic()
        self._bounded(self._open)
        return monotonic() - began

    def execute(self, sql: str, *, keep: bool = False) -> Rows:
        """Run one statement and commit; with ``keep`` leave its transaction open.  Return its rows."""
        return self._bounded(lambda: self._execute(sql, keep))

    def commit(self) -> None:
        """Commit what `execute` left open."""
        self._bounded(lambda: self._raw.commit())

    def rollback(self) -> None:
        """Undo what `execute` left open."""
        self._bounded(lambda: self._raw.rollback())

    @property
    def dialect(self) -> Dialect:
        """The database at the other end."""
        return self._driver.dialect

    def probe(self) -> Any:
        """Ask the dialect's probe; return its `Report`."""
        from ...sync.dial import ask

        return self._bounded(lambda: ask(self._driver, self._raw))

    def peer(self) -> str:
        """Return the address and port at the other end; "": not known."""
        return self._driver.peer(self._raw)

    def members(self, report: Any) -> Members:
        """Ask the node, whose report is known, for the members of its cluster; what it refuses is told in ``why``."""
        dialect = self._driver.dialect
        if dialect.ask_members is None:
            return Members(self.node, why="the database does not tell them")
        statements = dialect.ask_members(report)
        try:
            answers = self._bounded(lambda: self._driver.ask(self._raw, statements))
        except Exception as exc:
            return Members(self.node, why=first_line(exc))
        return dialect.members(self.node, report, answers)

    def abandon(self) -> bool:
        """End a call that was interrupted (Ctrl-C); return whether there was one."""
        if self._busy:
            self._give_up()
        return self._busy

    def close(self) -> None:
        """Close it, or leave it to the thread that still uses it."""
        with self._lock:
            raw, self._raw, late = self._raw, None, self._given_up
            self._given_up = True
        if raw is not None and not late:
            gather([lambda: self._driver.close(raw)], self._seconds)

    def _bounded(self, work: Callable[[], T]) -> T:
        if self._given_up:
            raise TimeoutError("the connection was given up")
        self._busy = True
        [outcome] = gather([work], self._seconds)
        self._busy = False
        if isinstance(outcome, TimeoutError):
            self._give_up()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._raw is not None:
                self._driver.abort(self._raw)

    def _open(self) -> None:
        raw = connect(self._topology, self._driver, self.node, hold=self._hold).raw
        if self._given_up:
            self._driver.close(raw)

    def _hold(self, raw: Any) -> None:
        with self._lock:
            self._raw = raw
            if self._given_up and raw is not None:
                self._driver.abort(raw)

    def _execute(self, sql: str, keep: bool) -> Rows:
        raw = self._raw
        cursor = raw.cursor()
        try:
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except Exception:
            # The next question is put on the same connection, whose transaction may have failed by this one.
            with contextlib.suppress(Exception):
                raw.rollback()
            raise
        finally:
            cursor.close()
        if not keep:
            raw.commit()
        return rows
