"""Causal reads (`pool.reading`), performed with blocking calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.booking.shelf import Session
from ..core.causal.after import Remembers
from ..core.causal.bookmark import Bookmark
from ..core.steps import Borrow, Consult, Sleep, Step, Steps
from ..core.view.view import Want
from ..pool import causal, reading
from ..pool.borrowing import BaseBorrower
from ..pool.session import awaited
from .drive import drive

if TYPE_CHECKING:
    from .pool import Pool

T = TypeVar("T")
Lend = Callable[[Want, float], Session]


def checkout(pool: Pool, want: Want, timeout: float, lend: Lend) -> Session:
    """Return a session that has seen what ``want`` asks for, within ``timeout`` seconds; ``lend`` checks one out for a
    want that asks for nothing.

    Raises `CausalityLost`, `NoNodeAvailable` that says who is behind, and what ``lend`` raises.
    """
    if not want.read_only:
        return causal.written(pool, want, lend(causal.plain(want), timeout))
    return _drive(pool, reading.checkout(pool, want, timeout), lend)


def bookmark(pool: Pool, memory: Remembers, deadline: float) -> Bookmark | None:
    """Take what ``memory`` lacks, and return its bookmark.  Raises `CausalityLost`."""
    return _drive(pool, reading.bookmark(pool, memory, deadline), pool.checkout)


def _drive(pool: Pool, steps: Steps[T], lend: Lend) -> T:
    borrower = _Borrower(pool, lend)
    try:
        return drive(steps, borrower.perform)
    except BaseException:  # nobody else knows of what was borrowed
        borrower.let_go()
        raise


class _Borrower(BaseBorrower):
    """Does what `pool.reading` asks for."""

    pool: Pool

    def perform(self, step: Step) -> object:
        match step:
            case Borrow(want, seconds, apart):
                self.held.append((self.pool.checkout if apart else self.lend)(want, seconds))
                return self.held[0]
            case Consult(session, statements):
                return self._consult(session, statements)
            case Sleep(seconds):
                time.sleep(seconds)
            case _:
                return self.at_once(step)
        return None

    def _consult(self, session: Session, statements: tuple[str, ...]) -> Any:
        try:
            with awaited(session):
                return self.pool.driver.ask(session.raw, statements)
        except Exception as exc:
            return self.lost(session, exc)
