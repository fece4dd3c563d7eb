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
from ..errors import CausalityLost
from ..pool import causal
from ..pool.session import awaited
from .drive import drive

if TYPE_CHECKING:
    from .pool import Pool

T = TypeVar("T")
Lend = Callable[[Want, float], Awaitable[Session]]


async def checkout(pool: Pool, want: Want, timeout: float, lend: Lend) -> Session:
    """Return a session that has seen what ``want`` asks for, within ``timeout`` seconds; ``lend`` checks one out for a
    want that asks for nothing.

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
    try:
        mark = await bookmark(pool, memory, deadline, lend) if memory is not None else None
        if memory is not None and memory.doubtful:
            return await _primary(pool, want, memory, deadline, lend)
        outcome = await _drive(pool, reading(causal.search(pool, want, mark, deadline)), lend)
    except CausalityLost:
        if not causal.forgiven(pool, memory):
            raise
        return await checkout(pool, want, deadline - time.monotonic(), lend)
    if isinstance(outcome, Behind):
        raise causal.behind(pool, want, outcome, began)
    causal.remember(pool, memory, outcome)
    return outcome.session  # type: ignore[no-any-return]


async def _primary(pool: Pool, want: Want, memory: Remembers, deadline: float, lend: Lend) -> Session:
    """Read the primary, which has all there is: nobody knows what must have been seen."""
    session = await lend(causal.primary(want), max(0.0, deadline - time.monotonic()))
    pool.topology.causal["primary"] += 1
    causal.proved(session, "primary", causal.primary(want))
    memory.served(session, session.node, causal.identity(pool, session.node))
    memory.read(None)
    return session


async def bookmark(pool: Pool, memory: Remembers, deadline: float, lend: Lend | None = None) -> Bookmark | None:
    """Take what ``memory`` lacks, and return its bookmark.  Raises `CausalityLost`.

    ``lend``: of a reader, who reads the primary where nobody knows what must have been seen; else somebody asks for the
    bookmark alone.
    """
    try:
        if memory.doubtful and lend is None:
            pool.give_back(await _primary(pool, Want(read_only=True), memory, deadline, pool.checkout))
        await _take(pool, memory, deadline)
        return causal.both(pool, memory.given, memory.mark)
    except CausalityLost:
        if not causal.forgiven(pool, memory):
            raise
        return await bookmark(pool, memory, deadline, lend)


async def _take(pool: Pool, memory: Remembers, deadline: float) -> None:
    ended, due = memory.ended(), memory.due()
    if not due:
        return
    means = causal.means_of(pool)
    mark = await _drive(
        pool, taking(due, memory.mark, means, deadline), lambda want, seconds: pool.checkout(want, seconds)
    )
    memory.taken(ended, mark)


async def _drive(pool: Pool, steps: Steps[T], lend: Lend) -> T:
    held: list[Session] = []
    try:
        return await drive(steps, lambda step: _perform(pool, step, lend, held))
    except BaseException:  # nobody else knows of a session that was borrowed
        for session in held:
            pool.give_back(session, keep=False)
        raise


async def _perform(pool: Pool, step: Step, lend: Lend, held: list[Session]) -> object:
    """Perform a step; ``held``: the session that is borrowed now, if any."""
    match step:
        case See():
            return time.monotonic(), pool.topology.view
        case Borrow(want, seconds):
            held.append(await lend(want, seconds))
            return held[0]
        case Consult(session, statements):
            return await _consult(pool, session, statements, held)
        case Return(session):
            held.clear()
            pool.give_back(session)
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case Tell(seen):
            pool.topology.tell(seen)
        case _:
            raise AssertionError(step)
    return None


async def _consult(pool: Pool, session: Session, statements: tuple[str, ...], held: list[Session]) -> Any:
    try:
        with awaited(session):
            return await pool.driver.ask(session.raw, statements)
    except Exception as exc:
        held.clear()
        pool.lost_in_switch(session, exc)
        return exc
