"""What a driver's call may raise that is not the driver's."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType


def broken_in() -> Iterator[BaseException]:
    """Exceptions as somebody else's code raises them in the middle of a call."""
    for kind in (LookupError, TimeoutError, ConnectionResetError, EOFError, KeyboardInterrupt, GeneratorExit):
        try:
            _elsewhere(kind)
        except BaseException as error:
            yield error


def _raise(kind: type[BaseException]) -> None:
    raise kind("somebody else's")


_elsewhere = FunctionType(_raise.__code__, {"__name__": "somebody_else"})
"""The same in a module that is neither the driver's nor ours: whose code raised is read from the traceback."""
