"""asyncio in virtual time: an event loop that lives in one thread of `loop.Loop`, so that the real `clustersql.aio`
runs in here unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .loop import LAG, Loop, Ticket


class Selector:
    """Where the event loop waits: for a time, or until something was handed to it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._ticket: Ticket | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let the world go on for so many seconds at most."""
        if timeout is None or timeout > 0.0:
            self._ticket = Ticket(self._loop)
            self._ticket.wait(timeout)
            self._ticket = None
        return []

    def wake(self) -> None:
        """Something is to be done."""
        if self._ticket is not None:
            self._ticket.fire()


class EventLoop(asyncio.BaseEventLoop):
    """An event loop with the clock of a `Loop` and no sockets."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.world = loop
        self._selector = Selector(loop)

    def time(self) -> float:
        """Return the time of the simulation."""
        return self.world.now

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._selector.wake()

    def run_to_the_end(self, main: Coroutine[Any, Any, None]) -> None:
        """Run ``main``, then end as `asyncio.run` does."""
        try:
            self.run_until_complete(main)
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()


class Arrival(Ticket):
    """An answer that a task awaits."""

    __slots__ = ("future",)

    def __init__(self, loop: Loop, tasks: EventLoop) -> None:
        super().__init__(loop)
        self.future: asyncio.Future[Any] = tasks.create_future()

    def fire(self, value: Any = None) -> None:
        """Give the answer; the second time does nothing."""
        if not self._fired:
            self._fired, self._value = True, value
            self._loop.at(self._loop.chance.random() * LAG, self._give, value)

    def _give(self, value: Any) -> None:
        tasks = self.future.get_loop()
        if not tasks.is_closed():
            tasks.call_soon_threadsafe(self._arrive, value)

    def _arrive(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)
