"""What a pool counts of a node: who owes an answer, what an answer is worth, and how a node begins that is back."""

from __future__ import annotations

import pytest

from clustersql.core.booking.book import Book
from clustersql.core.booking.owing import note_oldest
from clustersql.core.booking.shelf import Session
from clustersql.core.faults import Fault
from clustersql.core.policies.load import MEMORY, OUTLIER, Load
from clustersql.core.policies.named import policy
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Unreachable
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

WANT = Want(Service.READ, read_only=True, autocommit=True)
READY = Report(Role.REPLICA)


def pool(*names: str) -> tuple[Book, View]:
    """A book with two idle connections per node; a dial took 11 ms."""
    view = View()
    for name in names:
        view = observe(observe(view, Added(name), 1.0), Answered(name, READY), 1.0)
    book = Book(10, 2, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    for shelf in list(book.shelves.values()) * 2:
        book.begin_dial(shelf.name)
        session = Session(None, shelf, 0)
        session.read_only = session.autocommit = True
        book.dialled(session, 0.011, 1.0)
    return book, view


def lent(book: Book, now: float) -> Session:
    session = book.take(WANT, now)
    assert session is not None
    return session


def test_who_owes_an_answer_is_known_from_the_checkout_on() -> None:
    book, _ = pool("a")
    first = lent(book, 2.0)
    first.started = 2.0
    second = lent(book, 3.0)
    second.started = 3.0
    shelf = book.shelves["a"]
    assert shelf.oldest == 2.0
    first.ended = 4.0
    assert shelf.oldest == 0.0  # the other one is found by the monitor, or by the next checkout
    note_oldest(book.shelves.values())
    assert shelf.oldest == 3.0


@pytest.mark.parametrize("keep", [True, False])
def test_what_was_given_back_owes_nothing_and_what_was_closed_is_not_kept_alive(keep: bool) -> None:
    book, _ = pool("a")
    session = lent(book, 2.0)
    session.started = 2.0
    book.give_back(session, 3.0, keep)
    shelf = book.shelves["a"]
    assert shelf.oldest == 0.0
    assert keep or shelf.owing is None


def test_the_first_answer_replaces_the_time_of_the_dial() -> None:
    book, _ = pool("a")
    session = lent(book, 2.0)
    session.started, session.ended = 2.0, 2.04
    book.give_back(session, 2.04)
    assert book.shelves["a"].ewma == pytest.approx(0.04)


def test_an_error_of_the_statements_own_is_no_sample_but_the_node_was_not_idle() -> None:
    book, _ = pool("a")
    session = lent(book, 5.0)
    session.started = session.ended = 5.0
    book.give_back(session, 6.0)
    shelf = book.shelves["a"]
    assert (shelf.ewma, shelf.sampled_at) == (0.011, 5.0)


def test_a_node_that_is_back_begins_with_what_the_others_take() -> None:
    book, view = pool("a", "b", "c")
    for name, seconds in (("a", 0.002), ("b", 0.004)):
        book.shelves[name].sample(seconds, 2.0)
    book.shelves["c"].sample(0.003, 2.0)
    book.shelves["c"].penalize(3.0)
    view = observe(view, Unreachable("c", Fault.LOST), 3.0)
    book.adopt(view)
    assert book.shelves["c"].ewma == 0.25
    book.adopt(observe(view, Answered("c", READY), 8.0))
    assert book.shelves["c"].score(8.0) == pytest.approx(0.003)


def test_what_is_usual_is_a_mean_in_which_one_slow_answer_counts_for_little() -> None:
    load = Load("n")
    for seconds in (0.004, 0.002):
        load.sample(seconds, 1.0)
    assert load.usual == pytest.approx(0.003)
    for _ in range(MEMORY):
        load.sample(0.003, 1.0)
    load.sample(30.0, 1.0)
    assert load.usual == pytest.approx(0.003 * (1 + (OUTLIER - 1) / MEMORY))
    for _ in range(12 * MEMORY):
        load.sample(0.3, 1.0)
    assert load.usual == pytest.approx(0.3, rel=0.01)
