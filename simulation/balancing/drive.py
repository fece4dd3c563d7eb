"""The trampoline of `core.steps` for the virtual clock: an answer may come later, so a task is resumed instead of waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clustersql.core.steps import Step, Steps

LATER = object()
"""What a performer returns for a step whose answer it will `Task.resume` with."""


class Task:
    """One procedure under way.  ``done`` is called with what it returns."""

    __slots__ = ("_done", "_perform", "_steps", "waiting", "waits")

    def __init__(self, steps: Steps[Any], perform: Callable[[Step, Task], Any], done: Callable[[Any], object]) -> None:
        self._steps = steps
        self._perform = perform
        self._done = done
        self.waiting = False
        self.waits = 0  # so that a timer of an earlier wait is recognized as such

    def resume(self, answer: Any = None) -> None:
        """Go on with ``answer`` until the next step that takes time."""
        try:
            while True:
                step = self._steps.send(answer)
                answer = self._perform(step, self)
                if answer is LATER:
                    return
        except StopIteration as end:
            result = end.value
        self._done(result)
