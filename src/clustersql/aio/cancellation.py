"""A task that was cancelled ends as cancelled, also where a driver swallows that.

asyncio counts how often a task was asked to end (`asyncio.Task.cancelling`), and whoever takes that back says so
(`uncancel`, as `asyncio.timeout` and anyio's scopes do).  So a driver has swallowed a cancellation when the task is to
end, and the driver raised an error that it made of the CancelledError; or when the count has grown meanwhile, and its
error is one that a cancelled call has: a connection that was lost, a statement that was ended.  Any other error of a
task that is to end stays what it is: it may be cleaning up; but `run` does not call its function again because of it.

A driver may also swallow it and return, as if nothing had been.  The count alone is no proof: a failed
`asyncio.TaskGroup` leaves it raised until Python 3.13, and a program may catch a cancellation of its own and go on.
But within one call of the driver's nobody else has the task: where the count has grown from the call's begin to its
end, and the cancellation is not still to come, the driver has taken it.  So the two are compared there (`outlived`),
and the task ends as cancelled with what its call has done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from ..connection.state import State
from ..core.booking.shelf import Session
from ..core.words import note
from ..drivers.base.foreign import wrapped

T = TypeVar("T")

ENDED = ("57014", 1317)
"""The server ended the statement because it was asked to: query_canceled of PostgreSQL, ER_QUERY_INTERRUPTED of MySQL.
"""


def requests(loop: asyncio.AbstractEventLoop | None = None) -> int:
    """Return how often the running task was asked to end, less what was taken back."""
    task = asyncio.current_task(loop)
    return 0 if task is None else task.cancelling()


def swallowed(state: State, session: Session, error: Exception) -> asyncio.CancelledError | None:
    """Return the cancellation in whose place the driver raised ``error``, in a call on ``session``; None: there was
    none.
    """
    now = requests()
    if not now:
        return None
    for inner in wrapped(error, getattr(state.driver, "packages", ())):
        if isinstance(inner, asyncio.CancelledError):
            return inner  # anyio knows its own by what they carry
    if state.cancelling is None or now <= state.cancelling:
        return None
    facts = state.driver.facts(error, session.raw)
    return _anew() if facts.lost or facts.sqlstate in ENDED or facts.errno in ENDED else None


def outlived(before: int | None) -> asyncio.CancelledError | None:
    """Return the cancellation that came during a call of the driver's, which returned all the same; None: there was
    none.

    ``before``: what `requests` told when the call began; None: that is not known.
    """
    task = asyncio.current_task()
    if before is None or task is None or task.cancelling() <= before:
        return None
    return None if getattr(task, "_must_cancel", False) else _anew()  # it is thrown in at the next await


async def cancellable(call: Awaitable[T]) -> T:
    """Await a call of a driver's that may end though it was cancelled, well or with the server's error; raise the
    cancellation then.
    """
    before = requests()
    try:
        result = await call
    except Exception as exc:
        if (cancellation := outlived(before)) is not None:
            raise cancellation from exc
        raise
    if (cancellation := outlived(before)) is not None:
        raise cancellation
    return result


def to_end(error: Exception, before: int) -> bool:
    """Tell whether the task was asked to end since it had been ``before`` times: then ``run`` stops at ``error``, which
    has a note of it.
    """
    if requests() <= before:
        return False
    note(error, "clustersql: not run again, the task was cancelled meanwhile")
    return True


def _anew() -> asyncio.CancelledError:
    """A cancellation with what `Task.cancel` was given, by which anyio knows its own."""
    message = getattr(asyncio.current_task(), "_cancel_message", None)
    return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)
