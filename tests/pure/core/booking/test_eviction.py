"""A full pool whose best node has no idle connection: when one of another node is closed for it, and when that one
serves.
"""

from __future__ import annotations

from clustersql.core.booking.book import EVICT_EVERY, Book
from clustersql.core.booking.shelf import Session
from clustersql.core.policies.named import policy
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)
NOW = 100.0


def full(on_a: int, on_b: int, a: float, b: float) -> Book:
    """A full pool of two nodes whose answers take ``a`` and ``b`` seconds; all its connections are idle."""
    view = View()
    for node in "ab":
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(Role.PRIMARY)), 0.0)
    book = Book(on_a + on_b, 2, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    for node, count, seconds in (("a", on_a, a), ("b", on_b, b)):
        shelf = book.shelves[node]
        for _ in range(count):
            assert book.begin_dial(node)[1].dial is shelf
            book.dialled(Session(object(), shelf, shelf.generation), seconds, NOW)
        shelf.guess(seconds, NOW)
    return book


def nodes(book: Book, times: int, now: float = NOW) -> list[str]:
    """Which nodes so many callers in a row get; "": a dial is better."""
    taken = [book.take(READ, now) for _ in range(times)]
    return [session.node if session is not None else "" for session in taken]


def test_a_queue_at_the_better_node_is_no_reason_to_close_a_connection() -> None:
    """A dial costs ten statements, and the other node can serve now: it is as fast."""
    book = full(on_a=1, on_b=4, a=0.001, b=0.0015)
    assert nodes(book, 5) == ["a", "b", "b", "b", "b"]


def test_a_slow_node_serves_all_but_one_caller_a_second() -> None:
    """Each of the others would wait for a dial, of which there are few at a time."""
    book = full(on_a=1, on_b=6, a=0.001, b=0.010)
    assert nodes(book, 3) == ["a", "", "b"]
    assert nodes(book, 2, NOW + EVICT_EVERY / 2) == ["b", "b"]
    assert nodes(book, 2, NOW + EVICT_EVERY) == ["", "b"]


def test_nobody_waits_for_a_second_dial_of_the_same_node() -> None:
    book = full(on_a=1, on_b=3, a=0.001, b=0.010)
    assert nodes(book, 2) == ["a", ""]
    book.begin_dial("a")
    assert nodes(book, 1, NOW + EVICT_EVERY) == ["b"]
