"""Where the demo shows itself: a live table on a terminal, timestamped lines elsewhere."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .frame import HEADINGS, Row, cells, line

__all__ = ["LiveScreen", "PlainScreen", "Screen", "table"]

EVERY = 2.0
"""Seconds between two plain lines."""
STYLES = {"up": "green", "down": "red", "suspect": "yellow"}


class Screen(AbstractContextManager["Screen"]):
    """What both have: `say` for what happens; ``watch`` gives the rows to show, when there are any."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.watch: Callable[[], Sequence[Row]] | None = None
        self.phase = ""
        self.began = monotonic()

    def say(self, text: str) -> None:
        """Tell of an event."""
        raise NotImplementedError

    def stamp(self) -> str:
        """The time since the beginning."""
        return f"{monotonic() - self.began:6.1f} s"


class PlainScreen(Screen):
    """Timestamped lines."""

    def __enter__(self) -> PlainScreen:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-screen", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def say(self, text: str) -> None:
        """Tell of an event."""
        print(f"{self.stamp()}  {text}", flush=True)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            if self.watch is not None:
                self.say("  " + line(self.watch()))


class LiveScreen(Screen):
    """A table that is drawn anew four times a second, with the latest events below it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._events: deque[str] = deque(maxlen=10)
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> LiveScreen:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._live.__exit__(*exc)

    def say(self, text: str) -> None:
        """Tell of an event."""
        self._events.append(f"{self.stamp()}  {text}")

    def _picture(self) -> RenderableType:
        events = [Text(event, no_wrap=True, overflow="ellipsis") for event in tuple(self._events)]
        if self.watch is None:
            return Group(*events)
        title = Text(f"{self.stamp()}  {self.phase}", style="bold")
        return Group(title, table(self.watch()), *events)


def table(shown: Sequence[Row]) -> Table:
    """Return the picture of the rows, one line each."""
    made = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for heading in HEADINGS:
        last = heading == HEADINGS[-1]
        right = heading in HEADINGS[3:7]
        made.add_column(
            heading, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", ratio=1 if last else None
        )
    for row in shown:
        node, role, state, *rest = cells(row)
        made.add_row(
            node, Text(role, style="bold" if role == "primary" else ""), Text(state, STYLES.get(state, "yellow")), *rest
        )
    return made
