"""What makes a session ready (`core.booking.mode`), performed with blocking calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..core.steps import Autocommit, Commit, Greet, Reset, Script, SetAutocommit, SetReadOnly, Step, Steps
from ..drivers.contract import Driver
from ..nodes.dial import check_closed, is_left_open
from .drive import drive

T = TypeVar("T")


def make(steps: Steps[T], driver: Driver, raw: Any) -> T:
    """Run ``steps`` on a connection of the driver to their end; what that raises passes as it is."""
    try:
        return drive(steps, lambda step: _perform(step, driver, raw))
    except RuntimeError as exc:
        if isinstance(exc.__cause__, StopIteration):  # the user's: a generator cannot let it pass
            raise exc.__cause__ from None
        raise


def _perform(step: Step, driver: Driver, raw: Any) -> object:
    match step:
        case Script(statements):
            return driver.ask(raw, statements)
        case SetAutocommit(on):
            driver.set_autocommit(raw, on)
        case SetReadOnly(on):
            driver.set_read_only(raw, on)
        case Reset():
            return driver.reset(raw)
        case Autocommit():
            return driver.autocommit(raw)
        case Greet(hook):
            return _greet(driver, raw, hook)
        case Commit():
            raw.commit()
            check_closed(driver, raw)
        case _:
            raise AssertionError(step)
    return None


def _greet(driver: Driver, raw: Any, hook: Callable[[Any], object]) -> bool:
    received = driver.received(raw)
    hook(raw)
    return is_left_open(driver, raw, received)
