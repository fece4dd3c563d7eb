"""An empty book, and what is counted of a pool by its book: sizes, and what is under way at each node."""

from __future__ import annotations

import random
from typing import Any

from ..config.knobs import Knobs
from ..core.booking.book import Book
from ..core.policies.named import Policy, policy
from ..core.policies.zoned import Zoned
from ..nodes.topology import Topology


def empty_book(topology: Topology) -> Book:
    """Return the bookkeeping of a pool that has no connection yet."""
    s = topology.settings
    book = Book(s.max_size, s.max_dials_per_node, policy_of(s), random.random, s.slow_start)
    book.measure(topology.durations)
    return book


def policy_of(knobs: Knobs) -> Policy:
    """Return the policy that the knobs name, with a seed of its own; within the zone that they name."""
    chosen = policy(knobs.policy, knobs.local_threshold, random.randrange(1 << 16))
    return Zoned(chosen, knobs.zone, knobs.zone_preference) if knobs.zone else chosen


def counted(book: Book, waits: int = 0, hung: int = 0) -> dict[str, Any]:
    """Return the sizes and counts of a pool, also while its book is being written: what is iterated over is copied at
    once.
    """
    shelves = list(book.shelves.items())
    nodes = {
        name: {
            "open": len(shelf.open),
            "idle": len(shelf.idle),
            "in_flight": shelf.in_flight,
            "checkouts": shelf.checkouts,
            "dialling": shelf.dials,
            "ewma": shelf.ewma,
        }
        for name, shelf in shelves
    }
    return {
        "max_size": book.max_size,
        "size": book.total,
        "idle": sum(each["idle"] for each in nodes.values()),
        "in_flight": sum(max(0, each["open"] - each["idle"]) for each in nodes.values()),
        "waiting": len(book.waiters),
        "waits": waits,
        "hung": hung,
        "closed": book.closed,
        "nodes": nodes,
    }


def unused(topology: Topology) -> dict[str, Any]:
    """Return the sizes and counts of a pool that is not there yet; to make one takes locks."""
    book = empty_book(topology)
    book.adopt(topology.view)
    return counted(book)
