"""Causal reads (`pool.reading`), performed with blocking calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.booking.shelf import Session
from ..core.causal.after import Remembers
from ..core.causal.bookmark import Bookmark
from ..core.steps import Borrow, Consult, Return, See, Sleep, Step, Steps, Tell
from ..core.view.view import Want
from ..pool import causal, reading
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
    held: list[Session] = []
    try:
        return drive(steps, lambda step: _perform(pool, step, lend, held))
    except BaseException:  # nobody else knows of a session that was borrowed
        for session in held:
            pool.give_back(session, keep=False)
        raise


def _perform(pool: Pool, step: Step, lend: Lend, held: list[Session]) -> object:
    """Perform a step; ``held``: the session that is borrowed now, if any."""
    match step:
        case See():
            return time.monotonic(), pool.topology.view
        case Borrow(want, seconds, apart):
            held.append((pool.checkout if apart else lend)(want, seconds))
            return held[0]
        case Consult(session, statements):
            return _consult(pool, session, statements, held)
        case Return(session):
            held.clear()
            pool.give_back(session)
        case Sleep(seconds):
            time.sleep(seconds)
        case Tell(seen):
            pool.topology.tell(seen)
        case _:
            raise AssertionError(step)
    return None


def _consult(pool: Pool, session: Session, statements: tuple[str, ...], held: list[Session]) -> Any:
    try:
        with awaited(session):
            return pool.driver.ask(session.raw, statements)
    except Exception as exc:
        held.clear()
        pool.lost_in_switch(session, exc)
        return exc
