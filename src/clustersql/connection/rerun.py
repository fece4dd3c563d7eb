"""Whether ``run`` may call its function again, and after which pause.  Shared by both APIs."""

from __future__ import annotations

from ..core.faults import Facts, Fault
from ..core.recovery.verdict import rerunnable
from ..core.words import note
from ..errors import ClusterError, OutcomeUnknown, TransactionLost
from .state import State

BACKOFF = 0.005
"""Seconds before the second attempt, at most; half as long again for each further one (MongoDB's withTransaction: 5 ms
* 1.5 ** n).
"""
BACKOFF_CAP = 0.5
"""Seconds that a pause between two attempts takes at most."""


def may_rerun(state: State, error: Exception, at_commit: bool) -> bool:
    """Tell whether the attempt that ended with ``error`` provably did not happen and may do better next time."""
    if state.committed or state.timed_out or isinstance(error, OutcomeUnknown):
        return False
    if isinstance(error, TransactionLost):
        # Without a cause no node failed: the function has swallowed a statement's error, and would do so until the
        # deadline.
        return error.__cause__ is not None and not state.transaction.may_commit
    facts = _facts(state, error)
    if facts.fault is Fault.READ_ONLY and state.want.read_only:
        return (
            False  # the function writes in what was declared read-only: so it would on every node, until the deadline
        )
    return rerunnable(facts, at_commit, state.transaction.may_commit)


class Losses:
    """The sessions that the attempts of one ``run`` have lost: only so many as ``retry_limit`` may be, and each further
    attempt is paid for.

    A statement that kills its session would else be sent until the deadline.  Waiting for a failover is no loss, nor is
    a session that was lost before anything of the caller's reached it.
    """

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def allow(self, state: State, error: BaseException) -> bool:
        """Tell whether another attempt may follow the one that ended with ``error``, which has a note if none may."""
        self._count += state.losses
        topology = state.topology
        if self._count > topology.settings.retry_limit:
            note(error, f"clustersql: not run again, its attempts have lost {self._count} sessions (retry_limit)")
            return False
        if state.losses and not topology.budget.spend():
            note(error, "clustersql: not run again, the retry budget is spent (retry_ratio, retry_reserve)")
            return False
        return True


def _facts(state: State, error: Exception) -> Facts:
    """What the driver's error proves; anything else that the function raised is its own."""
    if error is state.transaction.refused and state.last_facts is not None:
        return state.last_facts  # known already; some drivers let the socket's own OSError through
    if not isinstance(error, state.driver.error):
        return Facts(Fault.STATEMENT)
    session = state.session
    if session is None:
        return state.last_facts or Facts(Fault.STATEMENT)
    if isinstance(error, ClusterError):
        # Of another handle: its codes are those of its cause, which was no error of this session.
        return Facts(Fault.STATEMENT)
    return state.facts(error)


def pause(attempt: int, left: float, random: float) -> float:
    """Return the seconds before the attempt after ``attempt``; ``left``: until the deadline; ``random``: in [0, 1).

    It lets the other side of a conflict finish: two that were rolled back together would only meet again.
    """
    return min(BACKOFF * 1.5**attempt, BACKOFF_CAP, max(0.0, left)) * random if attempt > 1 else 0.0
