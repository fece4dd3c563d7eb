"""The trampoline: performs, by awaiting, what a procedure of the core asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..core.steps import Step, Steps

T = TypeVar("T")


async def drive(steps: Steps[T], perform: Callable[[Step], Awaitable[object]]) -> T:
    """Run ``steps`` to its end and return its value; what ``perform`` raises is thrown into it, a cancellation too."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await perform(step)
            except BaseException as exc:
                step = steps.throw(exc)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        value: T = done.value
        return value
