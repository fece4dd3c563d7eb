"""Waiting for what comes about by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def eventually(condition: Callable[[], Any], timeout: float = 30.0, every: float = 0.005) -> bool:
    """Whether ``condition`` holds within so many seconds; while it raises `AssertionError` it does not."""
    deadline = time.monotonic() + timeout
    while (began := time.monotonic()) < deadline:
        with suppress(AssertionError):
            if condition():
                return True
        # A look that dials a server costs more than the wait: what is waited for must not have to wait for the looks,
        # and tests beside this one neither.
        time.sleep(max(every, min(3 * (time.monotonic() - began), 0.2)))
    return bool(condition())
