"""`Database.run`: a function in a transaction, called again when the former attempt provably did not happen."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection.functions import awaitable, returned
from ..connection.hooks import call_hooks
from ..connection.rerun import Losses, may_rerun, pause
from ..connection.rows import Spent
from .cancellation import requests, to_end

if TYPE_CHECKING:
    from .checkout import Checkout

T = TypeVar("T")


async def run(
    connect: Callable[[], Checkout],
    function: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    """Await ``function`` with a connection from ``connect`` until an attempt commits or may not be repeated."""
    attempt, deadline, spent, asked = 0, None, Spent(), requests()
    losses: Losses | None = None
    while True:
        attempt += 1
        connection = await connect()
        if deadline is None:
            deadline = time.monotonic() + connection._timeout()
        state = connection._state
        state.spent = spent
        if attempt > 1:  # see `State`
            state.attempt = attempt
        at_commit = False
        try:
            awaited = await awaitable(function(connection, *args, **kwargs), "db.run()")
            value = returned(awaited, "db.run()", connection)
            if state.transaction.refused is not None and not state.committed:
                # the function has swallowed an error that ended its transaction: a part must not be committed
                raise state.transaction.refused
            at_commit = True
            hooks = await connection._commit(ours=True) if state.has_work() else state.boundary(committed=True)
        except Exception as exc:
            again = may_rerun(state, exc, at_commit) and time.monotonic() < deadline
            losses = losses or Losses()
            again = again and losses.allow(state, exc)
            await connection.close()
            if not again or to_end(exc, asked):
                raise
        else:
            state.done = True
            try:
                await connection.close()
            finally:  # only now: a hook may want a connection; and whatever it raises, nothing is run again
                if hooks:
                    call_hooks(hooks)
            return value
        finally:
            await connection.close()
        await asyncio.sleep(pause(attempt, deadline - time.monotonic(), random.random()))
