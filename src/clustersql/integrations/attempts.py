"""What the errors of a framework's transaction prove, and whether all of it may be run again."""

from __future__ import annotations

import random
import time
from contextvars import ContextVar
from typing import Any

from ..errors import ClusterError, TransactionLost

TIMEOUT = 10.0
"""Seconds that a request waits for a connection, and in which attempts begin: less than the 30 after which gunicorn
ends a worker."""
LOSSES = 3
"""Sessions that the attempts of one run may lose: a statement that ends its session would else be sent until the
deadline."""
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


under_way: ContextVar[Attempt | None] = ContextVar("clustersql_attempt", default=None)


def note(error: BaseException, handle: Any) -> None:
    """Let the attempt that is under way, if one is, know of an error on ``handle``."""
    if (attempt := under_way.get()) is not None:
        attempt.note(error, handle)


def behind(error: BaseException) -> list[BaseException]:
    """Return the errors that one was made of: SQLAlchemy's ``orig``, and causes, as Django has them."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo and len(found) < 16:
        one = todo.pop(0)
        if one is not None and all(one is not known for known in found):
            found.append(one)
            todo += [getattr(one, "orig", None), one.__cause__]
    return found


def cause(error: BaseException) -> ClusterError | None:
    """Return our error behind a framework's: `OutcomeUnknown`, `TransactionLost`, `NoNodeAvailable`, ...; None: there
    is none.
    """
    return next((one for one in behind(error) if isinstance(one, ClusterError)), None)


class Again:
    """The attempts of one run: whether another may follow, and after which pause."""

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
