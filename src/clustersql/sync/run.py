"""`Database.run`: a function in a transaction, called again when the former attempt provably did not happen."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection.functions import returned
from ..connection.hooks import call_hooks
from ..connection.rerun import Losses, may_rerun, pause
from ..connection.rows import Spent

if TYPE_CHECKING:
    from .connection import Connection

T = TypeVar("T")


def run(
    connect: Callable[[], Connection], function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> T:
    """Call ``function`` with a connection from ``connect`` until an attempt commits or may not be repeated."""
    attempt, deadline, spent = 0, None, Spent()
    losses: Losses | None = None
    while True:
        attempt += 1
        connection = connect()
        if deadline is None:
            deadline = time.monotonic() + connection._timeout()
        connection._state.spent = spent
        if attempt > 1:  # see `State`
            connection._state.attempt = attempt
        at_commit = False
        try:
            value = returned(function(connection, *args, **kwargs), "db.run()", connection)
            if connection._state.transaction.refused is not None and not connection._state.committed:
                # the function has swallowed an error that ended its transaction: a part must not be committed
                raise connection._state.transaction.refused
            at_commit = True
            has_work = connection._state.has_work()
            hooks = connection._commit(ours=True) if has_work else connection._state.boundary(committed=True)
        except Exception as exc:
            again = may_rerun(connection._state, exc, at_commit) and time.monotonic() < deadline
            losses = losses or Losses()
            again = again and losses.allow(connection._state, exc)
            connection.close()
            if not again:
                raise
        else:
            connection._state.done = True
            try:
                connection.close()
            finally:  # only now: a hook may want a connection; and whatever it raises, nothing is run again
                if hooks:
                    call_hooks(hooks)
            return value
        finally:
            connection.close()
        time.sleep(pause(attempt, deadline - time.monotonic(), random.random()))
