"""A node that came back gets its share of the checkouts by and by, for as long as the knob says."""

from __future__ import annotations

import pytest

from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Session
from clustersql.core.faults import Fault
from clustersql.core.policies.named import policy
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Unreachable
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)


def returned(slow_start: float) -> Book:
    """Two nodes with two idle connections each, taken in their order; a was down, and came back at 100."""
    view = View()
    for node in "ab":
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(Role.PRIMARY)), 0.0)
    view = observe(view, Unreachable("a", Fault.LOST, "gone"), 90.0)
    view = observe(view, Answered("a", Report(Role.PRIMARY)), 100.0)
    book = Book(4, 2, policy(lambda loads, now, random: loads), lambda: 0.9, slow_start)
    book.adopt(view)
    for node in "ab":
        shelf = book.shelves[node]
        for _ in range(2):
            book.begin_dial(node)
            book.dialled(Session(object(), shelf, shelf.generation), 0.001, 100.0)
    return book


@pytest.mark.parametrize(
    ("slow_start", "after", "node"), [(60, 30, "b"), (60, 59, "a"), (60, 61, "a"), (5, 3, "b"), (5, 6, "a")]
)
def test_how_long_it_takes_is_the_knob_s_to_say(slow_start: float, after: float, node: str) -> None:
    """0.9 is drawn: beyond nine tenths of its slow start it is admitted, whatever the default of the knob."""
    session = returned(slow_start).take(READ, 100.0 + after)
    assert session is not None
    assert session.node == node
