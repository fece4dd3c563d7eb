"""A whole transaction of SQLAlchemy's, run again when it provably did not happen, with a new session each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..attempts import TIMEOUT, Again, Attempt, under_way

T = TypeVar("T")


def run(
    sessions: Callable[[], Any], function: Callable[..., T], *args: Any, timeout: float = TIMEOUT, **kwargs: Any
) -> T:
    """Call ``function(session, *args, **kwargs)`` in a transaction, commit, and return its value.

    **Your function may run more than once**, each time with a new session of ``sessions()`` (a ``sessionmaker``): when
    the former transaction provably did not happen.  So it must have no effect but on the session, and one that commits
    by itself is not called again.  ``timeout``: seconds after which no further attempt begins.  Raises what it raises,
    and SQLAlchemy's errors: `cause` tells ours behind them.
    """
    again = Again(timeout)
    while True:
        attempt = Attempt()
        token = under_way.set(attempt)
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
            under_way.reset(token)
        time.sleep(pause)


async def arun(
    sessions: Callable[[], Any],
    function: Callable[..., Awaitable[T]],
    *args: Any,
    timeout: float = TIMEOUT,
    **kwargs: Any,
) -> T:
    """Await ``function(session, *args, **kwargs)``, an ``async`` function, as `run` does; ``sessions`` is an
    ``async_sessionmaker``.
    """
    again = Again(timeout)
    while True:
        attempt = Attempt()
        token = under_way.set(attempt)
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
            under_way.reset(token)
        await asyncio.sleep(pause)
