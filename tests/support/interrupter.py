"""A signal that comes at each line of our code, on purpose: what its handler may call must never wait for what the
interrupted line holds.
"""

from __future__ import annotations

import dis
import signal
import sys
import threading
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


BEGIN = "its begin"


class BreakIn(BaseException):
    """What a signal's handler raises."""


class BaseBreaker:
    """Raises `BreakIn` once, where the handler of a signal could: at the first such place of our code that is not in
    ``met`` yet.
    """

    def __init__(self, met: set[tuple[CodeType, int]]) -> None:
        self.met = met
        self.place = ""

    def _at(self, code: CodeType, instruction: int, before: str) -> None:
        """The instruction follows one that is called ``before``."""
        if (code, instruction) not in self.met and not self.place:
            self.met.add((code, instruction))
            line = next(line for start, end, line in code.co_lines() if start <= instruction < end)
            self.place = f"{Path(code.co_filename).name}:{line} {code.co_name}, after {before}"
            raise BreakIn(self.place)


class TracingBreaker(BaseBreaker):
    """By ``sys.settrace``.  From Python 3.12 on a frame is not traced by its instructions when that is asked for as it
    begins.
    """

    def __init__(self, met: set[tuple[CodeType, int]]) -> None:
        super().__init__(met)
        self._before: dict[FrameType, str] = {}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OWNING):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self._at(frame.f_code, frame.f_lasti, BEGIN)
        elif event == "opcode":
            before, self._before[frame] = self._before.get(frame, ""), names(frame.f_code)[frame.f_lasti]
            if raises(before):
                self._at(frame.f_code, frame.f_lasti, before)
        elif event == "return":
            self._before.pop(frame, None)
        return self._trace

    def __enter__(self) -> TracingBreaker:
        self._trace_before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._trace_before)
        self._before.clear()


class MonitoringBreaker(BaseBreaker):
    """By ``sys.monitoring``, from Python 3.12 on."""

    TOOL = 4
    """One of the numbers that nobody has reserved."""

    def __init__(self, met: set[tuple[CodeType, int]]) -> None:
        super().__init__(met)
        self._thread = threading.get_ident()
        self._monitoring: Any = getattr(sys, "monitoring")  # noqa: B009 - mypy knows 3.11
        self._before: dict[int, str] = {}
        """By the frame's id: a frame that is held holds the connection."""

    def _start(self, code: CodeType, instruction: int) -> Any:
        if not code.co_filename.startswith(OWNING):
            return self._monitoring.DISABLE
        if threading.get_ident() == self._thread:
            self._before.pop(id(sys._getframe(1)), None)
            self._at(code, instruction, BEGIN)
        return None

    def _instruction(self, code: CodeType, instruction: int) -> Any:
        if not code.co_filename.startswith(OWNING):
            return self._monitoring.DISABLE
        if threading.get_ident() == self._thread:
            frame = id(sys._getframe(1))
            before, self._before[frame] = self._before.get(frame, ""), names(code)[instruction]
            if raises(before):
                self._at(code, instruction, before)
        return None

    def __enter__(self) -> MonitoringBreaker:
        events = self._monitoring.events
        self._monitoring.use_tool_id(self.TOOL, "breaker")
        self._monitoring.register_callback(self.TOOL, events.PY_START, self._start)
        self._monitoring.register_callback(self.TOOL, events.INSTRUCTION, self._instruction)
        self._monitoring.set_events(self.TOOL, events.PY_START | events.INSTRUCTION)
        return self

    def __exit__(self, *_: object) -> None:
        self._monitoring.set_events(self.TOOL, 0)
        self._monitoring.free_tool_id(self.TOOL)


Breaker = MonitoringBreaker if hasattr(sys, "monitoring") else TracingBreaker


def raises(name: str) -> bool:
    """Whether CPython may run a signal's handler after an instruction of that name."""
    return name != "PRECALL" and "INTRINSIC" not in name and any(word in name for word in RAISING)


@cache
def names(code: CodeType) -> dict[int, str]:
    """Return what each instruction of ``code`` is called, by its place."""
    return {one.offset: one.opname for one in dis.get_instructions(code)}
