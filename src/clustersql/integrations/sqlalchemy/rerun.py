"""A whole transaction of SQLAlchemy's, run again when it provably did not happen, with a new session each time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from ...errors import ClusterError, TransactionLost
from .settings import TIMEOUT

T = TypeVar("T")

LOSSES = 3
"""Sessions that the attempts of one run may lose: a statement that ends its session would else be sent until the deadline."""
PAUSE, PAUSE_CAP = 0.005, 0.5
"""Seconds before the second attempt, half as long again for each further one, and at most; as `Database.run` waits."""


class Attempt:
    """One call of the function: what the errors of its connections prove."""

    def __init__(self) -> None:
        self.committing = False
        self.again: dict[int, tuple[BaseException, bool]] = {}

    def note(self, error: BaseException, handle: Any) -> None:
        """Ask the handle while it still knows: a rollback that follows forgets."""
        if hasattr(type(handle), "may_run_again"):
            self.again[id(error)] = error, handle.may_run_again(error, at_commit=self.committing)

    def allows(self, error: BaseException) -> bool:
        """Whether the attempt that ended with ``error`` may be followed by another."""
        return any(self.again[id(one)][1] for one in behind(error) if id(one) in self.again)


_attempt: ContextVar[Attempt | None] = ContextVar("clustersql_sqlalchemy_attempt", default=None)


def note(error: BaseException, handle: Any) -> None:
    """Let the attempt that is under way, if one is, know of an error on ``handle``."""
    if (attempt := _attempt.get()) is not None:
        attempt.note(error, handle)


def behind(error: BaseException) -> list[BaseException]:
    """Return the errors that one was made of: SQLAlchemy's ``orig``, and causes."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo and len(found) < 16:
        one = todo.pop(0)
        if one is not None and all(one is not known for known in found):
            found.append(one)
            todo += [getattr(one, "orig", None), one.__cause__]
    return found


def cause(error: BaseException) -> ClusterError | None:
    """Return our error behind one of SQLAlchemy's: `OutcomeUnknown`, `TransactionLost`, `NoNodeAvailable`, ...; None: there is none."""
    return next((one for one in behind(error) if isinstance(one, ClusterError)), None)


class _Again:
    """Whether another attempt may follow, and after which pause."""

    def __init__(self, timeout: float) -> None:
        self.deadline = time.monotonic() + timeout
        self.number = 1
        self.losses = 0

    def pause(self, attempt: Attempt, error: BaseException) -> float | None:
        """Return the seconds to wait; None: ``error`` is the end."""
        self.losses += isinstance(cause(error), TransactionLost)
        if not attempt.allows(error) or self.losses > LOSSES or time.monotonic() >= self.deadline:
            return None
        self.number += 1
        return min(PAUSE * 1.5**self.number, PAUSE_CAP) * random.random() if self.number > 2 else 0.0


def run(
    sessions: Callable[[], Any], function: Callable[..., T], *args: Any, timeout: float = TIMEOUT, **kwargs: Any
) -> T:
    """Call ``function(session, *args, **kwargs)`` in a transaction, commit, and return its value.

    **Your function may run more than once**, each time with a new session of ``sessions()`` (a ``sessionmaker``): when the former
    transaction provably did not happen.  So it must have no effect but on the session, and one that commits by itself is not called again.
    ``timeout``: seconds after which no further attempt begins.  Raises what it raises, and SQLAlchemy's errors: `cause` tells ours behind them.
    """
    again = _Again(timeout)
    while True:
        attempt = Attempt()
        token = _attempt.set(attempt)
        try:
            with sessions() as session:
                value = function(session, *args, **kwargs)
                attempt.committing = True
                session.commit()
                return value
        except Exception as exc:
            if (pause := again.pause(attempt, exc)) is None:
                raise
        finally:
            _attempt.reset(token)
        time.sleep(pause)


async def arun(
    sessions: Callable[[], Any],
    function: Callable[..., Awaitable[T]],
    *args: Any,
    timeout: float = TIMEOUT,
    **kwargs: Any,
) -> T:
    """Await ``function(session, *args, **kwargs)``, an ``async`` function, as `run` does; ``sessions`` is an ``async_sessionmaker``."""
    again = _Again(timeout)
    while True:
        attempt = Attempt()
        token = _attempt.set(attempt)
        try:
            async with sessions() as session:
                value = await function(session, *args, **kwargs)
                attempt.committing = True
                await session.commit()
                return value
        except Exception as exc:
            if (pause := again.pause(attempt, exc)) is None:
                raise
        finally:
            _attempt.reset(token)
        await asyncio.sleep(pause)
