"""Causal reads (`core.causal`), performed by awaiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.booking.shelf import Session
from ..core.causal.after import Causal, Remembers
from ..core.causal.bookmark import Bookmark
from ..core.causal.reading import Behind, reading
from ..core.causal.taking import taking
from ..core.steps import Borrow, Consult, Return, See, Sleep, Step, Steps, Tell
from ..core.view.view import Want
from ..pool import causal
from ..pool.session import awaited
from .drive import drive

if TYPE_CHECKING:
    from .pool import Pool

T = TypeVar("T")
Lend = Callable[[Want, float], Awaitable[Session]]


async def checkout(pool: Pool, want: Want, timeout: float, lend: Lend) -> Session:
    """Return a session that has seen what ``want`` asks for, within ``timeout`` seconds; ``lend`` checks one out for a want that asks for nothing.

    Raises `CausalityLost`, `NoNodeAvailable` that says who is behind, and what ``lend`` raises.
    """
    asked: Causal = want.causal
    began, memory = time.monotonic(), asked.memory
    if causal.writes(want):
        session = await lend(causal.plain(want), timeout)
        if memory is not None:
            memory.served(session, session.node, causal.identity(pool, session.node))
        return session
    deadline = began + timeout
    mark = await bookmark(pool, memory, deadline) if memory is not None else None
    outcome = await _drive(pool, reading(causal.search(pool, want, mark, deadline)), lend)
    if isinstance(outcome, Behind):
        raise causal.behind(pool, want, outcome, began)
    causal.remember(pool, memory, outcome)
    return outcome.session  # type: ignore[no-any-return]


async def bookmark(pool: Pool, memory: Remembers, deadline: float) -> Bookmark | None:
    """Take what ``memory`` lacks, and return its bookmark.  Raises `CausalityLost`."""
    ended, due = memory.ended(), memory.due()
    if not due:
        return memory.mark
    means = causal.means_of(pool)
    mark = await _drive(
        pool, taking(due, memory.mark, means, deadline), lambda want, seconds: pool.checkout(want, seconds)
    )
    memory.taken(ended, mark)
    return memory.mark


async def _drive(pool: Pool, steps: Steps[T], lend: Lend) -> T:
    return await drive(steps, lambda step: _perform(pool, step, lend))


async def _perform(pool: Pool, step: Step, lend: Lend) -> object:
    match step:
        case See():
            return time.monotonic(), pool.topology.view
        case Borrow(want, seconds):
            return await lend(want, seconds)
        case Consult(session, statements):
            return await _consult(pool, session, statements)
        case Return(session):
            pool.give_back(session)
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case Tell(seen):
            pool.topology.tell(seen)
        case _:
            raise AssertionError(step)
    return None


async def _consult(pool: Pool, session: Session, statements: tuple[str, ...]) -> Any:
    try:
        with awaited(session):
            return await pool.driver.ask(session.raw, statements)
    except Exception as exc:
        pool.lost_in_switch(session, exc)
        return exc
    except BaseException:  # with the answer pending
        pool.give_back(session, keep=False)
        raise
