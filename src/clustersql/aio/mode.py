"""What makes a session ready (`core.booking.mode`), performed by awaiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..core.steps import Autocommit, Commit, Greet, Reset, Script, SetAutocommit, SetReadOnly, Step, Steps
from ..drivers.contract import AsyncDriver
from ..nodes.dial import check_closed, hook_failed, is_left_open
from .cancellation import cancellable
from .drive import drive

T = TypeVar("T")


async def make(steps: Steps[T], driver: AsyncDriver, raw: Any) -> T:
    """Run ``steps`` on a connection of the driver to their end; what that raises passes as it is."""
    return await cancellable(drive(steps, lambda step: _perform(step, driver, raw)))


async def _perform(step: Step, driver: AsyncDriver, raw: Any) -> object:
    match step:
        case Script(statements):
            return await driver.ask(raw, statements)
        case SetAutocommit(on):
            await driver.set_autocommit(raw, on)
        case SetReadOnly(on):
            await driver.set_read_only(raw, on)
        case Reset():
            return await driver.reset(raw)
        case Autocommit():
            return driver.autocommit(raw)
        case Greet(hook):
            return await _greet(driver, raw, hook)
        case Commit():
            if not await driver.commit(raw):
                raise hook_failed()
            check_closed(driver, raw)
        case _:
            raise AssertionError(step)
    return None


async def _greet(driver: AsyncDriver, raw: Any, hook: Callable[[Any], object]) -> bool:
    """Call the user's hook; what it returns is awaited where it can be."""
    received = driver.received(raw)
    result = hook(raw)
    if isinstance(result, Awaitable):
        await result
    return is_left_open(driver, raw, received)
