"""A signal that comes at each line of our code, on purpose: what its handler may call must never wait for what the
interrupted line holds.
"""

from __future__ import annotations

import dis
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import clustersql

OURS = str(Path(clustersql.__file__).parent)
OWNING = tuple(str(Path(OURS, room)) for room in ("sync", "pool", "connection", "core/booking"))
"""The rooms in which a session changes hands."""
LOCKS = ("threading.py",)
"""Files of the standard library whose own locks ours are built of."""


@contextmanager
def ending(seconds: float = 60.0) -> Iterator[None]:
    """Let this thread wait in vain for so long only: the signal's handler raises in the middle of the wait."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it waits in vain for {seconds:g} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


class Interrupter:
    """At a line of our code that was not met before, a signal arrives, and its handler calls ``function``; ``only`` so
    many times.

    A frame that is traced is as a signal finds it: between two of its lines, with whatever it holds.
    """

    def __init__(self, function: Callable[[], object], only: int | None = None) -> None:
        self.function = function
        self.left = only
        self.met: set[tuple[str, int]] = set()
        self.raised: list[BaseException] = []

    def _handle(self, number: int, frame: FrameType | None) -> None:
        try:
            self.function()
        except BaseException as exc:
            self.raised.append(exc)
            self.left = 0  # one is enough

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(OURS) and not file.endswith(LOCKS):
            return None
        place = file, frame.f_lineno
        if event == "line" and place not in self.met and self.left != 0:
            self.met.add(place)
            self.left = None if self.left is None else self.left - 1
            signal.raise_signal(signal.SIGUSR1)
        return self._trace

    def __enter__(self) -> Interrupter:
        self._before = signal.signal(signal.SIGUSR1, self._handle)
        self._trace_before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._trace_before)
        signal.signal(signal.SIGUSR1, self._before)


class AtLine(Interrupter):
    """The signal comes at the ``number``-th line of our code only."""

    def __init__(self, function: Callable[[], object], number: int) -> None:
        super().__init__(function)
        self.number = number
        self.came = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.number -= 1
        if self.number == 0:
            self.came = True
            super()._handle(number, frame)


RAISING = ("CALL", "JUMP_BACKWARD", "SEND", "FOR_ITER", "WITH")
"""What an instruction is called after which, and after the begin of a function, CPython may run the handler of a
signal.
"""


class BreakIn(BaseException):
    """What a signal's handler raises."""


class Breaker:
    """Raises `BreakIn` once, where the handler of a signal could: at the first such place of our code that is not in
    ``met`` yet.
    """

    def __init__(self, met: set[tuple[CodeType, int]]) -> None:
        self.met = met
        self.place = ""
        self._before: dict[FrameType, str] = {}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OWNING):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self._at(frame, "its begin")
        elif event == "opcode":
            before, self._before[frame] = self._before.get(frame, ""), names(frame.f_code)[frame.f_lasti]
            if before != "PRECALL" and any(word in before for word in RAISING):
                self._at(frame, before)
        elif event == "return":
            self._before.pop(frame, None)
        return self._trace

    def _at(self, frame: FrameType, before: str) -> None:
        place = frame.f_code, frame.f_lasti
        if place not in self.met and not self.place:
            self.met.add(place)
            self.place = (
                f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}, after {before}"
            )
            raise BreakIn(self.place)

    def __enter__(self) -> Breaker:
        self._trace_before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._trace_before)
        self._before.clear()


@cache
def names(code: CodeType) -> dict[int, str]:
    """Return what each instruction of ``code`` is called, by its place."""
    return {one.offset: one.opname for one in dis.get_instructions(code)}
