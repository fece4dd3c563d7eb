"""The page's news as server-sent events: each second the parts that have changed since this reader had them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .history import EVERY, History
from .page import parts

MOST = 16
"""Readers at once: each has a thread, and a page that is open in many windows must not take the program's memory."""
TYPE = "text/event-stream; charset=utf-8"
"""The media type."""


def news(history: History) -> Iterator[bytes]:
    """Yield one message for each new moment, until ``history`` is closed."""
    had: dict[str, str] = {}
    while not history.closed:
        now = parts(history.shown())
        changed = {name: text for name, text in now.items() if had.get(name) != text}
        had = now
        yield f"data: {json.dumps({'ids': list(now), 'parts': changed})}\n\n".encode()
        with history.news:
            if not history.closed:
                history.news.wait(4 * EVERY)
