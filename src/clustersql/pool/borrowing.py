"""What both APIs do alike of a causal procedure (`pool.reading`): who has its session, and what waits for nothing."""

from __future__ import annotations

import time
from typing import Any

from ..core.booking.shelf import Session
from ..core.steps import Return, See, Step, Tell
from .base import BasePool


class BaseBorrower:
    """Holds the session that a causal procedure has borrowed, and does what it asks for where that waits for
    nothing.
    """

    def __init__(self, pool: BasePool[Any], lend: Any) -> None:
        """``lend`` checks a session out for a want that asks for nothing."""
        self.pool = pool
        self.lend = lend
        self.held: list[Session] = []

    def at_once(self, step: Step) -> object:
        """Perform a step that waits for nothing."""
        match step:
            case See():
                return time.monotonic(), self.pool.topology.view
            case Return(session):
                self.held.clear()
                self.pool.give_back(session)
            case Tell(seen):
                self.pool.topology.tell(seen)
            case _:
                raise AssertionError(step)
        return None

    def lost(self, session: Session, error: Exception) -> Exception:
        """The question to ``session`` has failed, so it goes back.  Returns the error, which is the answer."""
        self.held.clear()
        self.pool.lost_in_switch(session, error)
        return error

    def let_go(self) -> None:
        """Something broke in, and nobody else knows of a session that was borrowed: close it."""
        for session in self.held:
            self.pool.give_back(session, keep=False)
