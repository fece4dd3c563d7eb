"""Where `clustersql` holds the clock, chance and the threads of Python, so that a simulation can put its own there."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

REPLACED = (time, time.monotonic, threading, random, random.random)
Place = tuple[dict[str, Any], str, Any]
_found: tuple[int, list[Place]] = (0, [])


@contextmanager
def installed(fakes: Mapping[Any, Any]) -> Iterator[None]:
    """Within the block `clustersql` finds ``fakes`` in the place of those of `REPLACED` that are their keys."""
    by_id = {id(real): fake for real, fake in fakes.items()}
    places = [place for place in _places() if id(place[2]) in by_id]
    for space, name, real in places:
        space[name] = by_id[id(real)]
    try:
        yield
    finally:
        for space, name, real in places:
            space[name] = real


def _places() -> list[Place]:
    """Look for them where a module was loaded since, so that no list here grows old."""
    global _found
    if _found[0] != len(sys.modules):
        replaced = {id(real) for real in REPLACED}
        spaces = [vars(module) for name, module in sys.modules.items() if name.partition(".")[0] == "clustersql"]
        held = [(space, name, value) for space in spaces for name, value in space.items() if id(value) in replaced]
        _found = len(sys.modules), held
    return _found[1]
