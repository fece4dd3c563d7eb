"""A connection that comes back is put into the hands of a caller who can do nothing but wait; any other news makes him
look at everything.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Actions, Session, Waiter
from clustersql.core.policies.named import policy
from clustersql.core.steps import Changed
from clustersql.core.view.freshness import MaxLag
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Draining, SessionLost
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)
WRITE = Want(Service.WRITE)


def full(size: int) -> tuple[Book, list[Session]]:
    """A pool of a primary "a" and a replica "b", whose connections are all in use: those of "a" first."""
    view = View()
    for node, role in (("a", Role.PRIMARY), ("b", Role.REPLICA)):
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(role)), 0.0)
    book = Book(size, 2, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    sessions = []
    for number in range(size):
        shelf = book.shelves["b" if number >= size / 2 else "a"]
        book.begin_dial(shelf.name)
        book.dialled(Session(object(), shelf, shelf.generation, expires=50.0), 0.01, 0.0)
        sessions.append(shelf.lend(READ))
    return book, sessions


def line_up(book: Book, want: Want = READ) -> Waiter:
    assert book.take(want, 1.0) is None
    waiter = book.plain(want, 1.0)
    assert waiter is not None
    book.line_up(waiter)
    return waiter


def test_it_goes_to_the_first_in_line_and_nothing_else_is_done() -> None:
    book, [a, b] = full(2)
    first, second = line_up(book), line_up(book)
    assert book.give_back(b, 2.0) is first
    assert book.give_back(a, 3.0) is second
    assert (first.given, second.given) == (b, a)
    assert (a.lent_at, b.lent_at) == (3.0, 2.0)
    assert [shelf.in_flight for shelf in book.shelves.values()] == [1, 1]
    assert not book.waiters
    assert book._blocked[""] == 0


def test_one_whom_it_does_not_fit_is_passed_over() -> None:
    book, [a, b] = full(2)
    writer, reader = line_up(book, WRITE), line_up(book)
    told = book.give_back(b, 2.0)
    assert isinstance(told, Actions)
    assert (told.wake, reader.given, writer.given) == ([reader], b, None)
    assert writer.passed_over == 1
    assert book.give_back(a, 2.0) is writer


def test_whoever_could_do_more_than_wait_does_not_line_up() -> None:
    book, [_, b] = full(2)
    book.give_back(b, 1.0)
    assert book.take(READ, 1.0) is b
    lagging = Want(Service.READ, read_only=True, max_lag=MaxLag(seconds=1.0))
    assert book.take(lagging, 1.0) is None
    assert book.plain(lagging, 1.0) is None, "the lag that it bears is to be looked at"
    book.max_size = 3
    assert book.plain(READ, 1.0) is None, "there is room for a dial"
    book.max_size = 2
    book.give_back(b, 1.0)
    assert book.plain(WRITE, 1.0) is None, "there is room once the idle one is closed"
    assert book.take(READ, 1.0) is b
    book.close()
    assert book.plain(READ, 1.0) is None


def lost(book: Book, session: Session) -> None:
    book.adopt(observe(book.view, SessionLost(session.node, session.generation), 2.0))


def drained(book: Book, session: Session) -> None:
    book.adopt(observe(book.view, Draining(session.node), 2.0))


def expired(book: Book, session: Session) -> None:
    session.expires = 1.5


def smaller(book: Book, session: Session) -> None:
    book.max_size -= 1


@pytest.mark.parametrize("happens", [lost, drained, expired, smaller])
def test_what_must_not_be_handed_out_is_closed(happens: Callable[[Book, Session], None]) -> None:
    book, [*_, session] = full(2)
    waiter = line_up(book)
    happens(book, session)
    told = book.give_back(session, 2.0)
    assert isinstance(told, Actions)
    assert told.close == [session]
    assert waiter.given is None


def test_any_other_news_makes_it_look_at_everything() -> None:
    book, [a, b] = full(2)
    first, second = line_up(book), line_up(book)
    actions = book.give_back(b, 2.0, keep=False)
    assert isinstance(actions, Actions)
    assert (actions.wake, list(first.events), first.plain) == ([first], [Changed()], False)
    assert book.begin_dial("b", first)[1].dial is book.shelves["b"]
    drained(book, a)
    assert (list(second.events), second.plain) == ([Changed()], False)


def test_one_who_leaves_takes_along_what_it_was_given() -> None:
    book, [_, b] = full(2)
    first, second = line_up(book), line_up(book)
    book.give_back(b, 2.0)
    assert book.withdraw(first)[0] is b
    assert book.withdraw(second)[0] is None
    assert not book.waiters
    assert book._blocked[""] == 0
