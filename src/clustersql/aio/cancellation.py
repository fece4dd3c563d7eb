"""A task that was cancelled ends as cancelled, also where a driver swallows that.

asyncio counts how often a task was asked to end (`asyncio.Task.cancelling`), and whoever takes that back says so (`uncancel`, as
`asyncio.timeout` and anyio's scopes do).  So a driver has swallowed a cancellation when the task is to end, and the driver raised an error that it
made of the CancelledError; or when the count has grown meanwhile, and its error is one that a cancelled call has: a connection that was lost, a
statement that was ended.  Any other error of a task that is to end stays what it is: it may be cleaning up; but `run` does not call its
function again because of it.
"""

from __future__ import annotations

import asyncio

from ..connection.state import State
from ..core.booking.shelf import Session
from ..drivers.base.foreign import wrapped

ENDED = ("57014", 1317)
"""The server ended the statement because it was asked to: query_canceled of PostgreSQL, ER_QUERY_INTERRUPTED of MySQL."""


def requests(loop: asyncio.AbstractEventLoop | None = None) -> int:
    """Return how often the running task was asked to end, less what was taken back."""
    task = asyncio.current_task(loop)
    return 0 if task is None else task.cancelling()


def swallowed(state: State, session: Session, error: Exception) -> asyncio.CancelledError | None:
    """Return the cancellation in whose place the driver raised ``error``, in a call on ``session``; None: there was none."""
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


def to_end(error: Exception, before: int) -> bool:
    """Tell whether the task was asked to end since it had been ``before`` times: then ``run`` stops at ``error``, which has a note of it."""
    if requests() <= before:
        return False
    error.add_note("clustersql: not run again, the task was cancelled meanwhile")
    return True


def _anew() -> asyncio.CancelledError:
    """A cancellation with what `Task.cancel` was given, by which anyio knows its own."""
    message = getattr(asyncio.current_task(), "_cancel_message", None)
    return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)
