"""The trampoline of `core.steps` for the virtual clock: an answer may come later, so a task is resumed instead of
waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clustersql.core.steps import Step, Steps

LATER = object()
"""What a performer returns for a step whose answer it will `Task.resume` with."""


class Task:
    """One procedure under way.  ``done`` is called with what it returns, or with the exception that it ends with."""

    __slots__ = ("_done", "_perform", "_steps")

    def __init__(self, steps: Steps[Any], perform: Callable[[Step, Task], Any], done: Callable[[Any], object]) -> None:
        self._steps = steps
        self._perform = perform
        self._done = done

    def resume(self, answer: Any = None, error: Exception | None = None) -> None:
        """Go on with ``answer`` until the next step that takes time; ``error`` is thrown in its place."""
        try:
            step = self._steps.send(answer) if error is None else self._steps.throw(error)
            while (answer := self._perform(step, self)) is not LATER:
                step = self._steps.send(answer)
        except StopIteration as end:
            result = end.value
        except Exception as raised:
            result = raised
        else:
            return
        self._done(result)
