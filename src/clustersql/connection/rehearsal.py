"""Ends that a program's own tests have ordered (`clustersql.testing.fail`): the next COMMIT ends so, and no server has
to fail for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import OutcomeUnknown, TransactionLost
from .guard import id_of, token_of

if TYPE_CHECKING:
    from .state import State

__all__ = ["KINDS", "planned", "rehearsed"]

KINDS = {"commit": (OutcomeUnknown, TransactionLost)}
"""What may be ordered: the operation, and how it may end."""
planned: list[type[Any]] = []
"""How the next COMMITs end, the first one first."""


def rehearsed(state: State) -> BaseException | None:
    """Return the error that was ordered for the COMMIT that is about to be sent; None: another thread was faster.

    What is open is rolled back.  The program is told what it would be told of a real one.
    """
    try:
        kind = planned.pop(0)
    except IndexError:
        return None
    error = state.error(kind, f"{kind.__name__}, as clustersql.testing.fail has ordered it")
    error.__cause__ = state.driver.operational_error("ordered by clustersql.testing.fail")
    if isinstance(error, OutcomeUnknown):
        state.committed = True  # as of a real one: nothing is run again
        guard = state.topology.guard
        error.commit_id = None if guard is None else id_of(state, token_of(state, guard))
    return error
