"""`Database.run`: a function in a transaction, called again when the former attempt provably did not happen."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.faults import Facts, Fault
from ..core.verdict import rerunnable
from ..errors import OutcomeUnknown, TransactionLost

if TYPE_CHECKING:
    from .connection import Connection

T = TypeVar("T")

BACKOFF = 0.005
"""Seconds before the second attempt, at most; half as long again for each further one (MongoDB's withTransaction: 5 ms * 1.5 ** n)."""
BACKOFF_CAP = 0.5
"""Seconds that a pause between two attempts takes at most."""


def run(
    connect: Callable[[], Connection], function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> T:
    """Call ``function`` with a connection from ``connect`` until an attempt commits or may not be repeated."""
    attempt, deadline = 0, None
    while True:
        attempt += 1
        connection = connect()
        if deadline is None:
            deadline = time.monotonic() + connection._timeout()
        connection._state.attempt = attempt
        at_commit = False
        try:
            value = function(connection, *args, **kwargs)
            if connection._state.refused is not None and not connection._state.committed:
                raise connection._state.refused  # the function has swallowed an error that ended its transaction: a part must not be committed
            at_commit = True
            if connection._state.has_work():
                connection.commit()
            else:
                for callback in connection._state.boundary(committed=True):
                    callback()
        except Exception as exc:
            again = _may_rerun(connection, exc, at_commit) and time.monotonic() < deadline
            connection.close()
            if not again:
                raise
        else:
            return value
        finally:
            connection.close()
        _pause(attempt, deadline)


def _may_rerun(connection: Connection, error: Exception, at_commit: bool) -> bool:
    if connection._state.committed or connection._state.timed_out or isinstance(error, OutcomeUnknown):
        return False
    if isinstance(error, TransactionLost):
        # Without a cause no node failed: the function has swallowed a statement's error, and would do so until the deadline.
        return error.__cause__ is not None and not connection._state.may_commit
    return rerunnable(_facts(connection, error), at_commit, connection._state.may_commit)


def _facts(connection: Connection, error: Exception) -> Facts:
    """What the driver's error proves; anything else that the function raised is its own."""
    driver, state = connection._pool.topology.driver, connection._state
    if error is state.refused and state.last_facts is not None:
        return state.last_facts  # known already; some drivers let the socket's own OSError through
    if not isinstance(error, driver.error):
        return Facts(Fault.STATEMENT)
    session = connection._state.session
    if session is None:
        return connection._state.last_facts or Facts(Fault.STATEMENT)
    return driver.facts(error, session.raw)


def _pause(attempt: int, deadline: float) -> None:
    """Let the other side of a conflict finish: two that were rolled back together would only meet again."""
    if attempt > 1:
        longest = min(BACKOFF * 1.5**attempt, BACKOFF_CAP, max(0.0, deadline - time.monotonic()))
        time.sleep(longest * random.random())
